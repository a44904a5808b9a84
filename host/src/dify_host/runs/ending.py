"""Ends a run that no process has, through its log and with all its rows: it cannot go on, or somebody stopped it."""

from __future__ import annotations

import time
from collections.abc import Callable

import sqlalchemy as sa
from dify_kernel.contracts.node import RunInfo
from dify_kernel.graph.events import AnyEvent, NodeFinished, NodeRetried, NodeStarted, RunFinished, RunStarted

from dify_host.db.engine import Database
from dify_host.db.writer import Group
from dify_host.runs.context import RunContext, read_context
from dify_host.runs.event_log import SqlRunLog, SqlRunLogStore
from dify_host.runs.message_rows import message_outcome
from dify_host.runs.recorder import Creator, Rows, WorkflowRows
from dify_host.runs.tables import messages, workflow_runs

__all__ = ["MoreRows", "end_run"]

MoreRows = Callable[[RunContext], list[Rows]]
"""What other domains keep of a run."""


async def end_run(
    db: Database,
    store: SqlRunLogStore,
    run_id: str,
    *,
    owner: str,
    status: str,
    error: str,
    error_type: str,
    more_rows: MoreRows = lambda _context: [],
) -> bool:
    """Take a run and end it; False when it has ended already. RunFenced while a process has it."""
    run_log = await store.open(run_id, owner)
    try:
        events = await store.load(run_id, payloads=False)  # it can be ended though a value of it is lost
        if events and isinstance(events[-1], RunFinished):
            return False
        finished = _finished(events, status, error, error_type)
        run_log.append(finished)
        if events and isinstance(events[0], RunStarted) and events[0].context:
            for rows in more_rows(read_context(events)):
                _end_rows(rows, events, finished, run_log)
        await _record(db, run_id, events, finished, run_log)
        await run_log.flush()
    finally:
        run_log.release()
    return True


def _finished(events: list[AnyEvent], status: str, error: str, error_type: str) -> RunFinished:
    """The end of a run that stopped in the middle, with what its finished nodes have cost."""
    now = time.time()
    ended = [event for event in events if isinstance(event, NodeFinished)]
    shown = [event for event in ended if not event.scope]
    tokens = sum(int(event.usage.get("total_tokens") or 0) for event in ended)
    return RunFinished(
        seq=(events[-1].seq if events else 0) + 1,
        at=now,
        status=status,
        error=error,
        error_type=error_type,
        elapsed_time=max(now - events[0].at, 0.0) if events else 0.0,
        total_tokens=tokens,
        total_steps=sum(isinstance(event, NodeStarted | NodeRetried) and not event.scope for event in events),
        exceptions_count=sum(event.status != "succeeded" for event in shown),
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
        _end_rows(rows, events, finished, run_log)
    for message_id in message_ids:
        run_log.group.update(messages, message_id, message_outcome(finished, "", []))


def _end_rows(rows: Rows, events: list[AnyEvent], finished: RunFinished, run_log: SqlRunLog) -> None:
    seen = Group()
    for event in events:
        rows.record(event, seen)  # what is written already; only what is open counts
    rows.record(finished, run_log.group)
