"""The workflow of an app, or of a knowledge pipeline, while it is built: its draft, its versions, new nodes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from dify_kernel.errors import BadInput, PluginError
from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from dify_host.apps.block_defaults import block_default, block_defaults
from dify_host.apps.errors import DraftWorkflowNotExist, WorkflowNotPublished
from dify_host.apps.records import WorkflowRecord
from dify_host.apps.versions import WorkflowVersions
from dify_host.console.shapes import ANY_WORKFLOW, PIPELINE, IconBody, app_of, workflow_view, workflows_of
from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import WRITERS, ConsoleAccount, ConsoleCaller
from dify_host.runs.conversion import convert_to_workflow
from dify_host.service.shapes import IdInPath, PageNumber, Success, shown

__all__ = ["WorkflowController", "WorkflowRoutes", "draft_of"]

MarkedName = Annotated[str, msgspec.Meta(max_length=20)]
MarkedComment = Annotated[str, msgspec.Meta(max_length=100)]
VersionLimit = Annotated[int, QueryParameter(ge=1, le=100)]


class DraftBody(msgspec.Struct, kw_only=True):
    """Body of `POST /workflows/draft`."""

    graph: dict[str, Any]
    features: dict[str, Any] | None = None
    hash: str | None = None
    environment_variables: list[Any] | None = None
    conversation_variables: list[Any] | None = None
    rag_pipeline_variables: list[Any] | None = None


class MarkBody(msgspec.Struct, kw_only=True):
    """Body of publishing, and of naming a version."""

    marked_name: MarkedName | None = None
    marked_comment: MarkedComment | None = None


_draft = msgspec.json.Decoder(DraftBody)


class WorkflowRoutes(Controller):
    """Routes of drafts and versions, the same for all whose workflow is built: owners of these `modes`."""

    modes: ClassVar[tuple[str, ...]]
    opt = WRITERS

    @get("/workflows/draft")
    async def draft(self, app_id: IdInPath, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """The draft."""
        return await workflow_view(platform_of(request), await draft_of(caller, app_id, self.modes))

    @post("/workflows/draft", status_code=200)
    async def save(self, app_id: IdInPath, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """Keep a draft; the body is JSON under whatever type, as a closing window can say no other than text."""
        app = await app_of(caller, app_id, self.modes)
        try:
            data = _draft.decode(await request.body())
        except msgspec.ValidationError as exc:
            raise BadInput(f"The draft cannot be read: {exc}.") from exc
        if data.features is None and self.modes != PIPELINE:
            raise BadInput("The draft has no `features`.", field="features")
        saved = await workflows_of(caller, self.modes).save_draft(
            app.id,
            graph=data.graph,
            features=data.features or {},
            account_id=caller.account_id,
            hash=data.hash,
            environment_variables=data.environment_variables,
            conversation_variables=data.conversation_variables,
            rag_pipeline_variables=data.rag_pipeline_variables,
        )
        return {**_saved(saved), "updated_at": shown(saved.updated_at)}

    @get("/workflows/publish")
    async def published(self, app_id: IdInPath, caller: ConsoleAccount, request: Call) -> dict[str, Any] | None:
        """The version that runs; null when there is none."""
        app = await app_of(caller, app_id, self.modes)
        try:
            found = await workflows_of(caller, self.modes).repository.published_workflow(app.id)
        except WorkflowNotPublished:
            return None
        return await workflow_view(platform_of(request), found)

    @post("/workflows/publish", status_code=200)
    async def publish(
        self, app_id: IdInPath, data: JSONBody[MarkBody], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """Make the draft the version that runs."""
        app = await app_of(caller, app_id, self.modes)
        made = await workflows_of(caller, self.modes).publish(
            app.id, caller.account_id, marked_name=data.marked_name or "", marked_comment=data.marked_comment or ""
        )
        platform_of(request).live_apps.forget(app.id)
        return {"result": "success", "created_at": shown(made.created_at)}

    @get("/workflows")
    async def versions(
        self,
        app_id: IdInPath,
        caller: ConsoleAccount,
        request: Call,
        page: PageNumber = 1,
        limit: VersionLimit = 10,
        user_id: FromQuery[str | None] = None,
        named_only: FromQuery[bool] = False,
    ) -> dict[str, Any]:
        """The published versions, newest first."""
        app = await app_of(caller, app_id, self.modes)
        found = await _versions(caller, request, self.modes).page(
            app.id, page=page, limit=limit, created_by=user_id or None, named_only=named_only
        )
        items = [await workflow_view(platform_of(request), item) for item in found.items]
        return {"items": items, "page": page, "limit": limit, "has_more": found.has_more}

    @patch("/workflows/{workflow_id:uuid}")
    async def mark(
        self,
        app_id: IdInPath,
        workflow_id: IdInPath,
        data: JSONBody[MarkBody],
        caller: ConsoleAccount,
        request: Call,
    ) -> dict[str, Any]:
        """Give a version a name and a comment."""
        app = await app_of(caller, app_id, self.modes)
        if data.marked_name is None and data.marked_comment is None:
            raise BadInput("No valid fields to update", hint="Send `marked_name` or `marked_comment`.")
        changed = await _versions(caller, request, self.modes).rename(
            app.id, str(workflow_id), caller.account_id, name=data.marked_name, comment=data.marked_comment
        )
        return await workflow_view(platform_of(request), changed)

    @delete("/workflows/{workflow_id:uuid}", status_code=204)
    async def remove(self, app_id: IdInPath, workflow_id: IdInPath, caller: ConsoleAccount, request: Call) -> None:
        """Delete a version that does not run."""
        app = await app_of(caller, app_id, self.modes)
        await _versions(caller, request, self.modes).delete(app.id, str(workflow_id))

    @post("/workflows/{workflow_id:uuid}/restore", status_code=200)
    async def restore(
        self, app_id: IdInPath, workflow_id: IdInPath, caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """Make the draft what a version was."""
        app = await app_of(caller, app_id, self.modes)
        saved = await _versions(caller, request, self.modes).restore(app.id, str(workflow_id), caller.account_id)
        return {**_saved(saved), "updated_at": shown(saved.updated_at)}

    @get("/workflows/default-workflow-block-configs")
    async def defaults(self, app_id: IdInPath, caller: ConsoleAccount, request: Call) -> list[dict[str, Any]]:
        """What a node of each installed type begins with."""
        await app_of(caller, app_id, self.modes)
        return block_defaults(platform_of(request).registry)

    @get("/workflows/default-workflow-block-configs/{block_type:str}")
    async def default(
        self, app_id: IdInPath, block_type: FromPath[str], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """What a node of one type begins with; nothing for an unknown type."""
        await app_of(caller, app_id, self.modes)
        try:
            return block_default(platform_of(request).registry, block_type)
        except PluginError:
            return {}


class WorkflowController(WorkflowRoutes):
    """Those of workflow apps, and what makes one of another app."""

    path = "/apps/{app_id:uuid}"
    modes = ANY_WORKFLOW

    @post("/convert-to-workflow", status_code=200)
    async def convert(self, app_id: IdInPath, data: JSONBody[IconBody], caller: ConsoleAccount) -> dict[str, str]:
        """Make a workflow app of a chat or completion app."""
        app = await app_of(caller, app_id, ("chat", "completion"))
        made = await convert_to_workflow(caller.workspace.apps, app.id, caller.account_id, data.changes())
        return {"new_app_id": made.id}


async def draft_of(caller: ConsoleCaller, app_id: object, modes: tuple[str, ...] = ANY_WORKFLOW) -> WorkflowRecord:
    """The draft of an owner of these modes; AppMissing, PipelineNotFound, DraftWorkflowNotExist."""
    app = await app_of(caller, app_id, modes)
    found: WorkflowRecord | None = await workflows_of(caller, modes).repository.draft_workflow(app.id)
    if found is None:
        raise DraftWorkflowNotExist("Draft workflow need to be initialized.", hint="Save a draft first.", app_id=app.id)
    return found


def _saved(record: WorkflowRecord) -> dict[str, Any]:
    return {"result": Success().result, "hash": record.hash}


def _versions(caller: ConsoleCaller, request: Call, modes: tuple[str, ...]) -> WorkflowVersions:
    return WorkflowVersions(platform_of(request).db, caller.tenant, workflows_of(caller, modes))
