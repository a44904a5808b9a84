"""Whatever JSON value, text or time goes in comes out the same; values are invented, engines are real."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.types import new_id
from dify_host.runs.tables import messages
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60)
NUMBERS = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1))
ROWS = st.lists(st.tuples(TEXT, JSON, MOMENTS), min_size=1, max_size=20)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS)
async def test_any_row_round_trips(database: Database, rows: list[tuple[str, Any, datetime]]) -> None:
    made = [
        {
            "id": new_id(),
            "app_id": new_id(),
            "conversation_id": new_id(),
            "query": "",
            "from_source": "api",
            "answer": text,
            "inputs": value,
            "created_at": moment,
        }
        for text, value, moment in rows
    ]
    async with database.write() as conn:
        await conn.execute(messages.delete())
        await conn.execute(messages.insert(), made)
    async with database.read() as conn:
        found = (await conn.execute(sa.select(messages).order_by(messages.c.id))).all()
    assert [(row.answer, row.created_at) for row in found] == [(text, moment) for text, _, moment in rows]
    # Compared as text: True and 1, or 0.0 and -0.0, are equal in Python and are not the same JSON.
    assert [msgspec.json.encode(row.inputs) for row in found] == [msgspec.json.encode(row[1]) for row in rows]
