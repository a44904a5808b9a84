"""Shapes that several console routes share, and how an app is found for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from dify_kernel.errors import BadInput, NotFound
from dify_kernel.graph.values import File

from dify_host.apps.changes import AppChanges
from dify_host.apps.errors import AppNotFound
from dify_host.apps.records import PIPELINE_MODE, AppRecord, Variable, WorkflowRecord
from dify_host.apps.variables import HIDDEN
from dify_host.apps.workflow_service import WorkflowService
from dify_host.http.callers import Call
from dify_host.http.console_callers import ConsoleCaller
from dify_host.identity.accounts import Accounts
from dify_host.identity.errors import AccountNotFound
from dify_host.platform import Platform
from dify_host.service.shapes import shown

__all__ = [
    "ANY_WORKFLOW",
    "CHATFLOW",
    "PIPELINE",
    "WORKFLOW",
    "AppMissing",
    "IconBody",
    "app_of",
    "base_url",
    "icon_links",
    "input_files",
    "variable_view",
    "workflow_view",
    "workflows_of",
]

WORKFLOW: Final = ("workflow",)
CHATFLOW: Final = ("advanced-chat",)
ANY_WORKFLOW: Final = ("advanced-chat", "workflow")
PIPELINE: Final = (PIPELINE_MODE,)
"""What routes of knowledge pipelines are for: they share their handlers with those of workflow apps."""


class AppMissing(NotFound):
    """The workspace has no app of that id, or it is of a kind that the route is not for."""

    code = "app_not_found"


class IconBody(msgspec.Struct, kw_only=True):
    """How an app is to be drawn; what is null stays as it is."""

    name: str | None = None
    description: str | None = None
    icon_type: str | None = None
    icon: str | None = None
    icon_background: str | None = None

    def changes(self) -> AppChanges:
        """The fields that are given."""
        names = ("name", "description", "icon_type", "icon", "icon_background")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if len(given.get("description", "")) > 400:
            raise BadInput("Description cannot exceed 400 characters.", field="description")
        return AppChanges(**given)


async def app_of(caller: ConsoleCaller, app_id: object, modes: Sequence[str] = ()) -> AppRecord:
    """The app of the workspace, when it is of one of these modes; AppMissing. Or the pipeline; PipelineNotFound."""
    if modes == PIPELINE:
        return await caller.workspace.pipeline_repository.get(str(app_id))
    try:
        app = await caller.workspace.app_repository.get(str(app_id))
    except AppNotFound as exc:
        raise AppMissing("App not found.", app_id=str(app_id)) from exc
    if modes and app.mode not in modes:
        raise AppMissing(f"App mode is not in the supported list: {', '.join(modes)}", app_id=app.id)
    return app


def workflows_of(caller: ConsoleCaller, modes: Sequence[str]) -> WorkflowService[Any]:
    """What keeps the workflows of these owners."""
    return caller.workspace.pipelines if modes == PIPELINE else caller.workspace.apps


def icon_links(caller: ConsoleCaller) -> Callable[[str], str]:
    """Signs the addresses of uploaded icons."""
    return caller.workspace.files.signed_url


async def input_files(caller: ConsoleCaller, values: dict[str, Any]) -> dict[str, Any]:
    """The inputs with file objects in the place of what names files."""
    found = dict(values)
    for name, value in values.items():
        if _names_file(value):
            found[name] = await caller.workspace.files.resolve(value)
        elif isinstance(value, list) and value and all(_names_file(item) for item in value):
            listed: list[File] = await caller.workspace.files.resolve_all(value)
            found[name] = listed
    return found


def _names_file(value: Any) -> bool:
    return isinstance(value, dict) and "type" in value and "transfer_method" in value


async def workflow_view(platform: Platform, record: WorkflowRecord) -> dict[str, Any]:
    """A workflow as the console shows it; values of secrets stay here."""
    nothing: dict[str, Any] = {"nodes": [], "edges": [], "viewport": {}}
    return {
        "id": record.id,
        "graph": {**nothing, **record.graph},
        "features": record.features,
        "hash": record.hash,
        "version": record.version,
        "marked_name": record.marked_name,
        "marked_comment": record.marked_comment or "",
        "created_by": await _account(platform, record.created_by),
        "created_at": shown(record.created_at),
        "updated_by": await _account(platform, record.updated_by),
        "updated_at": shown(record.updated_at or record.created_at),
        "tool_published": False,
        "environment_variables": [variable_view(item) for item in record.environment_variables],
        "conversation_variables": [variable_view(item) for item in record.conversation_variables],
        "rag_pipeline_variables": record.rag_pipeline_variables,
    }


def variable_view(item: Variable) -> dict[str, Any]:
    """An environment or conversation variable; of a secret the mark that keeps it as it is when sent back."""
    value = HIDDEN if item.value_type == "secret" and item.value else item.value
    view: dict[str, Any] = {
        name: getattr(item, name) for name in ("id", "name", "value_type", "description", "selector")
    }
    return {**view, "value": value}


async def _account(platform: Platform, account_id: str | None) -> dict[str, str] | None:
    if not account_id:
        return None
    try:
        found = await Accounts(platform.db).get(account_id)
    except AccountNotFound:
        return None
    return {"id": found.id, "name": found.name, "email": found.email}


def base_url(request: Call) -> str:
    """The address under which the caller reached this."""
    return str(request.base_url).rstrip("/")
