"""The values that a draft's last runs left: look at them, change them for the next try, put them back, forget them."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from dify_kernel.errors import BadInput, NotFound
from litestar import Controller, Response, delete, get, patch, put
from litestar.params import FromPath, JSONBody

from dify_host.apps.draft_variables import CONVERSATION, RESERVED, SYSTEM, DraftVariable, DraftVariables
from dify_host.apps.records import WorkflowRecord
from dify_host.console.shapes import ANY_WORKFLOW, variable_view
from dify_host.console.workflows import draft_of
from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import WRITERS, ConsoleAccount, ConsoleCaller
from dify_host.runs.node_records import NodeRecords
from dify_host.service.shapes import IdInPath, Limit, PageNumber

__all__ = ["DraftVariableController", "DraftVariableRoutes", "listed_variables"]


class VariableChange(msgspec.Struct, kw_only=True):
    """Body of `PATCH …/variables/{variable_id}`; a field that is not there stays."""

    name: str | None = None
    value: Any = msgspec.UNSET


class DraftVariableRoutes(Controller):
    """Routes of the variable inspector, the same for drafts of all owners of these `modes`."""

    modes: ClassVar[tuple[str, ...]]
    opt = WRITERS

    @get("/variables")
    async def listed(
        self, app_id: IdInPath, caller: ConsoleAccount, request: Call, page: PageNumber = 1, limit: Limit = 20
    ) -> dict[str, Any]:
        """All of the draft, without their values."""
        draft = await draft_of(caller, app_id, self.modes)
        items, total = await _variables(caller, request).page(draft.app_id, page=page, limit=limit)
        return {"items": [_head(item) for item in items], "total": total}

    @delete("/variables", status_code=204)
    async def forget_all(self, app_id: IdInPath, caller: ConsoleAccount, request: Call) -> None:
        """Forget all of the draft."""
        draft = await draft_of(caller, app_id, self.modes)
        await _variables(caller, request).delete(draft.app_id)

    @get("/nodes/{node_id:str}/variables")
    async def of_node(
        self, app_id: IdInPath, node_id: FromPath[str], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """Those of one node."""
        draft = await draft_of(caller, app_id, self.modes)
        return await listed_variables(caller, request, draft, _node(node_id))

    @delete("/nodes/{node_id:str}/variables", status_code=204)
    async def forget_node(
        self, app_id: IdInPath, node_id: FromPath[str], caller: ConsoleAccount, request: Call
    ) -> None:
        """Forget those of one node."""
        draft = await draft_of(caller, app_id, self.modes)
        await _variables(caller, request).delete(draft.app_id, node_id=_node(node_id))

    @get("/variables/{variable_id:uuid}")
    async def one(
        self, app_id: IdInPath, variable_id: IdInPath, caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """One with its value."""
        draft = await draft_of(caller, app_id, self.modes)
        return _whole(await _variables(caller, request).get(draft.app_id, str(variable_id)))

    @patch("/variables/{variable_id:uuid}")
    async def change(
        self,
        app_id: IdInPath,
        variable_id: IdInPath,
        data: JSONBody[VariableChange],
        caller: ConsoleAccount,
        request: Call,
    ) -> dict[str, Any]:
        """Change a name or a value."""
        draft = await draft_of(caller, app_id, self.modes)
        changed = await _variables(caller, request).edit(
            draft.app_id, str(variable_id), name=data.name, value=data.value
        )
        return _whole(changed)

    @delete("/variables/{variable_id:uuid}", status_code=204)
    async def forget(self, app_id: IdInPath, variable_id: IdInPath, caller: ConsoleAccount, request: Call) -> None:
        """Forget one."""
        draft = await draft_of(caller, app_id, self.modes)
        if not await _variables(caller, request).delete(draft.app_id, variable_id=str(variable_id)):
            raise NotFound("Variable not found.", variable=str(variable_id))

    @put("/variables/{variable_id:uuid}/reset", status_code=200)
    async def reset(
        self, app_id: IdInPath, variable_id: IdInPath, caller: ConsoleAccount, request: Call
    ) -> Response[Any]:
        """Put back what the node gave, or what the conversation begins with; what has neither is forgotten."""
        draft = await draft_of(caller, app_id, self.modes)
        variables = _variables(caller, request)
        found = await variables.get(draft.app_id, str(variable_id))
        known, value = await _before(caller, request, draft, found)
        if not known:
            await variables.delete(draft.app_id, variable_id=found.id)
            return Response(None, status_code=204)
        return Response(_whole(await variables.put_back(draft.app_id, found.id, value)))

    @get("/system-variables")
    async def system(self, app_id: IdInPath, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """The system variables of the last run."""
        return await listed_variables(caller, request, await draft_of(caller, app_id, self.modes), SYSTEM)

    @get("/environment-variables")
    async def environment(self, app_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """The environment variables of the draft; secrets stay hidden."""
        draft = await draft_of(caller, app_id, self.modes)
        fixed = {"type": "env", "edited": False, "visible": True, "editable": True}
        return {"items": [{**variable_view(item), **fixed} for item in draft.environment_variables]}


class DraftVariableController(DraftVariableRoutes):
    """Those of workflow apps, of which chats have conversations."""

    path = "/apps/{app_id:uuid}/workflows/draft"
    modes = ANY_WORKFLOW

    @get("/conversation-variables")
    async def conversation(self, app_id: IdInPath, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """The variables of the conversation that is tried."""
        draft = await draft_of(caller, app_id, self.modes)
        await _variables(caller, request).declare(draft.app_id, draft.conversation_variables)
        return await listed_variables(caller, request, draft, CONVERSATION)


async def listed_variables(caller: ConsoleCaller, request: Call, draft: WorkflowRecord, node_id: str) -> dict[str, Any]:
    found = await _variables(caller, request).of_node(draft.app_id, node_id)
    return {"items": [_whole(item) for item in found]}


async def _before(
    caller: ConsoleCaller, request: Call, draft: WorkflowRecord, found: DraftVariable
) -> tuple[bool, Any]:
    if found.kind == "conversation":
        declared = {item.name: item.value for item in draft.conversation_variables}
        return found.name in declared, declared.get(found.name)
    if found.node_execution_id is None:
        return False, None
    name = f"{SYSTEM}.{found.name}" if found.kind == "sys" else found.name
    platform = platform_of(request)
    records = NodeRecords(platform.db, caller.tenant, platform.payloads)
    return await records.output(draft.app_id, found.node_execution_id, name)


def _variables(caller: ConsoleCaller, request: Call) -> DraftVariables:
    return DraftVariables(platform_of(request).db, caller.tenant)


def _node(node_id: str) -> str:
    if node_id in RESERVED:
        raise BadInput(f"Invalid node_id: {node_id} is no node.", hint="It has a route of its own.", field="node_id")
    return node_id


def _head(item: DraftVariable) -> dict[str, Any]:
    names = ("id", "name", "description", "selector", "value_type", "visible")
    view: dict[str, Any] = {name: getattr(item, name) for name in names}
    return {**view, "type": item.kind, "edited": item.last_edited_at is not None, "is_truncated": False}


def _whole(item: DraftVariable) -> dict[str, Any]:
    return {**_head(item), "value": item.value, "full_content": None}
