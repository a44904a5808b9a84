"""Whose turn it is: a workspace with much to do keeps no other one waiting, and no task is lost or done twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa
from dify_host.db.outbox import claim_batch, mark_sent
from dify_host.db.types import new_id, utc_now
from dify_host.knowledge.tables import knowledge_tasks, knowledge_turns
from dify_host.knowledge.tasks import INDEX, Tasks, wake_lost_turns
from dify_host.knowledge.waiting import Backlog, backlog
from dify_kernel.errors import BadInput

from .house import House

LINES = "\n".join(f"Fact number {n}: the code of room {n} is {n * 37}." for n in range(40))


async def done(house: House, dataset_id: str) -> int:
    """How many documents are completed."""
    return (await house.documents.find(dataset_id, status="available")).total


async def test_one_document_does_not_wait_for_the_many_of_another_workspace(any_house: House) -> None:
    busy = any_house
    quick = House(busy.db, busy.stores, storage=busy.storage, turn_seconds=0)
    crowd, alone = await busy.dataset(technique="economy"), await quick.dataset(technique="economy")
    for number in range(30):
        await busy.queue(crowd.id, f"Text {number}")
    await quick.queue(alone.id, "The only one")
    async with busy.db.read() as conn:
        slots = (await conn.execute(sa.select(knowledge_turns).where(knowledge_turns.c.active.is_(True)))).all()
    assert sorted(row.tenant_id for row in slots).count(busy.tenant.id) == 2  # and not a job for each document
    assert await quick.turn() == 3  # one turn of each slot that is at work; a turn of no time does one task
    assert (await done(busy, crowd.id), await done(quick, alone.id)) == (2, 1)
    await quick.work()
    assert await done(busy, crowd.id) == 30
    assert await busy.tasks() == []


async def test_a_long_document_is_left_between_batches_and_goes_on_in_its_next_turn(house: House) -> None:
    slow = House(house.db, house.stores, storage=house.storage, turn_seconds=0)
    dataset = await slow.dataset()
    document_id = await slow.queue(dataset.id, LINES)
    seen = []
    while await slow.turn():
        (state,) = await slow.documents.indexing_status(dataset.id, await batch_of(slow, dataset.id, document_id))
        seen.append(state.completed_segments)
    assert seen[-1] == 40
    assert (await slow.documents.get(dataset.id, document_id)).indexing_status == "completed"
    assert len({text for call in slow.models.embedded for text in call}) == 40
    assert sum(len(call) for call in slow.models.embedded) == 40


async def batch_of(house: House, dataset_id: str, document_id: str) -> str:
    """The batch of a document."""
    async with house.rows.db.read() as conn:
        return (await house.rows.document(conn, dataset_id, document_id)).batch


async def test_a_turn_that_is_delivered_twice_is_one_turn(house: House) -> None:
    dataset = await house.dataset(technique="economy")
    await house.queue(dataset.id, "Text")
    (job,) = await claim_batch(house.db)
    await mark_sent(house.db, [job.id])
    await asyncio.gather(*(house.turns.run(**job.args) for _ in range(3)))
    await house.turns.run(**job.args)
    assert await done(house, dataset.id) == 1
    assert await claim_batch(house.db) == []
    await house.queue(dataset.id, "More")
    (again,) = await claim_batch(house.db)
    assert again.args["turn"] == job.args["turn"] + 1


async def test_what_is_asked_for_while_it_is_done_is_done_again(house: House) -> None:
    tasks = Tasks(house.db, house.tenant)
    target, dataset_id = new_id(), new_id()
    async with house.db.write() as conn:
        await tasks.add(conn, INDEX, dataset_id, [target])
    (job,) = await claim_batch(house.db)
    slot, turn = job.args["slot"], job.args["turn"]
    task = await tasks.take(slot, turn)
    assert task is not None
    async with house.db.write() as conn:
        await tasks.add(conn, INDEX, dataset_id, [target])
    await tasks.settle(task)
    again = await tasks.take(slot, turn)
    assert again is not None
    assert again.target_id == target
    await tasks.settle(again)
    assert await tasks.take(slot, turn) is None


async def test_a_slot_whose_job_was_lost_is_woken(house: House) -> None:
    dataset = await house.dataset(technique="economy")
    await house.queue(dataset.id, "Text")
    lost = await claim_batch(house.db)
    await mark_sent(house.db, [job.id for job in lost])  # and nobody ever gets it
    assert await wake_lost_turns(house.db) == 0
    async with house.db.write() as conn:
        await conn.execute(knowledge_turns.update().values(looked_at=utc_now() - timedelta(minutes=6)))
    assert await wake_lost_turns(house.db) == 1
    assert await wake_lost_turns(house.db) == 0
    await house.work()
    assert await done(house, dataset.id) == 1


async def test_a_task_that_fails_keeps_its_error_until_it_is_asked_for_again(house: House) -> None:
    tasks = Tasks(house.db, house.tenant)
    target = new_id()
    async with house.db.write() as conn:
        await tasks.add(conn, "broken", new_id(), [target])
    tries = []

    async def handler(task: object, until: float) -> bool:
        tries.append(task)
        raise BadInput("It cannot be.", hint="Try something else.")

    house.handlers = {"broken": handler}
    await house.work()
    async with house.db.read() as conn:
        (row,) = (await conn.execute(sa.select(knowledge_tasks))).all()
    assert (row.error, row.slot, len(tries)) == ("It cannot be. Try something else.", None, 1)
    async with house.db.write() as conn:
        await tasks.add(conn, "broken", new_id(), [target])
    await house.work()
    assert len(tries) == 2


async def test_what_waits_in_all_workspaces_is_counted(any_house: House) -> None:
    house, other = any_house, House(any_house.db, any_house.stores)
    assert await backlog(house.db) == Backlog(waiting=0, failed=0, workspaces=0, quiet_since=None)
    tasks = Tasks(other.db, other.tenant)
    async with house.db.write() as conn:
        await Tasks(house.db, house.tenant).add(conn, INDEX, new_id(), [new_id(), new_id()])
        await tasks.add(conn, INDEX, new_id(), [new_id()])
    task = await tasks.take(0, 1)
    assert task is not None
    await tasks.settle(task, error="It cannot be.")
    found = await backlog(house.db)
    assert (found.waiting, found.failed, found.workspaces) == (2, 1, 2)
    assert found.quiet_since is not None
    assert utc_now() - found.quiet_since < timedelta(minutes=1)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_who_drops_tasks_waits_for_the_slots_first(any_house: House) -> None:
    """Who takes a task locks them in that order, so that another one would be a deadlock."""
    house = any_house
    dataset = await house.dataset(technique="economy")
    document_id = await house.queue(dataset.id, "Text")
    async with house.db.write() as conn:
        await conn.execute(sa.select(knowledge_turns.c.slot).with_for_update())
        deleted = asyncio.ensure_future(house.documents.delete(dataset.id, document_id))
        await house.blocked(deleted)
        task = sa.select(knowledge_tasks.c.target_id).with_for_update(nowait=True)
        assert (await conn.execute(task)).scalar_one() == document_id
    await deleted
    assert await house.tasks() == []
