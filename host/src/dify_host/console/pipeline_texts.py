"""Knowledge pipelines as texts: import, export, and templates to begin with."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from dify_kernel.errors import BadInput, DifyError
from litestar import Controller, Response, delete, get, patch, post
from litestar.params import FromQuery, JSONBody

from dify_host.apps.dsl import PipelineDsl, read
from dify_host.apps.pending_imports import PendingImport, PendingImports
from dify_host.console.app_texts import TextBody, import_answer, missing_body, refused, text_of
from dify_host.console.shapes import PIPELINE, app_of
from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import MEMBERS, WRITERS, ConsoleAccount, ConsoleCaller
from dify_host.pipelines.records import IconInfo, PipelineImport, Template
from dify_host.service.shapes import IdInPath, Success, shown

__all__ = ["PipelineTemplateController", "PipelineTextController"]

_IDS = ("pipeline_id", "dataset_id")


class PipelineTextBody(TextBody, kw_only=True):
    """Body of `/rag/pipelines/imports`."""

    pipeline_id: str | None = None


class DatasetTextBody(msgspec.Struct, kw_only=True):
    """Body of making a knowledge base of a pipeline's text."""

    yaml_content: str


class TemplateBody(msgspec.Struct, kw_only=True):
    """Body of keeping a template, and of changing one."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    description: Annotated[str, msgspec.Meta(max_length=400)] = ""
    icon_info: IconInfo | None = None

    def values(self) -> dict[str, Any]:
        """The columns; an icon that is not given stays."""
        icon = {} if self.icon_info is None else {"icon": msgspec.to_builtins(self.icon_info)}
        return {"name": self.name, "description": self.description, **icon}


class PipelineTextController(Controller):
    """Routes that make texts of pipelines, and pipelines of texts."""

    path = "/rag"
    opt = WRITERS

    @post("/pipelines/imports", status_code=200)
    async def imports(self, data: JSONBody[PipelineTextBody], caller: ConsoleAccount, request: Call) -> Response[Any]:
        """Make a pipeline of a text, or overwrite one; a text of another version waits to be confirmed."""
        platform = platform_of(request)
        if data.pipeline_id is not None:
            await app_of(caller, data.pipeline_id, PIPELINE)
        pending = PendingImport(
            text=await text_of(platform, data),
            account_id=caller.account_id,
            app_id=data.pipeline_id,
            changes=data.changes().given(),
        )
        result = await _imported(caller, pending)
        if isinstance(result, PipelineImport) and result.status == "pending":
            await _pending(request, caller).put(result.id, pending)
        return import_answer(result, _IDS)

    @post("/pipelines/imports/{import_id:uuid}/confirm", status_code=200)
    async def confirm(self, import_id: IdInPath, caller: ConsoleAccount, request: Call) -> Response[Any]:
        """Go on with an import that waits."""
        pending = await _pending(request, caller).take(str(import_id))
        return import_answer(await _imported(caller, pending, confirmed=True), _IDS)

    @get("/pipelines/imports/{app_id:uuid}/check-dependencies")
    async def missing(self, app_id: IdInPath, caller: ConsoleAccount) -> dict[str, list[Any]]:
        """The plugins that the pipeline needs and that are not installed."""
        return missing_body(await caller.workspace.pipelines.missing(str(app_id)))

    @get("/pipelines/{app_id:uuid}/exports")
    async def export(
        self, app_id: IdInPath, caller: ConsoleAccount, include_secret: FromQuery[bool] = False
    ) -> dict[str, str]:
        """The pipeline as text; its secrets only when asked for."""
        return {"data": await caller.workspace.pipelines.export(str(app_id), include_secret)}

    @post("/pipeline/empty-dataset", status_code=201)
    async def empty(self, caller: ConsoleAccount) -> dict[str, Any]:
        """Make a knowledge base with an empty pipeline."""
        _, dataset_id = await caller.workspace.pipelines.create(caller.account_id)
        view: dict[str, Any] = shown(await caller.workspace.datasets.get(dataset_id))
        return view

    @post("/pipeline/dataset", status_code=201)
    async def dataset(self, data: JSONBody[DatasetTextBody], caller: ConsoleAccount) -> Response[Any]:
        """Make a knowledge base of a pipeline's text, whatever its version."""
        pending = PendingImport(text=data.yaml_content, account_id=caller.account_id)
        answer = import_answer(await _imported(caller, pending, confirmed=True), _IDS)
        return Response(answer.content, status_code=201 if answer.status_code == 200 else answer.status_code)

    @get("/pipelines/datasource-plugins", opt=MEMBERS)
    async def sources(self, caller: ConsoleAccount) -> list[dict[str, Any]]:
        """The data sources of installed plugins."""
        return await caller.workspace.datasources.listed()

    @get("/pipelines/recommended-plugins", opt=MEMBERS)
    async def recommended(self, caller: ConsoleAccount) -> dict[str, list[Any]]:
        """Plugins that somebody recommends: nobody does."""
        return {"installed_recommended_plugins": [], "uninstalled_recommended_plugins": []}


