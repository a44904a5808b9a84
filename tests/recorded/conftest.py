"""One platform for all recordings: SQLite, an embedded Valkey, the real sandbox, scripted models, the echo endpoint."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio
from dify_host.app import create_app
from dify_host.identity.setup import ensure_local_workspace
from dify_host.jobs.embedded import ensure_running
from dify_host.platform import Platform
from dify_host.settings import HostSettings
from dify_kernel.testing.openai_server import OpenAIServer

from .recordings import ECHO_PORT, SHARED
from .replay import Stage


@pytest.fixture(scope="session")
def openai() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="session")
def echo() -> Iterator[None]:
    """The HTTP endpoint of the recordings, on the port that they name."""
    command = [sys.executable, str(SHARED / "oracle" / "echo_http.py"), str(ECHO_PORT)]
    process = subprocess.Popen(command)
    try:
        end = time.monotonic() + 30
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", ECHO_PORT), 1).close()
                break
            except OSError:
                assert time.monotonic() < end, "the endpoint did not start"
        assert process.poll() is None, f"the endpoint did not start; is port {ECHO_PORT} free?"
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(tmp_path_factory: pytest.TempPathFactory, openai: OpenAIServer, echo: None) -> AsyncIterator[Stage]:
    """Where cases are played."""
    env = {"DIFY_DATA": str(tmp_path_factory.mktemp("recorded")), "SSRF_ALLOWED_HOSTS": "127.0.0.1"}
    embedded = ensure_running(HostSettings.read(env))
    try:
        async with Platform.opened(env, role="api") as platform:
            owner = await ensure_local_workspace(platform.db, platform.keyring)
            workspace = await platform.workspace(owner.tenant)
            credentials = {"openai_api_key": "scripted-key", "openai_api_base": openai.url}
            await workspace.providers.add("openai", credentials)
            transport = httpx.ASGITransport(create_app(platform), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://dify.test", timeout=60) as web:
                yield Stage(workspace, owner.id, web, node_types=platform.registry.names("nodes"))
    finally:
        if embedded is not None:
            embedded.close()
