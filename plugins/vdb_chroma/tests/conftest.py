"""A store on a real server, from the wheel that holds it."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from dify_kernel.testing.server import Server, program
from dify_kernel.testing.vector import emptied
from dify_vdb_chroma import ChromaSettings, ChromaVectorStore


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    def command(it: Server) -> list[str]:
        return [program("chroma"), "run", "--host", "127.0.0.1", "--port", str(it.port), "--path", str(it.folder)]

    def ready(it: Server) -> None:
        httpx.get(f"http://127.0.0.1:{it.port}/api/v2/heartbeat", trust_env=False).raise_for_status()

    quiet = {"ANONYMIZED_TELEMETRY": "False", "OTEL_SDK_DISABLED": "true"}
    with Server(command, folder=tmp_path_factory.mktemp("chroma"), ready=ready, env=quiet, seconds=120) as server:
        yield server


@pytest.fixture
def settings(server: Server) -> ChromaSettings:
    return ChromaSettings(host="127.0.0.1", port=server.port)


@pytest.fixture
async def store(settings: ChromaSettings) -> AsyncIterator[ChromaVectorStore]:
    store = ChromaVectorStore(settings)
    async with emptied(store):
        yield store
