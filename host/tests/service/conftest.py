"""A platform as `dify api` runs it, on SQLite, Redis, a scripted OpenAI server and the installed plugins."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from dify_host.app import create_app
from dify_host.platform import Platform
from dify_kernel.testing.openai_server import OpenAIServer
from litestar import Litestar
from litestar.datastructures import State

from .service_house import House, Key, Workshop, answers_with


@pytest.fixture(scope="session")
def openai() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def env(redis_url: str, sqlite_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment of the platform; add to it before `platform` is used."""
    redis = urlsplit(redis_url)
    return {
        "DIFY_DATA": str(tmp_path / "data"),
        "DATABASE_URL": sqlite_url,
        "MIGRATION_ENABLED": "false",
        "REDIS_HOST": redis.hostname or "",
        "REDIS_PORT": str(redis.port or 6379),
        "REDIS_DB": redis.path.strip("/") or "0",
        "SSRF_ALLOWED_HOSTS": "127.0.0.1",
    }


@pytest.fixture
async def platform(env: dict[str, str]) -> AsyncIterator[Platform]:
    async with Platform.opened(env, role="api") as platform:
        yield platform


@pytest.fixture(scope="session")
def built() -> list[Litestar]:
    """The application of this session, once it was built: its routes are the same for every platform."""
    return []


@pytest.fixture
async def app(platform: Platform, built: list[Litestar]) -> AsyncIterator[Litestar]:
    """The application over this test's platform; streams are tested through its own server and lifespan."""
    if not built:
        built.append(create_app(platform))
    app = built[0]
    app.state = State({"platform": platform})
    platform.commands.start()
    yield app
    await platform.commands.close()


@pytest.fixture
async def web(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """A client without credentials. It runs in the loop of the platform and sees a stream when it has ended."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://dify.test") as client:
        yield client


@pytest.fixture
async def workshop(platform: Platform, web: httpx.AsyncClient, openai: OpenAIServer) -> Workshop:
    """Makes workspaces with apps and keys."""
    return Workshop(platform, web, openai)


@pytest.fixture
async def house(workshop: Workshop) -> House:
    """One workspace with the scripted models."""
    return await workshop.open("House")


@pytest.fixture
async def served(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API on loopback."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # a client that is early waits in its queue
        config = uvicorn.Config(create_app(platform), log_config=None, lifespan="on")
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        port = listening.getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client
        server.should_exit = True
        await task


@pytest.fixture
async def slow(house: House, served: httpx.AsyncClient) -> Key:
    app = await house.app("advanced-chat", answers_with())
    return Key(served, app.token, app.app_id)
