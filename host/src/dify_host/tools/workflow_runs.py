"""Runs a workflow on behalf of a run that calls it as a tool, and keeps count of how deep such calls go."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from dify_kernel.errors import ToolError

from dify_host.apps.records import AppRecord
from dify_host.db.tenant import Tenant
from dify_host.runs.programs import Program
from dify_host.runs.recorder import Creator
from dify_host.runs.request import RunRequest
from dify_host.runs.service import RunService

__all__ = ["WorkflowCaller", "WorkflowRunner"]


class WorkflowCaller(msgspec.Struct, frozen=True, kw_only=True):
    """The run that calls tools: whose it is, and how deep."""

    creator: Creator
    user_id: str
    invoke_from: str = "service-api"
    depth: int = 0


class WorkflowRunner:
    """Runs workflows for one caller through the run service, as any other client of it does."""

    def __init__(self, runs: RunService, tenant: Tenant, caller: WorkflowCaller, *, max_depth: int) -> None:
        self._runs, self._tenant, self._caller, self._max_depth = runs, tenant, caller, max_depth

    async def run(self, program: Program, app: AppRecord, inputs: dict[str, Any]) -> dict[str, Any]:
        """The outputs of one run; ToolError with its error when it failed, or when calls go too deep."""
        if self._caller.depth >= self._max_depth:
            raise ToolError(
                f"Max workflow call depth {self._max_depth} reached.",
                hint="A workflow that calls itself as a tool has to end; WORKFLOW_CALL_MAX_DEPTH is the limit.",
                app=app.id,
            )
        request = RunRequest(
            tenant=self._tenant,
            app=app,
            creator=self._caller.creator,
            user_id=self._caller.user_id,
            inputs=inputs,
            invoke_from=self._caller.invoke_from,
            call_depth=self._caller.depth + 1,
        )
        started = await self._runs.start(program, request)
        run_id = started.handle.run.run_id
        try:
            finished = await started.handle.wait()
        except asyncio.CancelledError:
            started.handle.stop()
            raise
        if finished.status == "paused":
            raise ToolError(
                f"The workflow {app.name} waits for somebody.",
                hint="A workflow that is used as a tool cannot ask people.",
                run_id=run_id,
            )
        if finished.status not in ("succeeded", "partial-succeeded"):
            raise ToolError(finished.error or f"The workflow {app.name} was stopped.", run_id=run_id)
        return finished.outputs
