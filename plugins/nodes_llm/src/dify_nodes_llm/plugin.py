"""Offers the node types that ask a model: `llm`, `question-classifier`, `parameter-extractor`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_nodes"]


@hookimpl
def register_nodes(register: Callable[..., None]) -> None:
    """Offer the nodes."""
    from dify_nodes_llm.node import LLMNode
    from dify_nodes_llm.parameter_extractor import ParameterExtractorNode
    from dify_nodes_llm.question_classifier import QuestionClassifierNode

    register(LLMNode)
    register(QuestionClassifierNode)
    register(ParameterExtractorNode)
