"""The nodes that call tools: the agent node, whose model chooses them, and the tool node, which calls one."""

from dify_nodes_agent.plugin import register_nodes

__all__ = ["register_nodes"]
