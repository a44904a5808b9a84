"""What a call with an app key needs to run: the app and its program, kept for a second."""

from __future__ import annotations

from typing import Literal

import msgspec
from dify_kernel.errors import BadInput, Forbidden

from dify_host.annotations.records import ReplySetting
from dify_host.annotations.repository import AnnotationRepository
from dify_host.apps.errors import AppUnavailable
from dify_host.apps.records import NO_CHAT, AppRecord, WorkflowRecord
from dify_host.apps.repository import AppRepository
from dify_host.fresh import Fresh
from dify_host.runs.programs import Program, Programs

__all__ = ["Audience", "LiveApp", "LiveApps"]

Audience = Literal["chat", "completion", "workflow", "any"]
_KEEP_SECONDS = 1.0
_MODES: dict[str, tuple[str, ...]] = {
    "chat": ("chat", "agent-chat", "advanced-chat"),
    "completion": ("completion",),
    "workflow": ("workflow",),
}


class NotChatApp(BadInput):
    """The route is for chat apps."""

    code = "not_chat_app"


class NotWorkflowApp(BadInput):
    """The route is for workflow apps."""

    code = "not_workflow_app"


class LiveApp(msgspec.Struct, frozen=True, kw_only=True):
    """An app as it answers now."""

    app: AppRecord
    program: Program
    introduction: str = ""
    annotations: ReplySetting | None = None


class LiveApps:
    """Finds apps for their callers. A change is seen after a second at most, in every process."""

    def __init__(self, programs: Programs, *, size: int = 1024) -> None:
        self._programs = programs
        self._live: Fresh[tuple[str, str], LiveApp] = Fresh(size, _KEEP_SECONDS)
        self._records: Fresh[tuple[str, str], AppRecord] = Fresh(size, _KEEP_SECONDS)

    async def record(self, repository: AppRepository, app_id: str, audience: Audience = "any") -> AppRecord:
        """The app when its API is on and it fits the route."""
        app = await self._records.get((repository.tenant.id, app_id), lambda: repository.get(app_id))
        if app.status != "normal":
            raise Forbidden("The app's status is abnormal.", app_id=app_id)
        if not app.enable_api:
            raise Forbidden("The app's API service has been disabled.", app_id=app_id)
        _check_mode(app, audience)
        return app

    async def find(
        self, repository: AppRepository, app_id: str, audience: Audience, *, workflow_id: str | None = None
    ) -> LiveApp:
        """The app and what it runs: its published version, or the one that is named."""
        app = await self.record(repository, app_id, audience)
        if workflow_id is not None:
            return await self._load(repository, app, workflow_id)
        return await self._live.get((repository.tenant.id, app_id), lambda: self._load(repository, app, None))

    async def version(self, repository: AppRepository, app: AppRecord, record: WorkflowRecord) -> LiveApp:
        """The app as this version of its workflow answers, be it a draft."""
        program = self._programs.workflow(record)
        if app.mode in NO_CHAT:
            return LiveApp(app=app, program=program)
        opening = str(record.features.get("opening_statement") or "")
        annotations = await _annotations(repository, app)
        return LiveApp(app=app, program=program, introduction=opening, annotations=annotations)

    async def _load(self, repository: AppRepository, app: AppRecord, workflow_id: str | None) -> LiveApp:
        if app.mode in ("workflow", "advanced-chat"):
            return await self.version(repository, app, await repository.published_workflow(app.id, workflow_id))
        annotations = await _annotations(repository, app)
        config = await repository.model_config(app.id)
        if config is None:
            raise AppUnavailable("App unavailable, please check your app configurations.", app_id=app.id)
        program = self._programs.basic(config, app.mode)
        opening = config.opening_statement or ""
        return LiveApp(app=app, program=program, introduction=opening, annotations=annotations)

    def forget(self, app_id: str) -> None:
        """See a change of this process at once."""
        self._live.drop(lambda key, _: key[1] == app_id)
        self._records.drop(lambda key, _: key[1] == app_id)


async def _annotations(repository: AppRepository, app: AppRecord) -> ReplySetting | None:
    return await AnnotationRepository(repository.db, repository.tenant).setting(app.id)


def _check_mode(app: AppRecord, audience: Audience) -> None:
    if audience == "any" or app.mode in _MODES[audience]:
        return
    text = "Please check if your app mode matches the right API route."
    if audience == "chat":
        raise NotChatApp(text, app_id=app.id)
    if audience == "workflow":
        raise NotWorkflowApp(text, app_id=app.id)
    raise AppUnavailable("App unavailable, please check your app configurations.", app_id=app.id)
