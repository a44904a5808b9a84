"""Workflow runs that are under way or over: one by its id, and the log of an app."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from dify_kernel.errors import BadInput
from litestar import Controller, get
from litestar.params import FromQuery

from dify_host.http.callers import AppKey, Call, platform_of
from dify_host.runs.live_apps import NotWorkflowApp
from dify_host.runs.run_history import LogFilter, LogPage, RunDetail, RunHistory
from dify_host.service.shapes import IdInPath, Limit, PageNumber

__all__ = ["WorkflowRunController"]

Status = Literal["succeeded", "failed", "stopped", "partial-succeeded", "paused"]


class WorkflowRunController(Controller):
    """Routes of finished and running workflows."""

    path = "/workflows"
    tags = ("Workflow runs",)

    @get("/run/{workflow_run_id:uuid}")
    async def detail(self, workflow_run_id: IdInPath, caller: AppKey, request: Call) -> RunDetail:
        """One run of the app; every field is null for an unknown one."""
        platform = platform_of(request)
        app = await platform.live_apps.record(caller.workspace.app_repository, caller.app_id)
        if app.mode not in ("workflow", "advanced-chat"):
            raise NotWorkflowApp("Please check if your app mode matches the right API route.", app_id=app.id)
        history = RunHistory(platform.db, caller.tenant, platform.payloads)
        return await history.get(caller.app_id, str(workflow_run_id))

    @get("/logs")
    async def logs(
        self,
        caller: AppKey,
        request: Call,
        keyword: FromQuery[str | None] = None,
        status: FromQuery[Status | None] = None,
        created_at__before: FromQuery[str | None] = None,
        created_at__after: FromQuery[str | None] = None,
        created_by_end_user_session_id: FromQuery[str | None] = None,
        created_by_account: FromQuery[str | None] = None,
        page: PageNumber = 1,
        limit: Limit = 20,
    ) -> LogPage:
        """The log of the app, newest first; times are ISO 8601, in UTC unless they name a zone."""
        wanted = LogFilter(
            keyword=keyword,
            status=status,
            before=_moment("created_at__before", created_at__before),
            after=_moment("created_at__after", created_at__after),
            session_id=created_by_end_user_session_id,
            account_email=created_by_account,
        )
        platform = platform_of(request)
        history = RunHistory(platform.db, caller.tenant, platform.payloads)
        return await history.logs(caller.app_id, wanted, page=page, limit=limit)


def _moment(field: str, text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        # A plus sign that nobody escaped arrives as a space.
        return datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError as exc:
        raise BadInput(f"{field} is no time.", hint="Use ISO 8601, as 2026-01-31T12:00:00Z.", field=field) from exc
