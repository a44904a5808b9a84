"""The first form of the node: no form, only variables that must be there before the run goes on."""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.node import NodeContext
from dify_kernel.graph.pool import Selector

from dify_nodes_human.config import HumanInputConfig

__all__ = ["Gate"]

#: Where the handle may be found, under the node's own id or among its default values, and inside an object there.
_NAMES = (
    *("edge_source_handle", "edgeSourceHandle", "source_handle", "selected_branch", "selectedBranch"),
    *("branch", "branch_id", "branchId", "handle"),
)
_PARTS = ("handle", "edge_source_handle", "edgeSourceHandle", "branch", "id", "value")


class Gate:
    """Variables to wait for, and the handle to leave by."""

    def __init__(self, config: HumanInputConfig) -> None:
        self.reason = config.pause_reason or ""
        self.required: list[Selector] = [tuple(name.split(".")) for name in config.required_variables or []]
        values = {item.get("key"): item.get("value") for item in config.default_value or []}
        self.default = next(filter(None, (_handle(values.get(name)) for name in _NAMES)), "source")

    def problems(self) -> list[str]:
        """Variables that are not named `node.variable`."""
        wrong = [selector for selector in self.required if len(selector) < 2 or not all(selector)]
        return [f"The required variable {'.'.join(selector)!r} is not named `node.variable`." for selector in wrong]

    def missing(self, ctx: NodeContext) -> list[str]:
        """The required variables that are not there."""
        return [".".join(selector) for selector in self.required if ctx.get(selector) is None]

    def handle(self, ctx: NodeContext) -> str:
        """The handle that was chosen for the node, else the default."""
        for name in _NAMES:
            value = ctx.get((ctx.node_id, name))
            chosen = _handle(value.data) if value is not None else ""
            if chosen:
                return chosen
        return self.default

    def question(self, missing: list[str]) -> dict[str, Any]:
        """What is shown while the run waits: the reason, and one button."""
        return {
            "form_content": self.reason,
            "inputs": [],
            "actions": [{"id": self.default, "title": "Continue", "button_style": "default"}],
            "resolved_default_values": {},
            "delivery_methods": [],
            "display_in_ui": True,
            "missing_variables": missing,
        }


def _handle(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return next((part for name in _PARTS if isinstance(part := value.get(name), str) and part), "")
    return ""
