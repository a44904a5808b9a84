"""The nodes of knowledge bases: retrieval, and the source and the end of a knowledge pipeline."""

from dify_nodes_knowledge.plugin import register_nodes

__all__ = ["register_nodes"]
