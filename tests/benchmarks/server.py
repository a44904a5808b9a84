"""A platform to measure: a data folder with apps and keys, and its API in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import msgspec
import psutil
from dify_host.identity.setup import ensure_local_workspace
from dify_host.platform import Platform
from dify_host.workspace import Workspace

from .figures import environment

__all__ = ["Api", "free_port", "import_app", "opened", "running_api", "running_loopback"]

PATIENCE = 90.0
#: No variable changes an engine.
EMBEDDED: Mapping[str, str] = {}


class Api(msgspec.Struct, frozen=True):
    """A running API: where it answers, and its process."""

    url: str
    process: psutil.Process

    def cpu(self) -> float:
        """CPU seconds of the API process itself so far; the embedded server below it is not counted."""
        times = self.process.cpu_times()
        return times.user + times.system


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def data_environment(data: Path, more: Mapping[str, str] = EMBEDDED) -> dict[str, str]:
    """The environment of a platform in a folder, on embedded engines unless told; the scripted model may be called."""
    return environment(DIFY_DATA=str(data), SSRF_ALLOWED_HOSTS="127.0.0.1", LOG_LEVEL="warning", **more)


@asynccontextmanager
async def opened(data: Path, more: Mapping[str, str] = EMBEDDED) -> AsyncIterator[tuple[Platform, Workspace, str]]:
    """The platform of a data folder in this process, its workspace, and the account that owns it."""
    async with Platform.opened(data_environment(data, more), role="cli") as platform:
        owner = await ensure_local_workspace(platform.db, platform.keyring)
        yield platform, await platform.workspace(owner.tenant), owner.id


async def import_app(workspace: Workspace, owner_id: str, dsl: str) -> str:
    """Import and publish an app; returns a key for it."""
    imported = await workspace.apps.import_dsl(dsl, account_id=owner_id, publish=True)
    assert imported.app_id, imported
    return (await workspace.api_keys.create("app", imported.app_id)).token


@contextmanager
def running_api(data: Path, more: Mapping[str, str] = EMBEDDED) -> Iterator[Api]:
    """`dify api` on a data folder, answering; stopped at the end."""
    port = free_port()
    command = [sys.executable, "-m", "dify_host.cli.main", "api", "--port", str(port)]
    with subprocess.Popen(command, env=data_environment(data, more)) as process:
        try:
            await_answer(f"http://127.0.0.1:{port}/health", process)
            yield Api(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def running_loopback() -> Iterator[str]:
    """The scripted OpenAI-compatible server in a process of its own; yields its address with /v1."""
    command = [sys.executable, "-m", "dify_kernel.testing.openai_server", "0"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(60)


def await_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return at the first 200; fail when the process has ended or nothing comes."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with status {process.returncode}"
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{url} did not answer within {PATIENCE:g} s")
