"""Translates the search settings of the DSL into the question that the knowledge port takes. Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import NodeConfig
from dify_kernel.contracts.ports import Retrieval
from dify_kernel.graph.values import File

from dify_nodes_knowledge.conditions import MetadataConditions

__all__ = ["KnowledgeRetrievalConfig", "MultipleRetrieval", "SingleRetrieval", "build_retrieval"]


class MultipleRetrieval(msgspec.Struct, frozen=True):
    """Search in every knowledge base, then one ranking over what they found."""

    top_k: int | None = None
    score_threshold: float | None = None
    reranking_enable: bool | None = None
    reranking_mode: str | None = None
    reranking_model: dict[str, Any] | None = None
    weights: dict[str, Any] | None = None


class SingleRetrieval(msgspec.Struct, frozen=True):
    """A model chooses the one knowledge base to search."""

    model: dict[str, Any] | None = None


class KnowledgeRetrievalConfig(NodeConfig, kw_only=True):
    """The question, the knowledge bases, and how to search them."""

    dataset_ids: list[str] = []
    query_variable_selector: list[str] | None = None
    query_attachment_selector: list[str] | None = None
    retrieval_mode: str = "multiple"
    multiple_retrieval_config: MultipleRetrieval | None = None
    single_retrieval_config: SingleRetrieval | None = None
    metadata_filtering_mode: str | None = None
    metadata_model_config: dict[str, Any] | None = None
    metadata_filtering_conditions: MetadataConditions | None = None


def build_retrieval(
    config: KnowledgeRetrievalConfig, query: str, attachments: list[File], conditions: dict[str, Any] | None
) -> Retrieval:
    """The question with the settings of the chosen mode; settings of the other mode are left behind."""
    mode = config.metadata_filtering_mode or "disabled"
    common: dict[str, Any] = {
        "query": query,
        "attachments": attachments,
        "dataset_ids": config.dataset_ids,
        "mode": config.retrieval_mode,
        "metadata_filtering_mode": mode,
        "metadata_filtering_conditions": conditions if mode == "manual" else None,
        "metadata_model": config.metadata_model_config if mode == "automatic" else None,
    }
    if config.retrieval_mode == "single":
        single = config.single_retrieval_config or SingleRetrieval()
        return Retrieval(**common, single_model=single.model)
    many = config.multiple_retrieval_config or MultipleRetrieval(reranking_enable=False)
    return Retrieval(
        **common,
        top_k=many.top_k or 4,
        score_threshold=many.score_threshold,
        reranking_enable=many.reranking_enable is not False,
        reranking_mode=many.reranking_mode or "reranking_model",
        reranking_model=many.reranking_model,
        weights=many.weights,
    )
