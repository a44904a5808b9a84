"""The LLM node: a prompt to a model, its answer streamed."""

from dify_nodes_llm.plugin import register_nodes

__all__ = ["register_nodes"]
