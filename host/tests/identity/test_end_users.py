"""End users: one row a name and app, whoever asks at the same time."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.end_users import DEFAULT_USER, EndUsers
from dify_host.identity.tables import end_users
from dify_kernel.errors import BadInput, NotFound

from .conftest import NewApp, NewTenant


async def rows(db: Database) -> int:
    async with db.read() as conn:
        return (await conn.execute(sa.select(sa.func.count()).select_from(end_users))).scalar_one()


async def test_a_name_is_made_once(database: Database, new_tenant: NewTenant, new_app: NewApp) -> None:
    tenant = await new_tenant(database)
    app_id = await new_app(database, tenant)
    users = EndUsers(database, tenant)
    first = await users.get_or_create(app_id, "abc-123")
    assert (first.session_id, first.is_anonymous, first.tenant_id, first.app_id) == (
        "abc-123",
        False,
        tenant.id,
        app_id,
    )
    assert await users.get_or_create(app_id, "abc-123") == first
    assert await users.get(first.id) == first
    anonymous = await users.get_or_create(app_id, None)
    assert (anonymous.session_id, anonymous.is_anonymous) == (DEFAULT_USER, True)
    assert (await users.get_or_create(app_id, "abc-123", type="browser")).id != first.id
    assert await rows(database) == 3


async def test_two_processes_make_one_row(database_url: str, new_tenant: NewTenant, new_app: NewApp) -> None:
    databases = [Database(database_url) for _ in range(3)]
    tenant = await new_tenant(databases[0])
    app_id = await new_app(databases[0], tenant)
    calls = [EndUsers(db, tenant).get_or_create(app_id, "same") for db in databases for _ in range(4)]
    found = await asyncio.gather(*calls)
    assert len({user.id for user in found}) == 1
    assert await rows(databases[0]) == 1
    for db in databases:
        await db.close()


async def test_a_row_of_another_making_is_found(
    sqlite_database: Database, new_tenant: NewTenant, new_app: NewApp
) -> None:
    tenant = await new_tenant(sqlite_database)
    app_id, user_id = await new_app(sqlite_database, tenant), new_id()
    row = {"id": user_id, "tenant_id": tenant.id, "app_id": app_id, "type": "service_api", "session_id": "old"}
    async with sqlite_database.write() as conn:
        await conn.execute(end_users.insert().values(row))
    assert (await EndUsers(sqlite_database, tenant).get_or_create(app_id, "old")).id == user_id


async def test_the_second_time_costs_no_query(
    sqlite_database: Database, new_tenant: NewTenant, new_app: NewApp
) -> None:
    tenant = await new_tenant(sqlite_database)
    app_id = await new_app(sqlite_database, tenant)
    known = await EndUsers(sqlite_database, tenant).get_or_create(app_id, "u")
    async with sqlite_database.write() as conn:
        await conn.execute(end_users.delete())
    assert await EndUsers(sqlite_database, tenant).get_or_create(app_id, "u") == known


async def test_another_workspace_is_out_of_reach(
    sqlite_database: Database, new_tenant: NewTenant, new_app: NewApp
) -> None:
    mine, theirs = await new_tenant(sqlite_database), await new_tenant(sqlite_database)
    app_id = await new_app(sqlite_database, theirs)
    foreign = await EndUsers(sqlite_database, theirs).get_or_create(app_id, "u")
    users = EndUsers(sqlite_database, mine)
    for call in (users.get(foreign.id), users.get_or_create(app_id, "u"), users.get_or_create(new_id(), "u")):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(NotFound):
        await EndUsers(sqlite_database, Tenant(new_id())).get(foreign.id)


async def test_a_name_has_a_length(sqlite_database: Database, new_tenant: NewTenant, new_app: NewApp) -> None:
    tenant = await new_tenant(sqlite_database)
    app_id = await new_app(sqlite_database, tenant)
    with pytest.raises(BadInput):
        await EndUsers(sqlite_database, tenant).get_or_create(app_id, "x" * 256)
