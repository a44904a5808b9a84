"""A workspace to work in, keys to open it with, and a place of its own on the shared Redis."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from dify_host.apps.tables import apps
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.accounts import insert_account
from dify_host.identity.workspaces import insert_workspace
from dify_host.net.crypto import KeyRing
from redis.asyncio import Redis

NewTenant = Callable[[Database], Awaitable[Tenant]]
NewApp = Callable[[Database, Tenant], Awaitable[str]]


@pytest.fixture(scope="session")
def keyring() -> KeyRing:
    return KeyRing("a secret key of the tests")


@pytest.fixture
def new_tenant(keyring: KeyRing) -> NewTenant:
    """A function that makes a workspace with an owner."""

    async def make(db: Database) -> Tenant:
        async with db.write() as conn:
            owner = await insert_account(conn, email=f"{new_id()}@example.com", name="Owner", password=None)
            return Tenant(await insert_workspace(conn, keyring, name="Workspace", owner_id=owner))

    return make


@pytest.fixture
def new_app() -> NewApp:
    """A function that makes an app."""

    async def make(db: Database, tenant: Tenant) -> str:
        app_id = new_id()
        async with db.write() as conn:
            await conn.execute(apps.insert().values(id=app_id, tenant_id=tenant.id, name="App", mode="chat"))
        return app_id

    return make


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def prefix() -> str:
    return f"test:{secrets.token_hex(8)}:"
