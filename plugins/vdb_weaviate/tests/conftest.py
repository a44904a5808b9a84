"""A store over a Weaviate server for tests."""

import importlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import emptied
from dify_vdb_weaviate import WeaviateSettings, WeaviateVectorStore

PROGRAM = str(Path(__file__).with_name("weaviate_server.py"))
KEY = "right"


def command_of(it: Server, *more: str) -> list[str]:
    places = ["--port", str(it.ports[0]), "--grpc-port", str(it.ports[1]), "--folder", str(it.folder)]
    return [sys.executable, PROGRAM, *places, *more]


def settings_of(server: Server, key: str = KEY, **more: Any) -> WeaviateSettings:
    places = {"endpoint": f"http://127.0.0.1:{server.ports[0]}", "grpc_endpoint": f"grpc://127.0.0.1:{server.ports[1]}"}
    return WeaviateSettings(**{**places, **more}, api_key=Secret(key))


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """A server that asks for a key."""
    folder = tmp_path_factory.mktemp("weaviate")
    with Server(lambda it: command_of(it, "--key", KEY), folder=folder, ports=2) as server:
        yield server


@pytest.fixture(scope="session")
def old(tmp_path_factory) -> Iterator[Server]:
    """A server that does not count, and asks for no key."""
    folder = tmp_path_factory.mktemp("weaviate-old")
    with Server(lambda it: command_of(it, "--old"), folder=folder, ports=2) as server:
        yield server


@pytest.fixture
def settings() -> Callable[..., WeaviateSettings]:
    """Settings for a store over a server."""
    return settings_of


@pytest.fixture
def beside(monkeypatch) -> Callable[[str], Any]:
    """Imports what the server for tests is made of."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module


@pytest.fixture
async def store(server) -> AsyncIterator[WeaviateVectorStore]:
    store = WeaviateVectorStore(settings_of(server))
    async with emptied(store):
        yield store
