"""API keys: seen once, kept as hashes, ten at most, and of one workspace."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.types import new_id
from dify_host.identity.api_keys import MAX_KEYS, ApiKeys
from dify_host.identity.errors import TooManyKeys
from dify_host.identity.tables import api_tokens
from dify_kernel.errors import BadInput, NotFound

from .conftest import NewApp, NewTenant


async def test_a_key_is_seen_once(database: Database, new_tenant: NewTenant, new_app: NewApp) -> None:
    tenant = await new_tenant(database)
    app_id = await new_app(database, tenant)
    keys = ApiKeys(database, tenant)
    created = await keys.create("app", app_id)
    assert created.token.startswith("app-")
    assert len(created.token) == 28
    (listed,) = await keys.list("app", app_id)
    assert listed.token == f"app-********{created.token[-4:]}"
    assert listed.last_used_at is None
    async with database.read() as conn:
        row = (await conn.execute(sa.select(api_tokens))).one()
    assert created.token not in str(row)
    knowledge = await keys.create("dataset")
    assert knowledge.token.startswith("dataset-")
    assert [item.id for item in await keys.list("dataset")] == [knowledge.id]
    await keys.delete(created.id, app_id=app_id)
    assert [item.id for item in await keys.list()] == [knowledge.id]


async def test_there_are_at_most_ten(database: Database, new_tenant: NewTenant, new_app: NewApp) -> None:
    tenant = await new_tenant(database)
    app_id, other = await new_app(database, tenant), await new_app(database, tenant)
    keys = ApiKeys(database, tenant)
    results = await asyncio.gather(*[keys.create("app", app_id) for _ in range(13)], return_exceptions=True)
    refused = [result for result in results if isinstance(result, BaseException)]
    assert [type(error) for error in refused] == [TooManyKeys] * 3
    assert len(await keys.list("app", app_id)) == MAX_KEYS
    await keys.create("app", other)
    await keys.create("dataset")


async def test_a_key_is_for_one_thing(sqlite_database: Database, new_tenant: NewTenant, new_app: NewApp) -> None:
    tenant = await new_tenant(sqlite_database)
    keys = ApiKeys(sqlite_database, tenant)
    with pytest.raises(BadInput):
        await keys.create("app")
    with pytest.raises(BadInput):
        await keys.create("dataset", await new_app(sqlite_database, tenant))
    with pytest.raises(BadInput):
        await keys.create("app", await new_app(sqlite_database, tenant), new_id())
    with pytest.raises(NotFound):
        await keys.create("dataset", dataset_id=new_id())


async def test_another_workspace_is_out_of_reach(
    sqlite_database: Database, new_tenant: NewTenant, new_app: NewApp
) -> None:
    mine, theirs = await new_tenant(sqlite_database), await new_tenant(sqlite_database)
    foreign_app = await new_app(sqlite_database, theirs)
    foreign_key = await ApiKeys(sqlite_database, theirs).create("app", foreign_app)
    keys = ApiKeys(sqlite_database, mine)
    for call in (keys.create("app", foreign_app), keys.create("app", new_id()), keys.delete(foreign_key.id)):
        with pytest.raises(NotFound):
            await call
    assert await keys.list() == []
    assert await keys.list("app", foreign_app) == []
    own = await ApiKeys(sqlite_database, theirs).create("app", await new_app(sqlite_database, theirs))
    with pytest.raises(NotFound):
        await ApiKeys(sqlite_database, theirs).delete(own.id, app_id=foreign_app)
