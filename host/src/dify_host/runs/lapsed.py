"""Ends runs whose process is gone: nobody renews their lease, so a sweep takes it and writes the terminal event."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

import sqlalchemy as sa
from dify_kernel.contracts.node import RunInfo
from dify_kernel.errors import RunFenced
from dify_kernel.graph.events import AnyEvent, NodeFinished, NodeRetried, NodeStarted, RunFinished

from dify_host.db.engine import Database, database_now
from dify_host.db.writer import Group
from dify_host.runs.event_log import SqlRunLog, SqlRunLogStore
from dify_host.runs.message_rows import message_outcome
from dify_host.runs.recorder import Creator, WorkflowRows
from dify_host.runs.tables import messages, workflow_run_leases, workflow_runs

__all__ = ["ENDED_WITHOUT_PROCESS", "fail_lapsed_runs"]

log = logging.getLogger(__name__)

ENDED_WITHOUT_PROCESS = "The process that ran this run ended."
#: How long a lease must be over: a process that was slow for a moment keeps its runs.
_GRACE = timedelta(seconds=30)
_BATCH = 200


async def fail_lapsed_runs(db: Database, store: SqlRunLogStore, *, owner: str, grace: timedelta = _GRACE) -> int:
    """End every run whose lease has been over for `grace` as failed, through its log, and return how many.

    Several may sweep at once: whoever takes the lease ends the run, and a run that has ended stays as it is.
    """
    count, seen = 0, ""
    leases = workflow_run_leases
    while True:
        async with db.read() as conn:
            before = await database_now(conn) - grace
            lapsed = sa.select(leases.c.run_id).where(leases.c.expires_at < before)
            if seen:
                lapsed = lapsed.where(leases.c.run_id > seen)
            run_ids = (await conn.execute(lapsed.order_by(leases.c.run_id).limit(_BATCH))).scalars().all()
        for run_id in run_ids:
            try:
                count += await _fail(db, store, run_id, owner)
            except RunFenced as exc:
                log.info("A lapsed run has found another process: %s", exc)
        if len(run_ids) < _BATCH:
            return count
        seen = run_ids[-1]


async def _fail(db: Database, store: SqlRunLogStore, run_id: str, owner: str) -> int:
    """Take one run and end it; 0 when it has ended meanwhile."""
    run_log = await store.open(run_id, owner)
    try:
        events = await store.load(run_id)
        if events and isinstance(events[-1], RunFinished):
            return 0
        finished = _finished(events)
        run_log.append(finished)
        await _record(db, run_id, events, finished, run_log)
        await run_log.flush()
    finally:
        run_log.release()
    return 1


def _finished(events: list[AnyEvent]) -> RunFinished:
    """The end of a run that stopped in the middle, with what its finished nodes have cost."""
    now = time.time()
    ended = [event for event in events if isinstance(event, NodeFinished)]
    tokens = sum(int(event.metadata.get("total_tokens") or 0) for event in ended)
    return RunFinished(
        seq=(events[-1].seq if events else 0) + 1,
        at=now,
        status="failed",
        error=ENDED_WITHOUT_PROCESS,
        error_type="ProcessEnded",
        elapsed_time=max(now - events[0].at, 0.0) if events else 0.0,
        total_tokens=tokens,
        total_steps=sum(isinstance(event, NodeStarted | NodeRetried) for event in events),
        exceptions_count=sum(event.status != "succeeded" for event in ended),
        usage={"total_tokens": tokens},
    )


async def _record(db: Database, run_id: str, events: list[AnyEvent], finished: RunFinished, run_log: SqlRunLog) -> None:
    """Bring the rows of the run and of its message to the same end."""
    runs = workflow_runs
    mine = sa.or_(messages.c.workflow_run_id == run_id, messages.c.id == run_id)
    async with db.read() as conn:
        run = (await conn.execute(sa.select(runs).where(runs.c.id == run_id))).one_or_none()
        message_ids = (await conn.execute(sa.select(messages.c.id).where(mine))).scalars().all()
    if run is not None:
        info = RunInfo(run_id=run_id, tenant_id=run.tenant_id, app_id=run.app_id, workflow_id=run.workflow_id)
        creator = Creator(role=run.created_by_role, id=run.created_by)
        rows = WorkflowRows(info, creator, mode=run.type, version=run.version, triggered_from=run.triggered_from)
        seen = Group()
        for event in events:
            rows.record(event, seen)  # what is written already; only the nodes that are open count
        rows.record(finished, run_log.group)
    for message_id in message_ids:
        run_log.group.update(messages, message_id, message_outcome(finished, "", []))
