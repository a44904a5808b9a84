"""The `knowledge-retrieval` node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from dify_kernel.contracts.node import (
    Delta,
    Node,
    NodeContext,
    NodeResult,
    RetrieverResources,
)
from dify_kernel.errors import DifyError, NodeFailed
from dify_kernel.graph.pool import Selector
from dify_kernel.graph.values import File, Value, ValueType

from dify_nodes_knowledge.conditions import condition_selectors, fill_in
from dify_nodes_knowledge.retrieval import KnowledgeRetrievalConfig, build_retrieval

__all__ = ["KnowledgeRetrievalNode"]


class KnowledgeRetrievalNode(Node):
    """Asks the workspace's knowledge bases and gives what was found with its sources."""

    type = "knowledge-retrieval"
    Config = KnowledgeRetrievalConfig
    config: KnowledgeRetrievalConfig

    def selectors(self) -> list[Selector]:
        """The question, the attachments, and what the metadata conditions compare with."""
        found = [self.config.query_variable_selector, self.config.query_attachment_selector]
        return [tuple(item) for item in found if item] + condition_selectors(self.config.metadata_filtering_conditions)

    def problems(self) -> list[str]:
        """An unknown mode of retrieval or of filtering."""
        found = []
        if self.config.retrieval_mode not in ("single", "multiple"):
            found.append(f"The retrieval mode {self.config.retrieval_mode!r} is not single or multiple.")
        if (self.config.metadata_filtering_mode or "disabled") not in ("disabled", "automatic", "manual"):
            mode = self.config.metadata_filtering_mode
            found.append(f"The metadata filtering mode {mode!r} is not disabled, automatic or manual.")
        return found

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """The citations, then the result; without a question and attachments there is nothing to do."""
        config = self.config
        if not config.query_variable_selector and not config.query_attachment_selector:
            yield NodeResult()
            return
        inputs: dict[str, Any] = {}
        try:
            query = _query(config.query_variable_selector, ctx, inputs)
            attachments = _attachments(config.query_attachment_selector, ctx, inputs)
            conditions = fill_in(config.metadata_filtering_conditions, ctx)
            request = build_retrieval(config, query, attachments, conditions)
            pieces = await ctx.ports.knowledge.retrieve(request)
        except DifyError as exc:
            yield NodeResult.failed(exc, inputs=inputs)
            return
        yield RetrieverResources.of(pieces)
        yield NodeResult(inputs=inputs, outputs={"result": Value(ValueType.ARRAY_OBJECT, pieces)})


def _query(selector: list[str] | None, ctx: NodeContext, inputs: dict[str, Any]) -> str:
    if not selector:
        return ""
    value = ctx.get(selector)
    if value is None or not isinstance(value.data, str):
        raise NodeFailed("Query variable is not string type.", error_type="KnowledgeRetrievalNodeError")
    inputs["query"] = value.data
    return value.data


def _attachments(selector: list[str] | None, ctx: NodeContext, inputs: dict[str, Any]) -> list[File]:
    if not selector:
        return []
    value = ctx.get(selector)
    data = value.data if value is not None else None
    given = data if isinstance(data, list) else [data]
    files = [file for file in given if isinstance(file, File)]
    if len(files) != len(given):
        raise NodeFailed(
            "Attachments variable is not array file or file type.", error_type="KnowledgeRetrievalNodeError"
        )
    inputs["attachments"] = files
    return files
