"""Where published apps are played: one platform, scripted models, an echo endpoint that answers every HTTP request."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import importlib_metadata
import msgspec
from dify_host.app import create_app
from dify_host.identity.setup import ensure_local_workspace
from dify_host.jobs.embedded import ensure_running
from dify_host.knowledge.datasets import NewDataset
from dify_host.knowledge.documents import DocumentOptions, DocumentText
from dify_host.knowledge.rules import ProcessRule
from dify_host.platform import Platform
from dify_host.settings import HostSettings
from dify_host.workspace import Workspace
from dify_kernel.contracts.http import HttpClient, HttpRequest, HttpResponse, HttpStream
from dify_kernel.registry import Registry
from dify_kernel.testing.openai_server import OpenAIServer

from tests.corpus.prompter import PROMPTER
from tests.corpus.stand_in_tools import missing_tools
from tests.recorded.recordings import SHARED

__all__ = ["Stage", "open_stage"]

_METADATA = "Metadata-Version: 2.1\nName: dify-tools-stand-ins\nVersion: 1.0\nKeywords: dify-contract-tools-1\n"
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_KNOWLEDGE = (
    ("Tea", "Green tea grows in the hills. The harvest of this year is good. 绿茶长在山上，今年的收成很好。"),
    ("Policy", "Employees take thirty days of leave. Deployments happen on Tuesdays."),
)


class Stage(msgspec.Struct, frozen=True):
    """A workspace, its owner, the API, the knowledge base of all apps, and the tool families of real plugins."""

    platform: Platform
    workspace: Workspace
    owner_id: str
    web: httpx.AsyncClient
    dataset_id: str
    tools: frozenset[str]


class _Rerouted:
    """An HTTP client that sends whatever is not for this machine's `own` servers to the echo endpoint, over HTTP."""

    def __init__(self, http: HttpClient, echo: str, own: set[str]) -> None:
        self._http, self._echo, self._own = http, urlsplit(echo).netloc, own

    async def send(self, request: HttpRequest) -> HttpResponse:
        sent = self._to_echo(request)
        said = PROMPTER.now.http
        if said is None or sent is request:
            return await self._http.send(sent)
        kind = [("content-type", "application/json")]
        return HttpResponse(status=200, headers=kind, content=msgspec.json.encode(said), url=request.url)

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        return self._http.stream(self._to_echo(request))

    def _to_echo(self, request: HttpRequest) -> HttpRequest:
        parts = urlsplit(request.url)
        if not parts.hostname or parts.netloc in self._own:
            return request
        path = "/png" if parts.path.lower().endswith(_PICTURES) else f"/echo/{parts.hostname}{parts.path}"
        return msgspec.structs.replace(request, url=urlunsplit(("http", self._echo, path, parts.query, "")))


@asynccontextmanager
async def open_stage(folder: Path, files: Sequence[Path]) -> AsyncIterator[Stage]:
    """A stage for the apps of these files; its data is in the folder: SQLite, an embedded Valkey, the real sandbox."""
    PROMPTER.files = files
    env = {"DIFY_DATA": str(folder / "data"), "SSRF_ALLOWED_HOSTS": "127.0.0.1"}
    registry = _with_stand_ins(folder)

    class Staged(Platform):
        """A platform that finds the stand-ins among its plugins."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.registry = registry

    embedded = ensure_running(HostSettings.read(env))
    try:
        with OpenAIServer() as openai, _echo() as echo:
            async with Staged.opened(env, role="api") as platform:
                own = {urlsplit(url).netloc for url in (openai.url, echo)}
                platform.http = _Rerouted(platform.http, echo, own)  # type: ignore[assignment]
                owner = await ensure_local_workspace(platform.db, platform.keyring)
                workspace = await platform.workspace(owner.tenant)
                credentials = {"openai_api_key": "scripted-key", "openai_api_base": openai.url}
                await workspace.providers.add("openai", credentials)
                dataset_id = await _knowledge(platform, workspace, owner.id)
                transport = httpx.ASGITransport(create_app(platform), raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://dify.test", timeout=60) as web:
                    tools = frozenset(Registry().names("tools"))
                    yield Stage(platform, workspace, owner.id, web, dataset_id, tools)
    finally:
        if embedded is not None:
            embedded.close()


def _with_stand_ins(folder: Path) -> Registry:
    """The installed plugins, and one distribution that offers every missing tool provider."""
    info = folder / "site" / "dify_tools_stand_ins-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(_METADATA)
    lines = [f"{name} = tests.corpus.stand_in_tools" for name in missing_tools()]
    (info / "entry_points.txt").write_text("\n".join(["[dify.tools]", *lines, ""]))
    (made,) = importlib_metadata.distributions(path=[str(folder / "site")])
    return Registry(entry_points=[*made.entry_points, *importlib_metadata.entry_points()])


async def _knowledge(platform: Platform, workspace: Workspace, owner_id: str) -> str:
    """A small knowledge base of the economy kind, indexed."""
    new = NewDataset(name="What apps know", indexing_technique="economy")
    dataset_id = (await workspace.datasets.create(new, owner_id)).id
    for name, text in _KNOWLEDGE:
        made = await workspace.documents.create_by_text(
            dataset_id,
            DocumentText(name=name, text=text),
            DocumentOptions(process_rule=ProcessRule(mode="automatic")),
            owner_id,
        )
        await platform.indexer.run(made.document.id)
    return dataset_id


@contextmanager
def _echo() -> Iterator[str]:
    """The echo endpoint on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(SHARED / "oracle" / "echo_http.py"), str(port)])
    try:
        end = time.monotonic() + 30
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < end, "the endpoint did not start"
        assert process.poll() is None, "the endpoint did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
