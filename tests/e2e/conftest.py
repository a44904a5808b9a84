"""One running `dify up` with models and a knowledge base for all tests that do not break it, and a model server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from dify_kernel.testing.openai_server import OpenAIServer

from .running import ROOT, Place, Running, free_port

EXAMPLES = ROOT / "examples"
NO_DATASET = "00000000-0000-0000-0000-000000000000"
MODEL = "gpt-4o-mini"
EMBEDDING = "text-embedding-3-small"


def with_model(text: str) -> str:
    """An example app, answered by the scripted model."""
    return text.replace("provider: local, name: smollm2-135m-instruct", f"provider: openai, name: {MODEL}")


class Home(msgspec.Struct, frozen=True):
    """`dify up` on a folder, with an account, a provider and default models."""

    place: Place
    up: Running
    models: OpenAIServer
    added: dict[str, Any]


@pytest.fixture(scope="session")
def openai() -> Iterator[OpenAIServer]:
    """The scripted model server."""
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, openai: OpenAIServer) -> Iterator[Home]:
    """The platform as its owner finds it after the first three commands."""
    place = Place(tmp_path_factory.mktemp("home"), SSRF_ALLOWED_HOSTS="127.0.0.1")
    with place.running("up", port=free_port()) as up:
        up.healthy()
        place.dify("setup", "--email", "ada@example.org", "--password", "at-least-8-with-1-digit")
        base = f"openai_api_base={openai.root}"
        added = place.dify("models", "add", "openai", "--credential", "openai_api_key=k", "--credential", base)
        place.dify("models", "default", "llm", f"openai/{MODEL}")
        place.dify("models", "default", "text-embedding", f"openai/{EMBEDDING}")
        yield Home(place, up, openai, added)


@pytest.fixture(scope="session")
def handbook(home: Home) -> dict[str, Any]:
    """A knowledge base with a document of each format: `id`, and `documents` as the command gave them."""
    made = home.place.dify("kb", "create", "Handbook")
    files = sorted(str(path) for path in (EXAMPLES / "documents").iterdir())
    return {**made, **home.place.dify("kb", "add", "Handbook", *files)}


@pytest.fixture(scope="session")
def chat_key(home: Home, handbook: dict[str, Any]) -> str:
    """A key of the document-answering chat, on that knowledge base and the scripted model."""
    text = with_model((EXAMPLES / "handbook-chatflow.yml").read_text()).replace(NO_DATASET, handbook["id"])
    file = home.place.folder / "chat.yml"
    file.write_text(text)
    key: str = home.place.dify("app", "import", str(file), "--publish", "--key")["api_key"]
    return key


@pytest.fixture(scope="session")
def order(home: Home) -> dict[str, Any]:
    """The branching workflow, imported: `app_id` and `api_key`."""
    return home.place.dify("app", "import", str(EXAMPLES / "order-workflow.yml"), "--publish", "--key")
