"""Questions and hits are recorded in batches beside the answers: all of them, once, also by the end of a process."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
import sqlalchemy as sa
from dify_host.knowledge import recording
from dify_host.knowledge.recording import Asker
from dify_host.knowledge.tables import dataset_queries, document_segments

from .house import House

TEXT = "tea is green\ncoffee is black\nmilk is white\nwater is clear"


async def recorded(house: House) -> tuple[int, Counter[str]]:
    """How many questions are recorded, and how often each text was found."""
    async with house.db.read() as conn:
        asked = (await conn.execute(sa.select(sa.func.count()).select_from(dataset_queries))).scalar_one()
        rows = await conn.execute(sa.select(document_segments.c.content, document_segments.c.hit_count))
        return asked, Counter({row.content: row.hit_count for row in rows})


async def test_everything_is_there_at_an_orderly_end(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset()
    await house.add(dataset.id, TEXT)
    wanted: Counter[str] = Counter()

    async def ask(number: int) -> None:
        model = {"top_k": 1 + number % 3, "search_method": "semantic_search"}
        found = await house.retriever.retrieve(dataset.id, f"tea {number}", Asker(user_id=house.user), model)
        wanted.update(hit.segment.content for hit in found)

    await asyncio.gather(*(ask(number) for number in range(20)))
    await house.recorded()
    assert await recorded(house) == (20, wanted)
    await ask(1)
    await house.recorded()
    assert await recorded(house) == (21, wanted)


async def test_it_is_written_by_itself_or_at_once_for_who_waits(house: House) -> None:
    dataset = await house.dataset()
    await house.add(dataset.id, TEXT)
    house.writer.start()
    await house.retriever.retrieve(dataset.id, "tea", Asker(user_id=house.user))
    await house.knowledge.recorded()
    assert (await house.knowledge.lists.queries(dataset.id)).total == 1
    await house.retriever.retrieve(dataset.id, "milk", Asker(user_id=house.user))
    async with asyncio.timeout(20):
        while (await recorded(house))[0] < 2:
            await asyncio.sleep(0.01)
    await house.writer.close()


async def test_who_asks_waits_while_too_much_waits_for_the_database(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_ROWS", 1)
    dataset = await house.dataset()
    asker = Asker(user_id=house.user)
    for _ in range(recording._BATCHES - 1):
        await house.log.note(house.rows, [dataset.id], "tea", [], asker)
    last = asyncio.create_task(house.log.note(house.rows, [dataset.id], "tea", [], asker))
    done, _ = await asyncio.wait([last], timeout=0.05)
    assert not done
    house.writer.start()
    await last
    await house.recorded()
    assert (await recorded(house))[0] == recording._BATCHES


async def test_the_rows_of_hits_are_looked_up_by_their_ids(house: House) -> None:
    from dify_host.knowledge.found_rows import FoundRows

    plans: list[str] = []

    def look(conn: sa.Connection) -> None:
        def explained(_conn: object, cursor: object, statement: str, given: tuple[object, ...], *_more: object) -> None:
            if statement.startswith("SELECT"):
                found = conn.connection.cursor()
                found.execute(f"EXPLAIN QUERY PLAN {statement}", given)
                plans.extend(str(row[3]) for row in found.fetchall())

        sa.event.listen(conn, "before_cursor_execute", explained)
        rows, id = FoundRows(house.tenant), house.user
        rows.by_node(conn, id, [id])
        rows.by_id(conn, id, [id])
        rows.children(conn, id, [id])
        rows.hidden(conn, id, 5)

    await house.db.run_read(look)
    assert len(plans) == 6
    assert all("SEARCH" in plan and "SCAN" not in plan for plan in plans)
    assert "(index_node_id=? AND dataset_id=?)" in plans[0]
    assert "(id=?)" in plans[2]
    assert "(index_node_id=? AND dataset_id=?)" in plans[4]
    assert "(dataset_id=? AND indexing_status=?)" in plans[5]
