"""The workflow runs of an app as those who build it look at them: lists, counts, one with everything about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import NotFound

from dify_host.apps.tables import workflows
from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository
from dify_host.db.tenant import Tenant
from dify_host.db.types import utc_now
from dify_host.runs.conversations import unix
from dify_host.runs.node_records import maker_view, makers
from dify_host.runs.payloads import Payloads
from dify_host.runs.spans import read_span
from dify_host.runs.tables import messages, workflow_run_leases, workflow_runs

__all__ = ["RunFilter", "RunList", "RunRecords", "run_exists"]

#: As callers spell them; a status that is not listed still counts in the total.
_STATUSES: Final = ("running", "succeeded", "failed", "stopped", "partial-succeeded")
_BOTH: Final = ("id", "version", "status", "elapsed_time", "total_tokens", "total_steps", "exceptions_count")
_runs = workflow_runs


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs are wanted; `time_range` is a number and one of d, h, m, s, as `7d`."""

    status: str | None = None
    triggered_from: tuple[str, ...] = ("debugging",)
    time_range: str | None = None


class RunList(msgspec.Struct, frozen=True, kw_only=True):
    """Runs, newest first; `has_more` when the last of them has older ones behind it."""

    limit: int
    has_more: bool
    data: list[dict[str, Any]]


class RunRecords(TenantRepository):
    """The runs of one workspace."""

    def __init__(self, db: Database, tenant: Tenant, payloads: Payloads) -> None:
        super().__init__(db, tenant)
        self._payloads = payloads

    async def page(self, app_id: str, wanted: RunFilter, *, last_id: str | None, limit: int, chat: bool) -> RunList:
        """The runs after `last_id`; of a chat with conversation and message. NotFound for an unknown `last_id`."""
        joined, columns = makers(_runs)
        query = sa.select(_runs, *columns).select_from(joined).where(*self._wanted(app_id, wanted))
        async with self.db.read() as conn:
            if last_id:
                where = self.scoped_select(_runs, _runs.c.created_at, _runs.c.id)
                last = (await conn.execute(where.where(_runs.c.id == last_id, _runs.c.app_id == app_id))).first()
                if last is None:
                    raise NotFound("Last workflow run not exists", run_id=last_id)
                query = query.where(
                    sa.tuple_(_runs.c.created_at, _runs.c.id)
                    < sa.tuple_(last.created_at, sa.literal(last.id, _runs.c.id.type))
                )
            newest = query.order_by(_runs.c.created_at.desc(), _runs.c.id.desc()).limit(limit + 1)
            rows = (await conn.execute(newest)).all()
            said = await self._messages(conn, [row.id for row in rows]) if chat else {}
        data = [_item(row, said.get(row.id), chat=chat) for row in rows[:limit]]
        return RunList(limit=limit, has_more=len(rows) > limit, data=data)

    async def count(self, app_id: str, wanted: RunFilter) -> dict[str, int]:
        """How many runs there are, and how many of each status."""
        query = sa.select(_runs.c.status, sa.func.count()).where(*self._wanted(app_id, wanted)).group_by(_runs.c.status)
        async with self.db.read() as conn:
            found = {row[0]: row[1] for row in await conn.execute(query)}
        counts = {status.replace("-", "_"): found.get(status, 0) for status in _STATUSES}
        return {"total": sum(found.values()), **counts}

    async def detail(self, app_id: str, run_id: str) -> dict[str, Any]:
        """One run with its graph, inputs and outputs; NotFound."""
        joined, columns = makers(_runs)
        query = sa.select(_runs, *columns).select_from(joined).where(self.owned(_runs), _runs.c.app_id == app_id)
        async with self.db.read() as conn:
            row = (await conn.execute(query.where(_runs.c.id == run_id))).first()
            if row is None:
                raise NotFound("Workflow run not found", run_id=run_id)
            graph = row.graph
            if graph is None:
                version = self.scoped_select(workflows, workflows.c.graph).where(workflows.c.id == row.workflow_id)
                graph = (await conn.execute(version)).scalar()
        return {
            **{name: getattr(row, name) for name in _BOTH},
            "graph": graph or {},
            **await self._payloads.fill({"inputs": row.inputs, "outputs": row.outputs}, run_id=run_id),
            "error": row.error,
            "created_by_role": row.created_by_role,
            **maker_view(row),
            **_times(row),
        }

    async def app_of(self, run_id: str) -> str:
        """The app that a run of the workspace belongs to; NotFound."""
        query = self.scoped_select(_runs, _runs.c.app_id).where(_runs.c.id == run_id)
        async with self.db.read() as conn:
            found: str | None = (await conn.execute(query)).scalar()
        if found is None:
            raise NotFound("Workflow run not found", run_id=run_id)
        return found

    async def _messages(self, conn: Any, run_ids: list[str]) -> dict[str, sa.Row[Any]]:
        query = sa.select(messages.c.id, messages.c.conversation_id, messages.c.workflow_run_id)
        found = await conn.execute(query.where(messages.c.workflow_run_id.in_(run_ids))) if run_ids else []
        return {row.workflow_run_id: row for row in found}

    def _wanted(self, app_id: str, wanted: RunFilter) -> list[sa.ColumnElement[bool]]:
        found = [self.owned(_runs), _runs.c.app_id == app_id, _runs.c.triggered_from.in_(wanted.triggered_from)]
        if wanted.status:
            found.append(_runs.c.status == wanted.status)
        if wanted.time_range:
            found.append(_runs.c.created_at >= utc_now() - read_span(wanted.time_range, "time_range"))
        return found


async def run_exists(db: Database, run_id: str) -> bool:
    """Whether any process has begun the run: its lease is the first that is written, its row stays."""
    runs, leases = workflow_runs, workflow_run_leases
    begun = sa.union_all(
        sa.select(runs.c.id).where(runs.c.id == run_id), sa.select(leases.c.run_id).where(leases.c.run_id == run_id)
    )
    async with db.read() as conn:
        return (await conn.execute(begun)).first() is not None


def _item(row: sa.Row[Any], message: sa.Row[Any] | None, *, chat: bool) -> dict[str, Any]:
    said: Mapping[str, Any] = {}
    if chat:
        said = {
            "conversation_id": message.conversation_id if message is not None else None,
            "message_id": message.id if message is not None else None,
        }
    account = maker_view(row)["created_by_account"]
    made = {"created_by_account": account, **_times(row), "retry_index": None}
    return {**{name: getattr(row, name) for name in _BOTH}, **said, **made}


def _times(row: sa.Row[Any]) -> dict[str, Any]:
    finished = unix(row.finished_at) if row.finished_at else None
    return {"created_at": unix(row.created_at), "finished_at": finished}
