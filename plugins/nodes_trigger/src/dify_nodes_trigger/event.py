"""The plugin trigger: an event that a plugin's subscription receives starts the run."""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.node import NodeConfig

from dify_nodes_trigger.root import TriggerNode

__all__ = ["PluginTriggerConfig", "PluginTriggerNode"]


class PluginTriggerConfig(NodeConfig, kw_only=True):
    """Which event of which subscription; `subscription_id` is empty in a graph from another workspace."""

    plugin_id: str = ""
    provider_id: str = ""
    event_name: str = ""
    subscription_id: str = ""
    plugin_unique_identifier: str = ""
    event_parameters: dict[str, Any] | None = None


class PluginTriggerNode(TriggerNode):
    """Gives every field of the event's payload by its name, and the system variables."""

    type = "trigger-plugin"
    Config = PluginTriggerConfig
    config: PluginTriggerConfig

    def problems(self) -> list[str]:
        """Parameters that are no constants: nothing has run that they could refer to."""
        return [
            f"The event parameter {name!r} must be a constant; nothing runs before a trigger."
            for name, given in (self.config.event_parameters or {}).items()
            if isinstance(given, dict) and given.get("type", "constant") != "constant"
        ]
