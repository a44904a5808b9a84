"""Knowledge pipelines by API: their sources, runs that make documents of what was chosen, and files for them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from dify_kernel.contracts.datasource import OnlineDrive
from dify_kernel.errors import DifyError
from litestar import Controller, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream

from dify_host.apps.records import WorkflowRecord
from dify_host.apps.sharing import node_data
from dify_host.http.callers import OF_ONE, Call, DatasetCaller, DatasetKey, platform_of
from dify_host.identity.accounts import Accounts
from dify_host.pipelines.datasources import DatasourceRef
from dify_host.pipelines.errors import PipelineNotFound, PipelineRunError
from dify_host.pipelines.forms import first_step, source_node, source_parameters
from dify_host.pipelines.records import PipelineStart
from dify_host.runs.api_events import PING, server_sent
from dify_host.runs.recorder import Creator
from dify_host.runs.service import StartedRun
from dify_host.service.form_schema import FileForm
from dify_host.service.shapes import IdInPath, shown
from dify_host.service.uploads import one_file
from dify_host.workspace import Workspace

__all__ = ["PipelineController", "PipelineUploadController", "SourceBody", "browsed", "run_body"]

_PING_EVERY = 10.0
#: Where somebody is in a drive: no form asks for it, whoever browses says it.
_PLACE = ("bucket", "prefix", "max_keys", "next_page_parameters")
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class SourceBody(msgspec.Struct, kw_only=True):
    """Body of looking into a source."""

    inputs: dict[str, Any]
    datasource_type: str
    credential_id: str | None = None

    def ref(self, data: Mapping[str, Any]) -> DatasourceRef:
        """The source that a node names."""
        return msgspec.structs.replace(DatasourceRef.of(data), kind=self.datasource_type)


class KeySourceBody(SourceBody, kw_only=True):
    """The same for callers with a key."""

    is_published: bool


class RunBody(msgspec.Struct, kw_only=True):
    """Body of running a pipeline."""

    inputs: dict[str, Any]
    datasource_type: str
    datasource_info_list: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    start_node_id: str
    is_published: bool
    response_mode: Literal["streaming", "blocking"]


class PipelineController(Controller):
    """Routes of the pipeline of a knowledge base."""

    path = "/datasets/{dataset_id:uuid}/pipeline"
    tags = ("Knowledge pipelines",)

    @get("/datasource-plugins")
    async def sources(
        self, dataset_id: IdInPath, caller: DatasetKey, is_published: FromQuery[bool] = True
    ) -> list[dict[str, Any]]:
        """The sources of the pipeline with the fields that their choice needs."""
        record = await _version(caller, dataset_id, published=is_published)
        return [
            {
                "node_id": node_id,
                "plugin_id": data.get("plugin_id"),
                "provider_name": data.get("provider_name"),
                "datasource_type": data.get("provider_type"),
                "title": data.get("title"),
                "user_input_variables": first_step(record, node_id),
                "credentials": [],
            }
            for node_id, data in node_data(record.graph)
            if data.get("type") == "datasource"
        ]

    @post("/datasource/nodes/{node_id:str}/run", status_code=200)
    async def run_source(
        self, dataset_id: IdInPath, node_id: FromPath[str], data: JSONBody[KeySourceBody], caller: DatasetKey
    ) -> Stream:
        """What there is to choose from in a source."""
        record = await _version(caller, dataset_id, published=data.is_published)
        return await browsed(caller.workspace, record, node_id, data, caller.owner_id)

    @post("/run", status_code=200)
    async def run(
        self, dataset_id: IdInPath, data: JSONBody[RunBody], caller: DatasetKey, request: Call
    ) -> Response[Any]:
        """Make documents of the items, each by a run of its own; of a draft, show the chunks of the first."""
        record = await _version(caller, dataset_id, published=data.is_published)
        account = await Accounts(platform_of(request).db).get(caller.owner_id)
        creator = Creator(role="account", id=account.id, name=account.name, email=account.email)
        start = PipelineStart(
            datasource_type=data.datasource_type,
            datasource_info_list=data.datasource_info_list,
            start_node_id=data.start_node_id,
            inputs=data.inputs,
        )
        streaming = data.response_mode == "streaming"
        return await run_body(
            request, caller.workspace, creator, record, start, preview=not data.is_published, streaming=streaming
        )


class PipelineUploadController(Controller):
    """Files that pipelines are run on."""

    path = "/datasets/pipeline"
    tags = ("Knowledge pipelines",)

    @post("/file-upload", status_code=201, operation_class=FileForm, opt=OF_ONE)
    async def upload(self, caller: DatasetKey, request: Call) -> dict[str, Any]:
        """Keep a file: multipart with `file`."""
        form = await one_file(request)
        kept = await caller.workspace.files.upload(
            form.content, form.filename, form.mime_type, created_by_role="account", created_by=caller.owner_id
        )
        names = ("id", "name", "size", "extension", "mime_type", "created_by", "created_at")
        return {name: shown(getattr(kept, name)) for name in names}


async def run_body(
    request: Call,
    workspace: Workspace,
    creator: Creator,
    record: WorkflowRecord,
    start: PipelineStart,
    *,
    preview: bool,
    streaming: bool,
    original_document_id: str | None = None,
) -> Response[Any]:
    """The answer to a run: the documents that are being made, or the events or the end of the run that shows chunks."""
    starter = workspace.pipeline_starter
    if not preview:
        made = await starter.start(record.app_id, record, start, creator.id, original_document_id=original_document_id)
        return Response(made, media_type="application/json")
    platform = platform_of(request)
    pipeline = await workspace.pipeline_repository.get(record.app_id)
    wanted = await starter.preview(pipeline, record, start, creator)
    program = platform.programs.workflow(record, root_id=start.start_node_id)
    started = await platform.runs.start(program, wanted)
    if streaming:
        return Stream(_events(started), media_type="text/event-stream", headers=_HEADERS)
    return Response(await _end(started), media_type="application/json")


async def browsed(workspace: Workspace, record: WorkflowRecord, node_id: str, data: SourceBody, user_id: str) -> Stream:
    """What a source has to offer, as server-sent events."""
    ref = data.ref(source_node(record, node_id, data.datasource_type))
    parameters = source_parameters(record, node_id, data.inputs)
    if ref.kind == OnlineDrive.datasource_type:
        parameters |= {name: data.inputs[name] for name in _PLACE if name in data.inputs}
    found = workspace.datasources.browse(ref, parameters, credential_id=data.credential_id, user_id=user_id)
    return Stream(_browsing(found), media_type="text/event-stream", headers=_HEADERS)


async def _browsing(found: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    began = time.monotonic()
    try:
        async for event in found:
            yield server_sent({**event, "time_consuming": time.monotonic() - began})
    except DifyError as exc:
        yield server_sent({"event": "datasource_error", "error": exc.description})


async def _events(started: StartedRun) -> AsyncIterator[bytes]:
    async for batch in started.handle.follow(idle=_PING_EVERY):
        data = started.events.encode(batch) if batch else PING
        if data:
            yield data


async def _end(started: StartedRun) -> dict[str, Any]:
    """The end of a run that is waited for; PipelineRunError when it failed."""
    ended = await started.handle.wait()
    if ended.status not in ("succeeded", "partial-succeeded"):
        raise PipelineRunError(ended.error or f"The run ended as {ended.status}.", run_id=started.handle.run.run_id)
    run = started.handle.run
    told = ("status", "outputs", "elapsed_time", "total_tokens", "total_steps")
    data = {"id": run.run_id, "workflow_id": run.workflow_id, "error": ended.error or None}
    times = {"created_at": int(started.created_at), "finished_at": int(ended.at)}
    shown_end = {**data, **{name: getattr(ended, name) for name in told}, **times}
    return {"task_id": run.run_id, "workflow_run_id": run.run_id, "data": msgspec.to_builtins(shown_end)}


async def _version(caller: DatasetCaller, dataset_id: object, *, published: bool) -> WorkflowRecord:
    """The version that runs, or the draft, of the pipeline of a knowledge base."""
    detail = await caller.workspace.datasets.get(str(dataset_id))
    repository = caller.workspace.pipeline_repository
    if detail.pipeline_id is None:
        raise PipelineNotFound("Pipeline not found.", dataset_id=detail.id)
    if published:
        return await repository.published_workflow(detail.pipeline_id)
    draft = await repository.draft_workflow(detail.pipeline_id)
    if draft is None:
        raise PipelineNotFound("The pipeline has no draft.", dataset_id=detail.id)
    return draft
