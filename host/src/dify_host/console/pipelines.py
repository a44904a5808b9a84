"""Knowledge pipelines while they are built: their workflows, drafts and runs, as those of apps, and their forms."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream

from dify_host.apps.draft_variables import DraftVariables, Remembered
from dify_host.apps.records import WorkflowRecord
from dify_host.console.draft_runs import DraftNodeRoutes
from dify_host.console.draft_variables import DraftVariableRoutes, listed_variables
from dify_host.console.shapes import PIPELINE, app_of
from dify_host.console.streams import PING_EVERY, stream_of
from dify_host.console.workflow_runs import RunRoutes, runs_of
from dify_host.console.workflows import WorkflowRoutes, draft_of
from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import MEMBERS, WRITERS, ConsoleAccount, ConsoleCaller
from dify_host.pipelines.datasources import source_item
from dify_host.pipelines.forms import first_step, second_step, source_node
from dify_host.pipelines.records import PipelineStart
from dify_host.runs.run_records import RunFilter, RunList
from dify_host.service.pipelines import SourceBody, browsed, run_body
from dify_host.service.shapes import IdInPath, Limit

__all__ = [
    "PipelineDraftController",
    "PipelineFormController",
    "PipelineRunController",
    "PipelineVariableController",
    "PipelineWorkflowController",
]

_PATH = "/rag/pipelines/{app_id:uuid}"
_VERSIONS = ("draft", "published")
_TRIGGERS = ("rag-pipeline-run", "rag-pipeline-debugging")


class StartBody(msgspec.Struct, kw_only=True):
    """Body of running a pipeline."""

    inputs: dict[str, Any]
    datasource_type: str
    datasource_info_list: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    start_node_id: str

    def start(self) -> PipelineStart:
        """What to run it on."""
        return PipelineStart(
            datasource_type=self.datasource_type,
            datasource_info_list=self.datasource_info_list,
            start_node_id=self.start_node_id,
            inputs=self.inputs,
        )


class PublishedStartBody(StartBody, kw_only=True):
    """Body of running the published version."""

    is_preview: bool = False
    response_mode: Literal["streaming", "blocking"] = "streaming"
    original_document_id: str | None = None


class InspectBody(msgspec.Struct, kw_only=True):
    """Body of keeping what a source would give."""

    datasource_type: str
    datasource_info: dict[str, Any]
    start_node_id: str
    start_node_title: str = ""


class PipelineWorkflowController(WorkflowRoutes):
    """Drafts and versions."""

    path = _PATH
    modes = PIPELINE


class PipelineVariableController(DraftVariableRoutes):
    """What the last tries of a draft left."""

    path = f"{_PATH}/workflows/draft"
    modes = PIPELINE

    @post("/datasource/variables-inspect", status_code=200)
    async def keep_source(
        self, app_id: IdInPath, data: JSONBody[InspectBody], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """Keep what a source gives for an item, for the nodes that are tried after it."""
        draft = await draft_of(caller, app_id, PIPELINE)
        source_node(draft, data.start_node_id, data.datasource_type)
        item = await source_item(data.datasource_type, data.datasource_info, caller.workspace.files)
        values: dict[str, Any] = dict(item.info)
        if item.upload_id:
            upload = {"transfer_method": "local_file", "upload_file_id": item.upload_id}
            values = {"file": await caller.workspace.files.resolve(upload)}
        values["datasource_type"] = data.datasource_type
        kept = [Remembered(node_id=data.start_node_id, name=name, value=value) for name, value in values.items()]
        await DraftVariables(platform_of(request).db, caller.tenant).remember(draft.app_id, kept)
        return await listed_variables(caller, request, draft, data.start_node_id)


class PipelineDraftController(DraftNodeRoutes):
    """Runs of drafts, of their nodes, and of published versions."""

    path = _PATH
    modes = PIPELINE
    containers = PIPELINE

    @post("/workflows/draft/run", status_code=200, opt=WRITERS)
    async def run_draft(
        self, app_id: IdInPath, data: JSONBody[StartBody], caller: ConsoleAccount, request: Call
    ) -> Stream:
        """Run the draft on the first item; nothing is indexed, the chunks are shown."""
        platform, pipeline = platform_of(request), await app_of(caller, app_id, PIPELINE)
        draft = await draft_of(caller, app_id, PIPELINE)
        creator = await caller.creator(platform)
        wanted = await caller.workspace.pipeline_starter.preview(pipeline, draft, data.start(), creator)
        program = platform.programs.workflow(draft, root_id=data.start_node_id)
        watched = await platform.draft_runs.start(program, wanted, DraftVariables(platform.db, caller.tenant))
        return stream_of(watched.started.events, watched.follow(idle=PING_EVERY))

    @post("/workflows/published/run", status_code=200, opt=WRITERS)
    async def run_published(
        self, app_id: IdInPath, data: JSONBody[PublishedStartBody], caller: ConsoleAccount, request: Call
    ) -> Response[Any]:
        """Make documents of the items, each by a run of its own; or show the chunks of the first (`is_preview`)."""
        pipeline = await app_of(caller, app_id, PIPELINE)
        record = await caller.workspace.pipeline_repository.published_workflow(pipeline.id)
        return await run_body(
            request,
            caller.workspace,
            await caller.creator(platform_of(request)),
            record,
            data.start(),
            preview=data.is_preview,
            streaming=data.response_mode == "streaming",
            original_document_id=data.original_document_id,
        )

    @post(
        [
            "/workflows/draft/datasource/nodes/{node_id:str}/run",
            "/workflows/published/datasource/nodes/{node_id:str}/run",
        ],
        status_code=200,
        opt=WRITERS,
    )
    async def run_source(
        self,
        app_id: IdInPath,
        node_id: FromPath[str],
        data: JSONBody[SourceBody],
        caller: ConsoleAccount,
        request: Call,
    ) -> Stream:
        """What there is to choose from in a source."""
        record = await _version(caller, app_id, _which(request))
        return await browsed(caller.workspace, record, node_id, data, caller.account_id)

    @post("/workflows/published/datasource/nodes/{node_id:str}/preview", status_code=200, opt=WRITERS)
    async def preview_source(
        self, app_id: IdInPath, node_id: FromPath[str], data: JSONBody[SourceBody], caller: ConsoleAccount
    ) -> dict[str, Any]:
        """One item of a source with its content."""
        record = await _version(caller, app_id, "published")
        ref = data.ref(source_node(record, node_id, data.datasource_type))
        return await caller.workspace.datasources.read(
            ref, data.inputs, credential_id=data.credential_id, user_id=caller.account_id
        )


class PipelineRunController(RunRoutes):
    """Runs that were."""

    path = _PATH
    modes = PIPELINE

    @get("/workflow-runs")
    async def listed(
        self,
        app_id: IdInPath,
        caller: ConsoleAccount,
        request: Call,
        last_id: FromQuery[str | None] = None,
        limit: Limit = 20,
    ) -> RunList:
        """The runs, newest first."""
        pipeline = await app_of(caller, app_id, PIPELINE)
        wanted = RunFilter(triggered_from=_TRIGGERS)
        return await runs_of(caller, request).page(pipeline.id, wanted, last_id=last_id, limit=limit, chat=False)


class PipelineFormController(Controller):
    """What the form asks for, step by step."""

    path = f"{_PATH}/workflows"
    opt = MEMBERS

    @get([f"/{which}/pre-processing/parameters" for which in _VERSIONS])
    async def first(
        self, app_id: IdInPath, node_id: FromQuery[str], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """The fields that the choice of a source needs."""
        return {"variables": first_step(await _version(caller, app_id, _which(request)), node_id)}

    @get([f"/{which}/processing/parameters" for which in _VERSIONS])
    async def second(
        self, app_id: IdInPath, node_id: FromQuery[str], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """The fields of the work on what was chosen."""
        return {"variables": second_step(await _version(caller, app_id, _which(request)), node_id)}


def _which(request: Call) -> str:
    return "published" if "/workflows/published/" in request.url.path else "draft"


async def _version(caller: ConsoleCaller, app_id: object, which: str) -> WorkflowRecord:
    if which == "draft":
        return await draft_of(caller, app_id, PIPELINE)
    pipeline = await app_of(caller, app_id, PIPELINE)
    return await caller.workspace.pipeline_repository.published_workflow(pipeline.id)
