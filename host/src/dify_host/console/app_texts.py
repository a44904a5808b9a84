"""Apps as texts: export, import, copy."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from dify_kernel.errors import BadInput, DifyError, InvalidGraph
from litestar import Controller, Response, get, post
from litestar.params import FromQuery, JSONBody

from dify_host.apps.changes import AppChanges, ImportResult
from dify_host.apps.dsl import CURRENT_VERSION
from dify_host.apps.fetching import fetch_text
from dify_host.apps.needs import Missing
from dify_host.apps.pending_imports import PendingImport, PendingImports
from dify_host.console.apps import app_view
from dify_host.console.shapes import IconBody, app_of
from dify_host.db.types import new_id
from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import WRITERS, ConsoleAccount, ConsoleCaller
from dify_host.pipelines.records import PipelineImport
from dify_host.platform import Platform
from dify_host.service.shapes import IdInPath

__all__ = ["AppTextController", "TextBody", "import_answer", "missing_body", "refused", "text_of"]


class TextBody(IconBody, kw_only=True):
    """Body of an import: the text, or the address that answers with it."""

    mode: Literal["yaml-content", "yaml-url"]
    yaml_content: str | None = None
    yaml_url: str | None = None


class ImportBody(TextBody, kw_only=True):
    """Body of `/apps/imports`."""

    app_id: str | None = None


class AppTextController(Controller):
    """Routes that make texts of apps, and apps of texts."""

    path = "/apps"
    opt = WRITERS

    @get("/{app_id:uuid}/export")
    async def export(
        self,
        app_id: IdInPath,
        caller: ConsoleAccount,
        include_secret: FromQuery[bool] = False,
        workflow_id: FromQuery[str | None] = None,
    ) -> dict[str, str]:
        """The app as text; its secrets only when asked for."""
        app = await app_of(caller, app_id)
        return {"data": await caller.workspace.apps.export(app.id, include_secret, workflow_id=workflow_id)}

    @post("/{app_id:uuid}/copy", status_code=201)
    async def copy(
        self, app_id: IdInPath, data: JSONBody[IconBody], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """Make a second app of an app."""
        app = await app_of(caller, app_id)
        service = caller.workspace.apps
        text = await service.export(app.id, include_secret=True)
        given = data.changes().given()
        drawn = {"icon_type": app.icon_type, "icon": app.icon, "icon_background": app.icon_background}
        changes = AppChanges(**{**drawn, **given})
        made = await service.import_dsl(
            text, account_id=caller.account_id, name=data.name or app.name, changes=changes, confirmed=True
        )
        return await app_view(caller, request, str(made.app_id))

    @post("/imports", status_code=200)
    async def imports(self, data: JSONBody[ImportBody], caller: ConsoleAccount, request: Call) -> Response[Any]:
        """Make an app of a text, or overwrite one; a text of another version waits to be confirmed."""
        platform = platform_of(request)
        if data.app_id is not None:
            await app_of(caller, data.app_id)
        pending = PendingImport(
            text=await text_of(platform, data),
            account_id=caller.account_id,
            app_id=data.app_id,
            changes=data.changes().given(),
        )
        result = await _imported(caller, pending)
        if isinstance(result, ImportResult) and result.status == "pending":
            await PendingImports(platform.redis, caller.tenant).put(result.id, pending)
        return import_answer(result)

    @post("/imports/{import_id:uuid}/confirm", status_code=200)
    async def confirm(self, import_id: IdInPath, caller: ConsoleAccount, request: Call) -> Response[Any]:
        """Go on with an import that waits."""
        pending = await PendingImports(platform_of(request).redis, caller.tenant).take(str(import_id))
        return import_answer(await _imported(caller, pending, confirmed=True))

    @get("/imports/{app_id:uuid}/check-dependencies")
    async def missing(self, app_id: IdInPath, caller: ConsoleAccount) -> dict[str, list[Any]]:
        """The plugins that the app needs and that are not installed."""
        app = await app_of(caller, app_id)
        return missing_body(await caller.workspace.apps.missing(app.id))


def missing_body(missing: list[Missing]) -> dict[str, list[Any]]:
    """What is not installed, as the editor asks for it."""
    leaked = [
        {"type": "package", "value": {"plugin_unique_identifier": item.distribution}, "current_identifier": None}
        for item in missing
    ]
    return {"leaked_dependencies": leaked, "missing": msgspec.to_builtins(missing)}


def refused(exc: DifyError) -> DifyError:
    """What is wrong with a text, as a result; raises again what is no matter of the text."""
    if exc.status >= 500 or exc.status in (403, 404):
        raise exc
    return exc


async def text_of(platform: Platform, data: TextBody) -> str:
    """The text that an import brings; BadInput without one."""
    if data.mode == "yaml-content":
        if not data.yaml_content:
            raise BadInput("yaml_content is required when import mode is yaml-content", field="yaml_content")
        return data.yaml_content
    if not data.yaml_url:
        raise BadInput("yaml_url is required when import mode is yaml-url", field="yaml_url")
    return await fetch_text(platform.http, data.yaml_url)


async def _imported(
    caller: ConsoleCaller, pending: PendingImport, *, confirmed: bool = False
) -> ImportResult | DifyError:
    """The import, or what was wrong with the text."""
    try:
        return await caller.workspace.apps.import_dsl(
            pending.text,
            account_id=caller.account_id,
            app_id=pending.app_id,
            changes=pending.app_changes(),
            confirmed=confirmed,
        )
    except DifyError as exc:
        return refused(exc)


def import_answer(
    result: ImportResult | PipelineImport | DifyError, ids: tuple[str, ...] = ("app_id", "app_mode")
) -> Response[Any]:
    """What became of an import; with `ids` that are null where it failed."""
    if not isinstance(result, DifyError):
        return Response(msgspec.to_builtins(result), status_code=202 if result.status == "pending" else 200)
    problems = msgspec.to_builtins(result.problems) if isinstance(result, InvalidGraph) else []
    body: dict[str, Any] = {"id": new_id(), "status": "failed", **dict.fromkeys(ids)}
    versions = {"current_dsl_version": CURRENT_VERSION, "imported_dsl_version": ""}
    return Response({**body, **versions, "error": result.description, "problems": problems}, status_code=400)
