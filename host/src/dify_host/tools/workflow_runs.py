"""Runs a workflow on behalf of a run that calls it as a tool, and keeps count of how deep such calls go."""

from __future__ import annotations

import asyncio
import uuid
from itertools import count
from typing import Any, Final

import msgspec
from dify_kernel.errors import ToolError
from dify_kernel.graph.events import RunFinished

from dify_host.apps.records import AppRecord
from dify_host.db.tenant import Tenant
from dify_host.runs.event_log import SqlRunLogStore
from dify_host.runs.handle import Elsewhere, as_end
from dify_host.runs.programs import Program
from dify_host.runs.recorder import Creator
from dify_host.runs.request import RunRequest
from dify_host.runs.service import RunService

__all__ = ["WorkflowCaller", "WorkflowRunner"]

_ENDED_WELL: Final = ("succeeded", "partial-succeeded")


class WorkflowCaller(msgspec.Struct, frozen=True, kw_only=True):
    """The run that calls tools: whose it is, and how deep."""

    creator: Creator
    user_id: str
    invoke_from: str = "service-api"
    depth: int = 0


class WorkflowRunner:
    """Runs workflows for one caller through the run service, as any other client of it does.

    `logs` and `elsewhere` find runs that were begun before, by whichever process.
    """

    def __init__(
        self,
        runs: RunService,
        tenant: Tenant,
        caller: WorkflowCaller,
        *,
        logs: SqlRunLogStore,
        elsewhere: Elsewhere,
        max_depth: int,
    ) -> None:
        self._runs, self._tenant, self._caller, self._max_depth = runs, tenant, caller, max_depth
        self._logs, self._elsewhere = logs, elsewhere

    async def run(self, program: Program, app: AppRecord, inputs: dict[str, Any], *, key: str = "") -> dict[str, Any]:
        """The outputs of one run; ToolError with its error when it failed, or when calls go too deep.

        A call that is made again under its `key` gets the run that it began before, unless that one failed.
        """
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
        run_id, finished = await self._finished(program, request, key)
        if finished.status == "paused":
            raise ToolError(
                f"The workflow {app.name} waits for somebody.",
                hint="A workflow that is used as a tool cannot ask people.",
                run_id=run_id,
            )
        if finished.status not in _ENDED_WELL:
            raise ToolError(finished.error or f"The workflow {app.name} was stopped.", run_id=run_id)
        return finished.outputs

    async def _finished(self, program: Program, request: RunRequest, key: str) -> tuple[str, RunFinished]:
        """The run of a call and how it ended: the one that goes on or ended well, or else a new one."""
        for number in count():
            if not key:
                break
            run_id = self._run_id(request.app, key, number)
            earlier = await self._earlier(run_id)
            if earlier is None:
                request = msgspec.structs.replace(request, run_id=run_id)
                break
            if earlier.status in (*_ENDED_WELL, "paused"):
                return run_id, earlier
        started = await self._runs.start(program, request)
        try:
            return started.handle.run.run_id, await started.handle.wait()
        except asyncio.CancelledError:
            started.handle.stop()
            raise

    def _run_id(self, app: AppRecord, key: str, number: int) -> str:
        """The id of the n-th run of one call: whoever makes the call again finds what was begun for it."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._tenant.id}/{app.id}/{key}/{number}"))

    async def _earlier(self, run_id: str) -> RunFinished | None:
        """How a run ends that was begun before; None when there is none."""
        here = self._runs.find(run_id)
        if here is None:
            begun = await self._logs.load(run_id, until=1, payloads=False)
            return as_end(await self._elsewhere.wait(run_id)) if begun else None
        try:
            return await here.wait()
        except asyncio.CancelledError:
            here.stop()
            raise
