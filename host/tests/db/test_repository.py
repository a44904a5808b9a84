"""A repository cannot leave its tenant."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from dify_host.apps.tables import apps, tags
from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseError
from dify_host.db.repository import Page, TenantRepository, fetch_page
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.tables import accounts
from dify_host.runs.tables import message_files, messages

MINE, THEIRS = Tenant(new_id()), Tenant(new_id())


class Tag(msgspec.Struct, frozen=True):
    id: str
    name: str


def tag(name: str) -> dict[str, Any]:
    return {"type": "app", "name": name, "created_by": new_id()}


@pytest.fixture
def repository(sqlite_database: Database) -> TenantRepository:
    return TenantRepository(sqlite_database, MINE)


async def two_tenants(db: Database) -> tuple[TenantRepository, TenantRepository]:
    """Two tenants, each with tags named a, b, c."""
    both = TenantRepository(db, MINE), TenantRepository(db, THEIRS)
    async with db.write() as conn:
        for repository in both:
            await conn.execute(repository.scoped_insert(tags, [tag(name) for name in "abc"]))
    return both


async def test_select_sees_only_the_tenants_rows(database: Database) -> None:
    mine, _ = await two_tenants(database)
    async with database.read() as conn:
        rows = (await conn.execute(mine.scoped_select(tags))).all()
        ids = (await conn.execute(mine.scoped_select(tags, tags.c.id))).all()
    assert [row.tenant_id for row in rows] == [MINE.id] * 3
    assert len(ids) == 3


async def test_update_and_delete_touch_only_the_tenants_rows(database: Database) -> None:
    mine, theirs = await two_tenants(database)
    async with database.write() as conn:
        await conn.execute(mine.scoped_update(tags, {"type": "knowledge"}))
        await conn.execute(mine.scoped_delete(tags).where(tags.c.name == "a"))
    async with database.read() as conn:
        left = (await conn.execute(theirs.scoped_select(tags))).all()
        own = (await conn.execute(mine.scoped_select(tags).order_by(tags.c.name))).all()
    assert [row.type for row in left] == ["app"] * 3
    assert [(row.name, row.type) for row in own] == [("b", "knowledge"), ("c", "knowledge")]


async def test_an_id_of_another_tenant_finds_nothing(database: Database) -> None:
    mine, theirs = await two_tenants(database)
    async with database.read() as conn:
        foreign = (await conn.execute(theirs.scoped_select(tags, tags.c.id))).scalars().first()
        assert (await conn.execute(mine.scoped_select(tags).where(tags.c.id == foreign))).all() == []


def test_a_row_that_names_another_tenant_is_refused(repository: TenantRepository) -> None:
    with pytest.raises(DatabaseError, match="another tenant"):
        repository.scoped_insert(tags, {**tag("x"), "tenant_id": THEIRS.id})


@pytest.mark.parametrize("column", ["id", "tenant_id"])
def test_a_row_cannot_move(repository: TenantRepository, column: str) -> None:
    with pytest.raises(DatabaseError, match="cannot be changed"):
        repository.scoped_update(tags, {column: new_id()})


def test_a_table_without_a_tenant_is_refused(repository: TenantRepository) -> None:
    for build in (repository.scoped_select, repository.scoped_delete, repository.owned):
        with pytest.raises(DatabaseError, match="no tenant_id"):
            build(accounts)
    with pytest.raises(DatabaseError, match="no tenant_id"):
        repository.scoped_insert(accounts, {})
    with pytest.raises(DatabaseError, match="no tenant_id"):
        repository.scoped_update(accounts, {})


async def test_rows_below_a_parent_are_reached_through_it(database: Database) -> None:
    made: dict[Tenant, str] = {}
    async with database.write() as conn:
        for tenant in (MINE, THEIRS):
            app_id, message_id = new_id(), new_id()
            app = {"id": app_id, "tenant_id": tenant.id, "name": "n", "mode": "chat"}
            await conn.execute(apps.insert().values(app))
            message = {"id": message_id, "app_id": app_id, "conversation_id": new_id(), "query": "", "answer": ""}
            await conn.execute(messages.insert().values({**message, "from_source": "api"}))
            file = {"message_id": message_id, "type": "image", "transfer_method": "local_file"}
            await conn.execute(
                message_files.insert().values({**file, "created_by_role": "account", "created_by": new_id()})
            )
            made[tenant] = message_id
    mine = TenantRepository(database, MINE)
    own_message = mine.reached_through(messages.c.app_id, root=apps)
    own_file = mine.reached_through(message_files.c.message_id, messages.c.app_id, root=apps)
    async with database.write() as conn:
        found = (await conn.execute(sa.select(messages.c.id).where(own_message))).scalars().all()
        files = (await conn.execute(sa.select(message_files.c.message_id).where(own_file))).scalars().all()
        assert found == files == [made[MINE]]
        await conn.execute(messages.update().where(own_message).values(answer="changed"))
        await conn.execute(message_files.delete().where(own_file))
        rows = (await conn.execute(sa.select(messages.c.id, messages.c.answer))).all()
        answers = {row.id: row.answer for row in rows}
        assert answers == {made[MINE]: "changed", made[THEIRS]: ""}
        assert (await conn.execute(sa.select(message_files.c.message_id))).scalars().all() == [made[THEIRS]]


async def test_pages_cover_every_row_once(database: Database) -> None:
    repository = TenantRepository(database, MINE)
    async with database.write() as conn:
        await conn.execute(repository.scoped_insert(tags, [tag(f"{number:02}") for number in range(25)]))
    query = repository.scoped_select(tags).order_by(tags.c.name)
    async with database.read() as conn:
        pages = [await fetch_page(conn, query, Tag, page=number, limit=10) for number in (1, 2, 3, 4)]
    assert [item.name for page in pages for item in page.data] == [f"{number:02}" for number in range(25)]
    assert [(page.page, page.limit, page.total, page.has_more) for page in pages] == [
        (1, 10, 25, True),
        (2, 10, 25, True),
        (3, 10, 25, False),
        (4, 10, 25, False),
    ]


async def test_a_page_of_nothing(sqlite_database: Database, repository: TenantRepository) -> None:
    async with sqlite_database.read() as conn:
        page = await fetch_page(conn, repository.scoped_select(tags), Tag, page=1, limit=20)
    assert page == Page(data=[], page=1, limit=20, total=0, has_more=False)
    expected = {"data": [], "page": 1, "limit": 20, "total": 0, "has_more": False}
    assert msgspec.json.decode(msgspec.json.encode(page)) == expected
