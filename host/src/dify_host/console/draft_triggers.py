"""Try a draft with an event of its triggers: wait for one, then run what stands behind the trigger, or it alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from dify_kernel.errors import BadInput
from litestar import Controller, Response, post
from litestar.params import FromPath, JSONBody
from litestar.response import Stream

from dify_host.apps.draft_variables import DraftVariables
from dify_host.apps.records import AppRecord, WorkflowRecord
from dify_host.console.draft_runs import NodeRunBody, prepared_step
from dify_host.console.shapes import WORKFLOW, app_of
from dify_host.console.streams import PING_EVERY, stream_of
from dify_host.console.workflows import draft_of
from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import WRITERS, ConsoleAccount, ConsoleCaller
from dify_host.runs.node_records import NodeRecords
from dify_host.runs.service import RunRequest
from dify_host.service.shapes import IdInPath
from dify_host.triggers.debug import RETRY_MS, DebugEvent
from dify_host.triggers.graph import trigger_nodes

__all__ = ["DraftTriggerController"]

#: What is answered while nothing has come: ask again after so many milliseconds.
WAITING: Final[dict[str, Any]] = {"status": "waiting", "retry_in": RETRY_MS}


class OneTriggerBody(msgspec.Struct, kw_only=True):
    """Body of waiting for one trigger."""

    node_id: str


class TriggersBody(msgspec.Struct, kw_only=True):
    """Body of waiting for the first of several triggers."""

    node_ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]


class DraftTriggerController(Controller):
    """Routes that wait for events of a draft's triggers; each is asked again until one has come."""

    path = "/apps/{app_id:uuid}/workflows/draft"
    opt = WRITERS

    @post("/trigger/run", status_code=200)
    async def run_one(
        self, app_id: IdInPath, data: JSONBody[OneTriggerBody], caller: ConsoleAccount, request: Call
    ) -> Stream | Response[dict[str, Any]]:
        """Run the draft with the next event of this trigger."""
        return await _run(caller, request, app_id, [data.node_id])

    @post("/trigger/run-all", status_code=200)
    async def run_first(
        self, app_id: IdInPath, data: JSONBody[TriggersBody], caller: ConsoleAccount, request: Call
    ) -> Stream | Response[dict[str, Any]]:
        """Run the draft with the next event of whichever of these triggers has one first."""
        return await _run(caller, request, app_id, data.node_ids)

    @post("/nodes/{node_id:str}/trigger/run", status_code=200)
    async def run_node(
        self, app_id: IdInPath, node_id: FromPath[str], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """Run the trigger alone with its next event, and answer with its record."""
        app, draft = await app_of(caller, app_id, WORKFLOW), await draft_of(caller, app_id)
        event = await _event(caller, app, draft, [node_id])
        if event is None:
            return WAITING
        platform, body = platform_of(request), NodeRunBody(inputs=event.inputs)
        steps, step = await prepared_step(caller, platform, app, draft, node_id, body)
        records = NodeRecords(platform.db, caller.tenant, platform.payloads)
        return await records.one(app.id, await steps.run(step))


async def _event(
    caller: ConsoleCaller, app: AppRecord, draft: WorkflowRecord, node_ids: Sequence[str]
) -> DebugEvent | None:
    """What has come for one of these nodes; BadInput for one that is no trigger of the draft."""
    known = {node.node_id for node in trigger_nodes(draft.graph)}
    for node_id in node_ids:
        if node_id not in known:
            raise BadInput(f"The draft has no trigger {node_id!r}.", hint="Save the draft first.", node_id=node_id)
    return await caller.workspace.triggers.wait_for_event(app.id, node_ids, caller.account_id)


async def _run(
    caller: ConsoleCaller, request: Call, app_id: object, node_ids: Sequence[str]
) -> Stream | Response[dict[str, Any]]:
    app, draft = await app_of(caller, app_id, WORKFLOW), await draft_of(caller, app_id)
    event = await _event(caller, app, draft, node_ids)
    if event is None:
        return Response(WAITING)
    platform = platform_of(request)
    creator = await caller.creator(platform)
    wanted = RunRequest(
        tenant=caller.tenant,
        app=app,
        creator=creator,
        user_id=creator.id,
        inputs=event.inputs,
        invoke_from="debugger",
        from_source="console",
        triggered_from="debugging",
        root_id=event.node_id,
    )
    program = platform.programs.workflow(draft, root_id=event.node_id)
    watched = await platform.draft_runs.start(program, wanted, DraftVariables(platform.db, caller.tenant))
    return stream_of(watched.started.events, watched.follow(idle=PING_EVERY))
