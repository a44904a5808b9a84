"""Triggers of an app: what starts its published workflow, switched on or off, and the addresses of its webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from dify_kernel.errors import BadInput
from litestar import Controller, get, post
from litestar.params import FromQuery, JSONBody

from dify_host.console.shapes import WORKFLOW, app_of, base_url
from dify_host.http.callers import Call
from dify_host.http.console_callers import MEMBERS, WRITERS, ConsoleAccount
from dify_host.service.shapes import IdInPath
from dify_host.triggers.records import AppTrigger

__all__ = ["TriggerController"]


class SwitchBody(msgspec.Struct, kw_only=True):
    """Body of switching a trigger."""

    trigger_id: str
    enable_trigger: bool


class TriggerController(Controller):
    """Routes of an app's triggers."""

    path = "/apps/{app_id:uuid}"

    @get("/triggers", opt=MEMBERS)
    async def triggers(self, app_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """What starts the published workflow."""
        app = await app_of(caller, app_id, WORKFLOW)
        return {"data": [_view(trigger) for trigger in await caller.workspace.triggers.list(app.id)]}

    @post("/trigger-enable", status_code=200, opt=WRITERS)
    async def switch(self, app_id: IdInPath, data: JSONBody[SwitchBody], caller: ConsoleAccount) -> dict[str, Any]:
        """Switch one trigger."""
        app = await app_of(caller, app_id, WORKFLOW)
        return _view(await caller.workspace.triggers.enable(app.id, data.trigger_id, data.enable_trigger))

    @get("/workflows/triggers/webhook", opt=MEMBERS)
    async def webhook(
        self, app_id: IdInPath, caller: ConsoleAccount, request: Call, node_id: FromQuery[str] = ""
    ) -> dict[str, Any]:
        """The addresses of a webhook node."""
        app = await app_of(caller, app_id, WORKFLOW)
        if not node_id:
            raise BadInput("node_id is required.", field="node_id")
        triggers, origin = caller.workspace.triggers, base_url(request)
        found = await triggers.webhook(app.id, node_id)
        return {
            "id": found.id,
            "webhook_id": found.webhook_id,
            "webhook_url": triggers.url(found, origin),
            "webhook_debug_url": triggers.url(found, origin, debug=True),
            "node_id": found.node_id,
            "created_at": _moment(found.created_at),
        }


def _view(trigger: AppTrigger) -> dict[str, Any]:
    return {
        "id": trigger.id,
        "trigger_type": trigger.trigger_type,
        "title": trigger.title,
        "node_id": trigger.node_id,
        "provider_name": trigger.provider_name,
        "icon": "",
        "status": trigger.status,
        "created_at": _moment(trigger.created_at),
        "updated_at": _moment(trigger.updated_at),
    }


def _moment(at: datetime) -> str:
    return at.isoformat()
