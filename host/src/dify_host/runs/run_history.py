"""Finished and running workflow runs as the API shows them: one by id, and the log of an app."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository
from dify_host.db.tenant import Tenant
from dify_host.db.types import encode_json
from dify_host.identity.tables import accounts, end_users
from dify_host.runs.conversations import unix
from dify_host.runs.payloads import Payloads
from dify_host.runs.tables import workflow_app_logs, workflow_runs

__all__ = ["LogFilter", "LogPage", "RunDetail", "RunHistory"]


class RunDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One run; inputs and outputs are JSON texts. Every field is null for an unknown run."""

    id: str | None = None
    workflow_id: str | None = None
    status: str | None = None
    inputs: str | None = None
    outputs: str | None = None
    error: str | None = None
    total_steps: int | None = None
    total_tokens: int | None = None
    created_at: int | None = None
    finished_at: int | None = None
    elapsed_time: float | None = None


class LogFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs of an app's log are wanted."""

    keyword: str | None = None
    status: str | None = None
    before: datetime | None = None
    after: datetime | None = None
    session_id: str | None = None
    account_email: str | None = None


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the log, newest first."""

    page: int
    limit: int
    total: int
    has_more: bool
    data: list[dict[str, Any]]


class RunHistory(TenantRepository):
    """Runs of one tenant."""

    def __init__(self, db: Database, tenant: Tenant, payloads: Payloads) -> None:
        super().__init__(db, tenant)
        self._payloads = payloads

    async def get(self, app_id: str, run_id: str) -> RunDetail:
        """One run of an app."""
        table = workflow_runs
        query = self.scoped_select(table).where(table.c.id == run_id, table.c.app_id == app_id)
        async with self.db.read() as conn:
            row = (await conn.execute(query)).one_or_none()
        if row is None:
            return RunDetail()
        shown = await self._payloads.fill({"inputs": row.inputs, "outputs": row.outputs}, run_id=run_id)
        return RunDetail(
            id=row.id,
            workflow_id=row.workflow_id,
            status=row.status,
            inputs=encode_json(shown["inputs"]) if row.inputs is not None else None,
            outputs=encode_json(shown["outputs"]) if row.outputs is not None else None,
            error=row.error,
            total_steps=row.total_steps,
            total_tokens=row.total_tokens,
            created_at=unix(row.created_at),
            finished_at=unix(row.finished_at) if row.finished_at else None,
            elapsed_time=row.elapsed_time,
        )

    async def logs(self, app_id: str, wanted: LogFilter, *, page: int = 1, limit: int = 20) -> LogPage:
        """The log of an app."""
        log, run, user, account = workflow_app_logs, workflow_runs, end_users, accounts
        joined = (
            log.join(run, run.c.id == log.c.workflow_run_id)
            .outerjoin(user, sa.and_(user.c.id == log.c.created_by, log.c.created_by_role == "end_user"))
            .outerjoin(account, sa.and_(account.c.id == log.c.created_by, log.c.created_by_role == "account"))
        )
        conditions = [self.owned(log), log.c.app_id == app_id, *_conditions(wanted)]
        columns = [
            *(log.c[name].label(f"log_{name}") for name in ("id", "created_from", "created_by_role", "created_at")),
            *(run.c[name].label(f"run_{name}") for name in _RUN),
            *(user.c[name].label(f"user_{name}") for name in ("id", "type", "is_anonymous", "session_id")),
            *(account.c[name].label(f"account_{name}") for name in ("id", "name", "email")),
        ]
        query = sa.select(*columns).select_from(joined).where(*conditions)
        counted = sa.select(sa.func.count()).select_from(joined).where(*conditions)
        newest = query.order_by(log.c.created_at.desc(), log.c.id.desc()).limit(limit).offset((page - 1) * limit)
        async with self.db.read() as conn:
            total = (await conn.execute(counted)).scalar_one()
            rows = (await conn.execute(newest)).all()
        data = [_entry(row) for row in rows]
        return LogPage(page=page, limit=limit, total=total, has_more=page * limit < total, data=data)


_RUN = (
    "id", "version", "status", "triggered_from", "error", "elapsed_time", "total_tokens", "total_steps", "created_at",
    "finished_at", "exceptions_count",
)  # fmt: skip


def _conditions(wanted: LogFilter) -> list[sa.ColumnElement[bool]]:
    log, run = workflow_app_logs, workflow_runs
    found: list[sa.ColumnElement[bool]] = []
    if wanted.status:
        found.append(run.c.status == wanted.status)
    if wanted.before:
        found.append(log.c.created_at <= wanted.before)
    if wanted.after:
        found.append(log.c.created_at >= wanted.after)
    if wanted.session_id:
        found.append(end_users.c.session_id == wanted.session_id)
    if wanted.account_email:
        found.append(accounts.c.email == wanted.account_email)
    if wanted.keyword:
        escaped = wanted.keyword.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        pattern = f"%{escaped}%"
        texts = (sa.cast(run.c.inputs, sa.Text), sa.cast(run.c.outputs, sa.Text), end_users.c.session_id)
        found.append(sa.or_(*(text.like(pattern, escape="\\") for text in texts)))
    return found


def _entry(row: sa.Row[Any]) -> dict[str, Any]:
    run = {name: getattr(row, f"run_{name}") for name in _RUN}
    run |= {name: unix(run[name]) if run[name] else None for name in ("created_at", "finished_at")}
    user = {name: getattr(row, f"user_{name}") for name in ("id", "type", "is_anonymous", "session_id")}
    account = {name: getattr(row, f"account_{name}") for name in ("id", "name", "email")}
    return {
        "id": row.log_id,
        "workflow_run": run,
        "details": None,
        "created_from": row.log_created_from,
        "created_by_role": row.log_created_by_role,
        "created_by_account": account if account["id"] else None,
        "created_by_end_user": user if user["id"] else None,
        "created_at": unix(row.log_created_at),
    }
