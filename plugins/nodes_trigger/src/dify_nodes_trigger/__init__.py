"""What starts a workflow besides a caller: webhooks, schedules and events of plugins."""

from dify_nodes_trigger.plugin import register_nodes

__all__ = ["register_nodes"]
