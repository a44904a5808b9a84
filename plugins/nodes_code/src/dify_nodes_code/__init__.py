"""The code node: user code in the sandbox, its outputs checked against their declared types."""

from dify_nodes_code.plugin import register_nodes

__all__ = ["register_nodes"]