class PipelineTemplateController(Controller):
    """Routes of templates."""

    path = "/rag"
    opt = WRITERS

    @get("/pipeline/templates", opt=MEMBERS)
    async def listed(
        self, caller: ConsoleAccount, type: FromQuery[str] = "built-in", language: FromQuery[str] = "en-US"
    ) -> dict[str, list[Any]]:
        """Those of the workspace (`customized`); none is built in."""
        found = await caller.workspace.pipeline_templates.list() if type == "customized" else []
        return {"pipeline_templates": [_head(item) for item in found]}

    @get("/pipeline/templates/{template_id:uuid}", opt=MEMBERS)
    async def detail(
        self, template_id: IdInPath, caller: ConsoleAccount, type: FromQuery[str] = "built-in"
    ) -> dict[str, Any]:
        """One with its text and graph."""
        found = await caller.workspace.pipeline_templates.get(str(template_id))
        dsl = read(found.yaml_content).dsl
        graph = dsl.workflow.graph if isinstance(dsl, PipelineDsl) else {}
        return {**_head(found), "export_data": found.yaml_content, "graph": graph, "created_by": found.created_by}

    @patch("/pipeline/customized/templates/{template_id:uuid}")
    async def change(self, template_id: IdInPath, data: JSONBody[TemplateBody], caller: ConsoleAccount) -> Success:
        """Give a template another name, description or icon."""
        await caller.workspace.pipeline_templates.update(str(template_id), caller.account_id, data.values())
        return Success()

    @delete("/pipeline/customized/templates/{template_id:uuid}", status_code=200)
    async def remove(self, template_id: IdInPath, caller: ConsoleAccount) -> Success:
        """Forget a template."""
        await caller.workspace.pipeline_templates.delete(str(template_id))
        return Success()

    @post("/pipeline/customized/templates/{template_id:uuid}", status_code=200)
    async def text(self, template_id: IdInPath, caller: ConsoleAccount) -> dict[str, str]:
        """The text of a template."""
        return {"data": (await caller.workspace.pipeline_templates.get(str(template_id))).yaml_content}

    @post("/pipelines/{app_id:uuid}/customized/publish", status_code=200)
    async def publish(self, app_id: IdInPath, data: JSONBody[TemplateBody], caller: ConsoleAccount) -> Success:
        """Keep what is published as a template."""
        pipeline = await app_of(caller, app_id, PIPELINE)
        if pipeline.workflow_id is None:
            raise BadInput("Pipeline workflow is not published.", hint="Publish it first.", pipeline_id=pipeline.id)
        service = caller.workspace.pipelines
        text = await service.export(pipeline.id, workflow_id=pipeline.workflow_id)
        dataset = await caller.workspace.datasets.get(await service.dataset_of(pipeline.id))
        drawn = {"icon": dataset.icon_info, **data.values()}
        await caller.workspace.pipeline_templates.add(
            caller.account_id, text, chunk_structure=dataset.chunk_structure or "text_model", **drawn
        )
        return Success()


async def _imported(
    caller: ConsoleCaller, pending: PendingImport, *, confirmed: bool = False
) -> PipelineImport | DifyError:
    """The import, or what was wrong with the text."""
    try:
        return await caller.workspace.pipelines.import_dsl(
            pending.text,
            account_id=caller.account_id,
            pipeline_id=pending.app_id,
            changes=pending.app_changes(),
            confirmed=confirmed,
        )
    except DifyError as exc:
        return refused(exc)


def _pending(request: Call, caller: ConsoleCaller) -> PendingImports:
    return PendingImports(platform_of(request).redis, caller.tenant, prefix="dify:rag_pipeline:")


def _head(item: Template) -> dict[str, Any]:
    return {name: getattr(item, name) for name in ("id", "name", "description", "chunk_structure", "icon", "position")}
