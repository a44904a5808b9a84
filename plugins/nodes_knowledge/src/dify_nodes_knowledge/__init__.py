"""The knowledge retrieval node: a question to knowledge bases, found pieces with their sources."""

from dify_nodes_knowledge.plugin import register_nodes

__all__ = ["register_nodes"]
