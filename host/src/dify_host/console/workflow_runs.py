"""The runs of an app: lists, counts, one with all that its nodes did and where its time went, and another try."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from litestar import Controller, get, post
from litestar.params import FromQuery
from litestar.response import Stream

from dify_host.apps.draft_variables import DraftVariables
from dify_host.console.shapes import ANY_WORKFLOW, CHATFLOW, app_of
from dify_host.console.streams import PING_EVERY, stream_of
from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import MEMBERS, WRITERS, ConsoleAccount, ConsoleCaller
from dify_host.runs.node_records import NodeRecords
from dify_host.runs.reruns import prepare_rerun
from dify_host.runs.run_records import RunFilter, RunList, RunRecords
from dify_host.runs.trace import RunTrace, trace_run
from dify_host.service.shapes import IdInPath, Limit

__all__ = ["RunHistoryController", "RunRoutes", "runs_of"]

Status = Literal["running", "succeeded", "failed", "stopped", "partial-succeeded", "paused"]
Trigger = Literal["debugging", "app-run"]


class RunRoutes(Controller):
    """Routes of one run, the same for runs of all owners of these `modes`."""

    modes: ClassVar[tuple[str, ...]]
    opt = MEMBERS

    @get("/workflow-runs/{run_id:uuid}")
    async def detail(self, app_id: IdInPath, run_id: IdInPath, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """One run with its graph, inputs and outputs."""
        app = await app_of(caller, app_id, self.modes)
        return await runs_of(caller, request).detail(app.id, str(run_id))

    @get("/workflow-runs/{run_id:uuid}/node-executions")
    async def nodes(self, app_id: IdInPath, run_id: IdInPath, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """What the nodes of a run took, did and gave."""
        app = await app_of(caller, app_id, self.modes)
        platform = platform_of(request)
        records = NodeRecords(platform.db, caller.tenant, platform.payloads)
        return {"data": await records.of_run(app.id, str(run_id))}

    @get("/workflow-runs/{run_id:uuid}/trace")
    async def trace(self, app_id: IdInPath, run_id: IdInPath, caller: ConsoleAccount, request: Call) -> RunTrace:
        """Where the time of a run went, node by node and between them; also of one that is under way."""
        app = await app_of(caller, app_id, self.modes)
        run = await runs_of(caller, request).detail(app.id, str(run_id))
        events = await platform_of(request).run_logs.load(run["id"], payloads=False)
        return trace_run(run["id"], events, run["graph"])


class RunHistoryController(RunRoutes):
    """Routes of the runs of workflow apps."""

    path = "/apps/{app_id:uuid}"
    modes = ANY_WORKFLOW

    @get("/workflow-runs")
    async def listed(
        self,
        app_id: IdInPath,
        caller: ConsoleAccount,
        request: Call,
        last_id: FromQuery[str | None] = None,
        limit: Limit = 20,
        status: FromQuery[Status | None] = None,
        triggered_from: FromQuery[Trigger] = "debugging",
    ) -> RunList:
        """The runs, newest first."""
        app = await app_of(caller, app_id, ANY_WORKFLOW)
        wanted = RunFilter(status=status, triggered_from=(triggered_from,))
        return await runs_of(caller, request).page(app.id, wanted, last_id=last_id, limit=limit, chat=False)

    @get("/advanced-chat/workflow-runs")
    async def listed_chats(
        self,
        app_id: IdInPath,
        caller: ConsoleAccount,
        request: Call,
        last_id: FromQuery[str | None] = None,
        limit: Limit = 20,
        status: FromQuery[Status | None] = None,
        triggered_from: FromQuery[Trigger] = "debugging",
    ) -> RunList:
        """The runs of a chatflow with their conversations and messages, newest first."""
        app = await app_of(caller, app_id, CHATFLOW)
        wanted = RunFilter(status=status, triggered_from=(triggered_from,))
        return await runs_of(caller, request).page(app.id, wanted, last_id=last_id, limit=limit, chat=True)

    @get(["/workflow-runs/count", "/advanced-chat/workflow-runs/count"])
    async def count(
        self,
        app_id: IdInPath,
        caller: ConsoleAccount,
        request: Call,
        status: FromQuery[Status | None] = None,
        time_range: FromQuery[str | None] = None,
        triggered_from: FromQuery[Trigger] = "debugging",
    ) -> dict[str, int]:
        """How many runs there are of each status."""
        app = await app_of(caller, app_id, CHATFLOW if "/advanced-chat/" in request.url.path else ANY_WORKFLOW)
        wanted = RunFilter(status=status, triggered_from=(triggered_from,), time_range=time_range)
        return await runs_of(caller, request).count(app.id, wanted)

    @post("/workflow-runs/{run_id:uuid}/retry", status_code=200, opt=WRITERS)
    async def retry(self, app_id: IdInPath, run_id: IdInPath, caller: ConsoleAccount, request: Call) -> Stream:
        """Run a failed run again from where it failed, as a run of its own; what was done before is kept."""
        app = await app_of(caller, app_id, ANY_WORKFLOW)
        platform = platform_of(request)
        run = await runs_of(caller, request).detail(app.id, str(run_id))
        events = await platform.run_logs.load(run["id"])
        rerun = await prepare_rerun(caller.workspace.app_repository, app, run, events)
        program = platform.programs.workflow(rerun.version, root_id=rerun.request.root_id)
        if rerun.request.triggered_from == "debugging":
            variables = DraftVariables(platform.db, caller.tenant)
            watched = await platform.draft_runs.start(program, rerun.request, variables, adopted=rerun.adopted)
            return stream_of(watched.started.events, watched.follow(idle=PING_EVERY))
        started = await platform.runs.start(program, rerun.request, adopted=rerun.adopted)
        return stream_of(started.events, started.handle.follow(idle=PING_EVERY))


def runs_of(caller: ConsoleCaller, request: Call) -> RunRecords:
    """The records of runs."""
    platform = platform_of(request)
    return RunRecords(platform.db, caller.tenant, platform.payloads)
