"""What a call with an app key needs to run: the app and its program, kept for a second."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Literal

import msgspec
from dify_kernel.errors import BadInput, Forbidden

from dify_host.apps.errors import AppUnavailable
from dify_host.apps.records import AppRecord
from dify_host.apps.repository import AppRepository
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


class LiveApps:
    """Finds apps for their callers. A change is seen after a second at most, in every process."""

    def __init__(self, programs: Programs, *, size: int = 1024) -> None:
        self._programs = programs
        self._kept: OrderedDict[tuple[str, str], tuple[float, LiveApp]] = OrderedDict()
        self._records: OrderedDict[tuple[str, str], tuple[float, AppRecord]] = OrderedDict()
        self._size = size

    async def record(self, repository: AppRepository, app_id: str, audience: Audience = "any") -> AppRecord:
        """The app when its API is on and it fits the route."""
        key = (repository.tenant.id, app_id)
        found = self._records.get(key)
        if found is None or found[0] < time.monotonic():
            found = (time.monotonic() + _KEEP_SECONDS, await repository.get(app_id))
            self._records[key] = found
            while len(self._records) > self._size:
                self._records.popitem(last=False)
        app = found[1]
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
        key = (repository.tenant.id, app_id)
        if workflow_id is None and key in self._kept and self._kept[key][0] >= time.monotonic():
            return self._kept[key][1]
        live = await self._load(repository, app, workflow_id)
        if workflow_id is None:
            self._kept[key] = (time.monotonic() + _KEEP_SECONDS, live)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return live

    async def _load(self, repository: AppRepository, app: AppRecord, workflow_id: str | None) -> LiveApp:
        if app.mode in ("workflow", "advanced-chat"):
            record = await repository.published_workflow(app.id, workflow_id)
            opening = str(record.features.get("opening_statement") or "")
            return LiveApp(app=app, program=self._programs.workflow(record), introduction=opening)
        config = await repository.model_config(app.id)
        if config is None:
            raise AppUnavailable("App unavailable, please check your app configurations.", app_id=app.id)
        program = self._programs.basic(config, app.mode)
        return LiveApp(app=app, program=program, introduction=config.opening_statement or "")

    def forget(self, app_id: str) -> None:
        """See a change of this process at once."""
        for table in (self._kept, self._records):
            for key in [key for key in table if key[1] == app_id]:
                del table[key]


def _check_mode(app: AppRecord, audience: Audience) -> None:
    if audience == "any" or app.mode in _MODES[audience]:
        return
    text = "Please check if your app mode matches the right API route."
    if audience == "chat":
        raise NotChatApp(text, app_id=app.id)
    if audience == "workflow":
        raise NotWorkflowApp(text, app_id=app.id)
    raise AppUnavailable("App unavailable, please check your app configurations.", app_id=app.id)
