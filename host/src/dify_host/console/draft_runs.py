"""Try a draft: the whole of it, or one node alone; the events of a run come as a stream."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from dify_kernel.errors import BadInput
from dify_kernel.graph.values import File
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody
from litestar.response import Stream

from dify_host.apps.draft_variables import DraftVariables
from dify_host.apps.records import AppRecord, WorkflowRecord
from dify_host.console.shapes import ANY_WORKFLOW, CHATFLOW, WORKFLOW, app_of, input_files
from dify_host.console.streams import PING_EVERY, stream_of
from dify_host.console.workflows import draft_of
from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import MEMBERS, WRITERS, ConsoleAccount, ConsoleCaller
from dify_host.platform import Platform
from dify_host.runs.answered import GivenAnswer
from dify_host.runs.api_events import ApiEvents
from dify_host.runs.commands import StopCommand
from dify_host.runs.node_records import NodeRecords
from dify_host.runs.service import RunRequest
from dify_host.runs.single_step import SingleSteps, Step, StepInputs
from dify_host.service.shapes import FileObject, IdInPath, Success

__all__ = ["DraftNodeRoutes", "DraftRunController", "NodeRunBody", "prepared_step"]


class DraftRunBody(msgspec.Struct, kw_only=True):
    """Body of running a draft."""

    inputs: dict[str, Any] = {}
    files: list[FileObject] | None = None
    query: str = ""
    conversation_id: str | None = None
    parent_message_id: str | None = None


class NodeRunBody(msgspec.Struct, kw_only=True):
    """Body of running one node."""

    inputs: dict[str, Any] | None = None
    files: list[FileObject] | None = None
    query: str = ""


class DraftNodeRoutes(Controller):
    """Routes that run nodes of drafts and stop runs, the same for all owners of these `modes`.

    Chatflows have routes of their own for their `containers`.
    """

    modes: ClassVar[tuple[str, ...]]
    containers: ClassVar[tuple[str, ...]]

    @post("/workflow-runs/tasks/{task_id:str}/stop", status_code=200, opt=WRITERS)
    async def stop(self, app_id: IdInPath, task_id: FromPath[str], caller: ConsoleAccount, request: Call) -> Success:
        """Stop a run of the app; an unknown one is no error."""
        app = await app_of(caller, app_id, self.modes)
        await platform_of(request).commands.stop(StopCommand(task_id=task_id, app_id=app.id))
        return Success()

    @post("/workflows/draft/nodes/{node_id:str}/run", status_code=200, opt=WRITERS)
    async def run_node(
        self,
        app_id: IdInPath,
        node_id: FromPath[str],
        data: JSONBody[NodeRunBody],
        caller: ConsoleAccount,
        request: Call,
    ) -> dict[str, Any]:
        """Run one node and answer with its record."""
        app, draft = await app_of(caller, app_id, self.modes), await draft_of(caller, app_id, self.modes)
        steps, step = await prepared_step(caller, platform_of(request), app, draft, node_id, data)
        return await _records(caller, request).one(app.id, await steps.run(step))

    @post("/workflows/draft/iteration/nodes/{node_id:str}/run", status_code=200, opt=WRITERS)
    async def run_iteration(
        self,
        app_id: IdInPath,
        node_id: FromPath[str],
        data: JSONBody[NodeRunBody],
        caller: ConsoleAccount,
        request: Call,
    ) -> Stream:
        """Run one iteration with everything inside."""
        return await _container(caller, request, app_id, node_id, data, kind="iteration", modes=self.containers)

    @post("/workflows/draft/loop/nodes/{node_id:str}/run", status_code=200, opt=WRITERS)
    async def run_loop(
        self,
        app_id: IdInPath,
        node_id: FromPath[str],
        data: JSONBody[NodeRunBody],
        caller: ConsoleAccount,
        request: Call,
    ) -> Stream:
        """Run one loop with everything inside."""
        return await _container(caller, request, app_id, node_id, data, kind="loop", modes=self.containers)

    @get("/workflows/draft/nodes/{node_id:str}/last-run", opt=MEMBERS)
    async def last_run(
        self, app_id: IdInPath, node_id: FromPath[str], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """The newest record of a node of the draft."""
        draft = await draft_of(caller, app_id, self.modes)
        return await _records(caller, request).last(draft.app_id, draft.id, node_id)


class DraftRunController(DraftNodeRoutes):
    """Those of workflow apps, and runs of their drafts."""

    path = "/apps/{app_id:uuid}"
    modes = ANY_WORKFLOW
    containers = WORKFLOW

    @post("/workflows/draft/run", status_code=200, opt=WRITERS)
    async def run_workflow(
        self, app_id: IdInPath, data: JSONBody[DraftRunBody], caller: ConsoleAccount, request: Call
    ) -> Stream:
        """Run the draft of a workflow."""
        return await _run(caller, request, await app_of(caller, app_id, WORKFLOW), data)

    @post("/advanced-chat/workflows/draft/run", status_code=200, opt=WRITERS)
    async def run_chatflow(
        self, app_id: IdInPath, data: JSONBody[DraftRunBody], caller: ConsoleAccount, request: Call
    ) -> Stream:
        """Send a message to the draft of a chatflow."""
        return await _run(caller, request, await app_of(caller, app_id, CHATFLOW), data)

    @post("/advanced-chat/workflows/draft/iteration/nodes/{node_id:str}/run", status_code=200, opt=WRITERS)
    async def run_chat_iteration(
        self,
        app_id: IdInPath,
        node_id: FromPath[str],
        data: JSONBody[NodeRunBody],
        caller: ConsoleAccount,
        request: Call,
    ) -> Stream:
        """Run one iteration of a chatflow with everything inside."""
        return await _container(caller, request, app_id, node_id, data, kind="iteration", modes=CHATFLOW)

    @post("/advanced-chat/workflows/draft/loop/nodes/{node_id:str}/run", status_code=200, opt=WRITERS)
    async def run_chat_loop(
        self,
        app_id: IdInPath,
        node_id: FromPath[str],
        data: JSONBody[NodeRunBody],
        caller: ConsoleAccount,
        request: Call,
    ) -> Stream:
        """Run one loop of a chatflow with everything inside."""
        return await _container(caller, request, app_id, node_id, data, kind="loop", modes=CHATFLOW)


# -- whole drafts -------------------------------------------------------------------------------------------------


async def _run(caller: ConsoleCaller, request: Call, app: AppRecord, data: DraftRunBody) -> Stream:
    platform = platform_of(request)
    draft = await draft_of(caller, app.id)
    creator = await caller.creator(platform)
    variables = DraftVariables(platform.db, caller.tenant)
    await variables.declare(app.id, draft.conversation_variables)
    wanted = RunRequest(
        tenant=caller.tenant,
        app=app,
        creator=creator,
        user_id=creator.id,
        inputs=await input_files(caller, data.inputs),
        query=data.query,
        files=await _files(caller, data.files),
        conversation_id=(data.conversation_id or "").strip() or None,
        invoke_from="debugger",
        from_source="console",
        triggered_from="debugging",
    )
    live = await platform.live_apps.version(caller.workspace.app_repository, app, draft)
    given = await platform.calls.prepare(live, wanted)
    if isinstance(given, GivenAnswer):
        return stream_of(given.events, given.follow(idle=PING_EVERY))
    watched = await platform.draft_runs.start(live.program, given, variables)
    return stream_of(watched.started.events, watched.follow(idle=PING_EVERY))


# -- single nodes -------------------------------------------------------------------------------------------------


async def _container(
    caller: ConsoleCaller,
    request: Call,
    app_id: object,
    node_id: str,
    data: NodeRunBody,
    *,
    kind: str,
    modes: tuple[str, ...],
) -> Stream:
    platform = platform_of(request)
    app, draft = await app_of(caller, app_id, modes), await draft_of(caller, app_id, modes)
    steps, step = await prepared_step(caller, platform, app, draft, node_id, data)
    found = step.plan.nodes[step.plan.root].type
    if found != kind:
        raise BadInput(f"The node {node_id!r} is of type {found}, not {kind}.", node_id=node_id)
    events = ApiEvents(
        task_id=step.run.run_id,
        run_id=step.run.run_id,
        workflow_id=draft.id,
        creator=await caller.creator(platform),
    )
    return stream_of(events, steps.stream(step, idle=PING_EVERY))


async def prepared_step(
    caller: ConsoleCaller,
    platform: Platform,
    app: AppRecord,
    draft: WorkflowRecord,
    node_id: str,
    data: NodeRunBody,
) -> tuple[SingleSteps, Step]:
    """A node of a draft with the values that were sent for it, and what runs it."""
    steps = SingleSteps(
        registry=platform.registry,
        ports=lambda run, creator: platform.ports(caller.tenant, run, creator),
        limits=platform.settings.limits(),
        run_limits=platform.run_limits,
        variables=DraftVariables(platform.db, caller.tenant),
        records=NodeRecords(platform.db, caller.tenant, platform.payloads),
        creator=await caller.creator(platform),
    )
    inputs = StepInputs(
        values=await input_files(caller, data.inputs or {}),
        query=data.query,
        files=await _files(caller, data.files),
    )
    return steps, await steps.prepare(app, draft, node_id, inputs)


async def _files(caller: ConsoleCaller, given: list[FileObject] | None) -> list[File]:
    found: list[File] = await caller.workspace.files.resolve_all(given or [])
    return found


def _records(caller: ConsoleCaller, request: Call) -> NodeRecords:
    platform = platform_of(request)
    return NodeRecords(platform.db, caller.tenant, platform.payloads)
