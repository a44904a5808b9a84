"""Upsert, insert when missing, and many rows at once, on every engine."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseError
from dify_host.db.statements import insert_many, insert_missing, upsert
from dify_host.db.types import new_id
from dify_host.knowledge.tables import embeddings
from dify_host.models.tables import tenant_default_models
from dify_host.runs.tables import workflow_run_events
from dify_kernel.errors import Conflict

TENANT = new_id()
KEY = ("tenant_id", "model_type")


def default_model(name: str, kind: str = "llm") -> dict[str, Any]:
    return {"tenant_id": TENANT, "provider_name": "p", "model_name": name, "model_type": kind}


async def names(db: Database) -> list[str]:
    column = tenant_default_models.c.model_name
    async with db.read() as conn:
        return list((await conn.execute(sa.select(column).order_by(column))).scalars())


async def test_upsert_inserts_then_updates_only_what_is_named(database: Database) -> None:
    async with database.write() as conn:
        await upsert(conn, tenant_default_models, [default_model("one")], key=KEY, update=["model_name"])
        before = (await conn.execute(sa.select(tenant_default_models))).one()
    changed = {**default_model("two"), "provider_name": "ignored"}
    async with database.write() as conn:
        await upsert(conn, tenant_default_models, [changed], key=KEY, update=["model_name"])
        after = (await conn.execute(sa.select(tenant_default_models))).one()
    assert (after.id, after.provider_name, after.model_name) == (before.id, "p", "two")
    assert after.created_at == before.created_at
    assert after.updated_at > before.updated_at


async def test_upsert_takes_many_rows(database: Database) -> None:
    async with database.write() as conn:
        rows = [default_model(f"m{number:04}", kind=f"kind-{number}") for number in range(700)]
        await upsert(conn, tenant_default_models, rows[:300], key=KEY, update=["model_name"])
        await upsert(conn, tenant_default_models, rows, key=KEY, update=["model_name"])
    assert await names(database) == [row["model_name"] for row in rows]


async def test_insert_missing_leaves_what_is_there(database: Database) -> None:
    async with database.write() as conn:
        await insert_missing(conn, tenant_default_models, [default_model("first")], key=KEY)
        rows = [default_model("second"), default_model("third", "rerank")]
        await insert_missing(conn, tenant_default_models, rows, key=KEY)
    assert await names(database) == ["first", "third"]


async def test_insert_many_writes_every_row_in_order(database: Database) -> None:
    run = new_id()
    rows = [{"run_id": run, "seq": seq, "type": "t", "payload": '{"a":"👍"}'} for seq in range(1, 1202)]
    async with database.write() as conn:
        await insert_many(conn, workflow_run_events, rows)
    async with database.read() as conn:
        query = sa.select(workflow_run_events.c.seq).order_by(workflow_run_events.c.seq)
        assert list((await conn.execute(query)).scalars()) == list(range(1, 1202))


async def test_insert_many_of_nothing_does_nothing(database: Database) -> None:
    async with database.write() as conn:
        await insert_many(conn, workflow_run_events, [])


async def test_insert_many_is_all_or_nothing(database: Database) -> None:
    rows = [
        {"provider_name": "p", "model_name": "m", "hash": f"{number % 600}", "embedding": b"\x00\x01"}
        for number in range(601)
    ]
    with pytest.raises(Conflict):
        async with database.write() as conn:
            await insert_many(conn, embeddings, rows)
    async with database.read() as conn:
        assert (await conn.execute(sa.select(embeddings.c.id))).all() == []


async def test_rows_with_different_columns_are_refused(database: Database) -> None:
    async with database.write() as conn:
        with pytest.raises(DatabaseError, match="differ in columns"):
            await insert_many(conn, tenant_default_models, [default_model("a"), {"model_name": "b"}])
