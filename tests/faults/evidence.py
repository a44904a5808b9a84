"""What is left when it is over: logs, rows, leases, jobs, what outsiders saw; and pictures of the logs meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import sqlalchemy as sa
from dify_host.apps.tables import app_triggers
from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseError
from dify_host.db.outbox import outbox
from dify_host.human.records import WAITING
from dify_host.human.tables import human_input_forms
from dify_host.knowledge.tables import documents
from dify_host.runs.tables import (
    messages,
    workflow_node_executions,
    workflow_run_events,
    workflow_run_leases,
    workflow_runs,
    workflow_trigger_logs,
)
from dify_kernel.graph.events import AnyEvent, decode_events

from tests.faults.clients import Accepted, Followed, Told
from tests.faults.effects import Arrival
from tests.faults.shelves import Shelf

__all__ = [
    "Evidence",
    "MessageRow",
    "Pictures",
    "RunRow",
    "TriggerRow",
    "collect",
    "open_forms",
    "strikes",
    "switch_schedules",
    "unsettled",
]


#: Where a document stands that nothing more happens to.
DOCUMENT_ENDS = ("completed", "error")


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `workflow_runs`."""

    id: str
    status: str
    outputs: Any
    error: str | None
    finished: bool


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `messages`; `run_id` is that of its run."""

    run_id: str
    status: str
    answer: str


class TriggerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `workflow_trigger_logs`; `word` is what a request said, `slot` the schedule and its time."""

    run_id: str
    status: str
    word: str = ""
    slot: str = ""


class Evidence(msgspec.Struct, kw_only=True):
    """All of it. `pictures` are rows of logs as they once were: (run, seq) -> payload.

    `pieces` says by the id of a knowledge base what a document of a name is cut into, see `shelf_problems`.
    """

    logs: dict[str, list[AnyEvent]] = {}
    rows: dict[tuple[str, int], str] = {}
    pictures: dict[tuple[str, int], str] = {}
    runs: list[RunRow] = []
    messages: list[MessageRow] = []
    nodes: dict[str, str] = {}
    triggers: list[TriggerRow] = []
    leases: list[str] = []
    jobs: list[str] = []
    arrivals: list[Arrival] = []
    followed: list[Followed] = []
    told: list[Told] = []
    hooked: list[str] = []
    accepted: list[Accepted] = []
    shelves: list[Shelf] = []
    pieces: dict[str, Callable[[str], list[str] | None]] = {}


class Pictures:
    """Takes a picture of all logs and ended documents again and again, for as long as the database answers."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.rows: dict[tuple[str, int], str] = {}
        self.changed: list[str] = []
        self._ended: dict[str, str] = {}

    async def take(self) -> None:
        """Keep what is new, and note what is another than before."""
        for key, payload in (await _log_rows(self._db)).items():
            if self.rows.setdefault(key, payload) != payload:
                self.changed.append(f"{key[0]} {key[1]}")
        columns = documents.c.id, documents.c.indexing_status, documents.c.error
        async with self._db.read() as conn:
            rows = (await conn.execute(sa.select(*columns))).all()
        for document_id, status, error in rows:
            if status not in DOCUMENT_ENDS and document_id not in self._ended:
                continue
            state = f"{status} {error or ''}"
            if self._ended.setdefault(document_id, state) != state:
                self.changed.append(f"document {document_id}: {self._ended[document_id]}, then {state}")

    async def keep_taking(self, every: float = 1.0) -> None:
        """Until cancelled."""
        while True:
            with suppress(DatabaseError):  # it is one of those that are killed
                await self.take()
            await asyncio.sleep(every)


async def open_forms(db: Database) -> list[str]:
    """The ids of forms that wait for an answer."""
    forms = human_input_forms
    async with db.read() as conn:
        return list((await conn.execute(sa.select(forms.c.id).where(forms.c.status == WAITING))).scalars())


async def unsettled(db: Database) -> dict[str, int]:
    """How much of what is to come to an end has not: by kind, without what there is none of."""
    ended = ("succeeded", "failed", "stopped", "partial-succeeded", "skipped")
    queries = {
        "runs": sa.select(workflow_runs.c.id).where(workflow_runs.c.finished_at.is_(None)),
        "leases": sa.select(workflow_run_leases.c.run_id),
        "jobs": sa.select(outbox.c.id).where(outbox.c.sent_at.is_(None)),
        "documents": sa.select(documents.c.id).where(documents.c.indexing_status.not_in(DOCUMENT_ENDS)),
        "triggers": sa.select(workflow_trigger_logs.c.id).where(workflow_trigger_logs.c.status.not_in(ended)),
    }
    async with db.read() as conn:
        found = {name: len((await conn.execute(query)).all()) for name, query in queries.items()}
    return {name: count for name, count in found.items() if count}


async def collect(db: Database) -> Evidence:
    """What the database says."""
    rows = await _log_rows(db)
    logs: dict[str, list[AnyEvent]] = {}
    for (run_id, _), payload in sorted(rows.items()):
        logs.setdefault(run_id, []).extend(decode_events(payload.encode()))
    runs, said, nodes = workflow_runs.c, messages.c, workflow_node_executions.c
    async with db.read() as conn:
        found = (await conn.execute(sa.select(runs.id, runs.status, runs.outputs, runs.error, runs.finished_at))).all()
        answers = (await conn.execute(sa.select(said.id, said.workflow_run_id, said.status, said.answer))).all()
        ended = (await conn.execute(sa.select(nodes.id, nodes.status))).all()
        fired = (await conn.execute(sa.select(workflow_trigger_logs))).all()
        leases = (await conn.execute(sa.select(workflow_run_leases.c.run_id))).scalars().all()
        jobs = (await conn.execute(sa.select(outbox.c.actor).where(outbox.c.sent_at.is_(None)))).scalars().all()
    return Evidence(
        logs=logs,
        rows=rows,
        runs=[
            RunRow(id=row.id, status=row.status, outputs=row.outputs, error=row.error, finished=bool(row.finished_at))
            for row in found
        ],
        messages=[MessageRow(run_id=row[1] or row[0], status=row[2], answer=row[3]) for row in answers],
        nodes={row.id: row.status for row in ended},
        triggers=[_trigger(row) for row in fired],
        leases=list(leases),
        jobs=list(jobs),
    )


def _trigger(row: Any) -> TriggerRow:
    if row.trigger_type == "trigger-webhook":
        word = row.inputs["webhook_data"]["body"]["word"]
        return TriggerRow(run_id=row.workflow_run_id, status=row.status, word=word)
    slot = f"{row.root_node_id} {row.trigger_metadata['scheduled_at']}"
    return TriggerRow(run_id=row.workflow_run_id or "", status=row.status, slot=slot)


async def switch_schedules(db: Database, *, on: bool) -> None:
    """Let the clock start runs, or no longer; what is under way goes on."""
    mine = app_triggers.c.trigger_type == "trigger-schedule"
    async with db.write() as conn:
        await conn.execute(app_triggers.update().where(mine).values(status="enabled" if on else "disabled"))


async def strikes(db: Database) -> int:
    """How often a schedule was due so far."""
    logs = workflow_trigger_logs
    query = sa.select(sa.func.count()).select_from(logs).where(logs.c.trigger_type == "trigger-schedule")
    async with db.read() as conn:
        return int((await conn.execute(query)).scalar_one())


async def _log_rows(db: Database) -> dict[tuple[str, int], str]:
    events = workflow_run_events.c
    async with db.read() as conn:
        found = (await conn.execute(sa.select(events.run_id, events.seq, events.payload))).all()
    return {(row.run_id, row.seq): row.payload for row in found}
