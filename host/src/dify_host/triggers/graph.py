"""The triggers of a graph, as the host reads them: which nodes, which requests they take, which times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar

import msgspec
from dify_kernel.errors import BadInput

from dify_host.apps.sharing import node_data

__all__ = [
    "SCHEDULE",
    "TRIGGERS",
    "WEBHOOK",
    "Field",
    "ScheduleConfig",
    "TriggerNode",
    "VisualConfig",
    "WebhookConfig",
    "trigger_nodes",
]

WEBHOOK: Final = "trigger-webhook"
SCHEDULE: Final = "trigger-schedule"
PLUGIN: Final = "trigger-plugin"
TRIGGERS: Final = (WEBHOOK, SCHEDULE, PLUGIN)


Config = TypeVar("Config")


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One header, parameter or field of a body that a webhook takes."""

    name: str
    type: str = "string"
    required: bool = False


class WebhookConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests a webhook takes, and how it answers them."""

    method: str = "get"
    content_type: str = "application/json"
    headers: list[Field] | None = None
    params: list[Field] | None = None
    body: list[Field] | None = None
    status_code: int = 200
    response_body: str | None = ""


class VisualConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The form of a schedule."""

    on_minute: int | None = 0
    time: str | None = "12:00 AM"
    weekdays: list[str] | None = None
    monthly_days: list[int | str] | None = None


class ScheduleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule is due."""

    mode: Literal["visual", "cron"] = "visual"
    frequency: str | None = None
    visual_config: VisualConfig | None = None
    cron_expression: str | None = None
    timezone: str = "UTC"


class TriggerNode(msgspec.Struct, frozen=True, kw_only=True):
    """One trigger node."""

    node_id: str
    type: str
    title: str
    provider: str
    data: dict[str, Any]

    def webhook(self) -> WebhookConfig:
        """Its config as a webhook; BadInput with the node's id for what cannot be read."""
        return _read(self, WebhookConfig)

    def schedule(self) -> ScheduleConfig:
        """Its config as a schedule; BadInput with the node's id for what cannot be read."""
        return _read(self, ScheduleConfig)


def trigger_nodes(graph: Mapping[str, Any]) -> list[TriggerNode]:
    """The trigger nodes of a graph, in its order; those inside containers are no roots."""
    nodes = graph.get("nodes")
    listed = [node for node in nodes if isinstance(node, dict)] if isinstance(nodes, list) else []
    inner = {str(node.get("id")) for node in listed if node.get("parentId")}
    return [
        TriggerNode(
            node_id=node_id,
            type=data["type"],
            title=str(data.get("title") or data["type"]),
            provider=str(data.get("provider_id") or data.get("provider_name") or ""),
            data=data,
        )
        for node_id, data in node_data(graph)
        if data.get("type") in TRIGGERS and node_id and node_id not in inner
    ]


def _read(node: TriggerNode, kind: type[Config]) -> Config:
    try:
        return msgspec.convert(node.data, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise BadInput(f"The trigger {node.node_id!r} cannot be read: {exc}.", node_id=node.node_id) from exc
