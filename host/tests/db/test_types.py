"""What goes into a column comes out the same, on every engine."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.apps.tables import workflows
from dify_host.db.engine import Database
from dify_host.db.types import new_id, utc_now
from dify_host.identity.tables import accounts
from dify_host.knowledge.tables import documents, embeddings
from dify_host.runs.tables import messages
from dify_kernel.errors import BadInput

TEXTS = ["", "plain", "emoji 👩‍👩‍👧 🇨🇭", "中文 العربية עברית", "a'b\"c\\d%s:x", "line\r\n\ttab", "𝔘𝔫𝔦", "trailing  "]
VALUES: list[Any] = [
    {},
    [],
    {"a": None, "b": [None, {"c": None}]},
    {"b": 1, "a": 2, "ключ": "👍"},
    {"n": 9007199254740993, "f": 0.1, "t": True},
    "just text",
    0,
    False,
]


def message(**values: Any) -> dict[str, Any]:
    given = {"app_id": new_id(), "conversation_id": new_id(), "query": "q", "answer": "a", "from_source": "api"}
    return {**given, **values}


async def stored(db: Database, column: sa.Column[Any], row: dict[str, Any]) -> Any:
    table = column.table
    async with db.write() as conn:
        await conn.execute(sa.insert(table).values(row))
    async with db.read() as conn:
        return (await conn.execute(sa.select(column))).scalar_one()


@pytest.mark.parametrize("text", TEXTS)
async def test_text_round_trips(database: Database, text: str) -> None:
    assert await stored(database, messages.c.answer, message(answer=text)) == text


async def test_a_megabyte_of_text_round_trips(database: Database) -> None:
    text = "é👍 abc\n" * 100_000
    assert len(text.encode()) > 1_000_000
    assert await stored(database, messages.c.answer, message(answer=text)) == text


async def test_nul_in_text_is_replaced_on_every_engine(database: Database) -> None:
    assert await stored(database, messages.c.answer, message(answer="a\x00b")) == "a\ufffdb"


async def test_malformed_unicode_is_bad_input(database: Database) -> None:
    with pytest.raises(BadInput):
        await stored(database, messages.c.answer, message(answer="\ud800"))


@pytest.mark.parametrize("value", VALUES)
async def test_json_round_trips(database: Database, value: Any) -> None:
    row = {"tenant_id": new_id(), "dataset_id": new_id(), "data_source_type": "upload_file", "batch": "b"}
    row |= {"name": "n", "created_from": "api", "created_by": new_id(), "doc_metadata": value}
    assert await stored(database, documents.c.doc_metadata, row) == value


@pytest.mark.parametrize("value", [*VALUES, {"nul": "a\x00b"}, {"big": -1e300}])
async def test_json_text_round_trips_and_keeps_the_order_of_keys(database: Database, value: Any) -> None:
    result = await stored(database, messages.c.inputs, message(inputs=value))
    assert result == value
    if isinstance(value, dict):
        assert list(result) == list(value)


async def test_none_is_null_in_json_columns(database: Database) -> None:
    row = message(inputs=None)
    assert await stored(database, messages.c.inputs, row) is None
    async with database.read() as conn:
        found = await conn.execute(sa.select(messages.c.id).where(messages.c.inputs.is_(None)))
        assert len(found.all()) == 1


async def test_json_can_be_filtered_by_path(database: Database) -> None:
    row = {"tenant_id": new_id(), "dataset_id": new_id(), "data_source_type": "upload_file", "batch": "b"}
    row |= {"name": "n", "created_from": "api", "created_by": new_id()}
    async with database.write() as conn:
        for author in ("Ada", "Bob"):
            await conn.execute(sa.insert(documents).values({**row, "doc_metadata": {"author": author}}))
    async with database.read() as conn:
        author = documents.c.doc_metadata["author"].as_string()
        assert (await conn.execute(sa.select(author).where(author == "Ada"))).scalars().all() == ["Ada"]


@pytest.mark.parametrize(
    "given",
    [
        datetime(2026, 2, 28, 23, 59, 59, 999_999),
        datetime(1999, 12, 31, 0, 0, 0, 1),
        datetime(2026, 7, 1, 12, 0, tzinfo=UTC),
        datetime(2026, 7, 1, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    ],
)
async def test_moments_keep_microseconds_and_come_back_as_naive_utc(database: Database, given: datetime) -> None:
    expected = given.astimezone(UTC).replace(tzinfo=None) if given.tzinfo else given
    assert await stored(database, messages.c.created_at, message(created_at=given)) == expected


async def test_created_and_updated_fill_themselves(database: Database) -> None:
    before = utc_now()
    async with database.write() as conn:
        await conn.execute(accounts.insert().values(name="a", email="a@x"))
        first = (await conn.execute(sa.select(accounts))).one()
    assert before <= first.created_at <= utc_now()
    async with database.write() as conn:
        await conn.execute(accounts.update().values(name="b"))
        second = (await conn.execute(sa.select(accounts))).one()
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at
    assert second.status == "active"


async def test_prices_are_exact_to_seven_places_and_add_up(database: Database) -> None:
    async with database.write() as conn:
        for amount in ("0.0000001", "0.1", "0.2", "12345.6789"):
            await conn.execute(messages.insert().values(message(total_price=Decimal(amount))))
    async with database.read() as conn:
        stored_prices = (await conn.execute(sa.select(messages.c.total_price))).scalars().all()
        total = (await conn.execute(sa.select(sa.func.sum(messages.c.total_price)))).scalar_one()
    assert sorted(stored_prices) == [Decimal("0.0000001"), Decimal("0.1"), Decimal("0.2"), Decimal("12345.6789")]
    assert total == Decimal("12345.9789001")


async def test_ids_are_text_in_canonical_form(database: Database) -> None:
    given = uuid.uuid4()
    assert await stored(database, messages.c.app_id, message(app_id=given.hex.upper())) == str(given)
    async with database.read() as conn:
        found = await conn.execute(sa.select(messages.c.id).where(messages.c.app_id == str(given).upper()))
        assert isinstance(found.scalar_one(), str)


@pytest.mark.parametrize("text", ["", "abc", "../etc", "0" * 31, "'; drop table messages; --"])
async def test_what_is_not_an_id_is_bad_input(database: Database, text: str) -> None:
    async with database.read() as conn:
        with pytest.raises(BadInput, match="is not an id"):
            await conn.execute(sa.select(messages.c.id).where(messages.c.id == text))


async def test_a_number_beyond_64_bits_is_bad_input(database: Database) -> None:
    with pytest.raises(BadInput):
        await stored(database, messages.c.message_tokens, message(message_tokens=10**30))


async def test_bytes_round_trip(database: Database) -> None:
    vector = bytes(range(256)) * 600
    row = {"provider_name": "p", "model_name": "m", "hash": "h", "embedding": vector}
    assert await stored(database, embeddings.c.embedding, row) == vector


async def test_text_compares_by_case_on_every_engine(database: Database) -> None:
    row = {"tenant_id": new_id(), "app_id": new_id(), "type": "chat", "graph": {}, "created_by": new_id()}
    async with database.write() as conn:
        await conn.execute(workflows.insert().values({**row, "version": "Draft"}))
        found = await conn.execute(sa.select(workflows.c.id).where(workflows.c.version == "draft"))
        assert found.all() == []


def test_ids_of_a_process_sort_in_the_order_they_were_made() -> None:
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    parsed = uuid.UUID(ids[0])
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    made = datetime.fromtimestamp((parsed.int >> 80) / 1000, UTC)
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)
