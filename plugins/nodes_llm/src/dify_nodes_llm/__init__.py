"""Nodes that ask a model: a prompt and its answer streamed, the class of a text, values in a text."""

from dify_nodes_llm.plugin import register_nodes

__all__ = ["register_nodes"]
