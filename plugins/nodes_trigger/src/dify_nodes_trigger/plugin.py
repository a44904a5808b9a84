"""Offers the node types `trigger-webhook`, `trigger-schedule` and `trigger-plugin`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_nodes_trigger.event import PluginTriggerNode
from dify_nodes_trigger.schedule import ScheduleTriggerNode
from dify_nodes_trigger.webhook import WebhookTriggerNode

__all__ = ["NODES", "register_nodes"]

NODES = (WebhookTriggerNode, ScheduleTriggerNode, PluginTriggerNode)


@hookimpl
def register_nodes(register: Callable[..., None]) -> None:
    """Every class of this package."""
    for node in NODES:
        register(node)
