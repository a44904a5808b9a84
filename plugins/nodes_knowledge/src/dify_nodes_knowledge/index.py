"""The `knowledge-index` node: the end of a knowledge pipeline."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from dify_kernel.contracts.node import Delta, Node, NodeConfig, NodeContext, NodeKind, NodeResult
from dify_kernel.contracts.ports import IndexChunk, Indexing
from dify_kernel.errors import DifyError, NodeFailed
from dify_kernel.graph.pool import Selector

from dify_nodes_knowledge.chunks import STRUCTURES, preview, read_chunks

__all__ = ["KnowledgeIndexConfig", "KnowledgeIndexNode"]


class KnowledgeIndexConfig(NodeConfig, kw_only=True):
    """The chunks, their structure, and how a knowledge base that is still empty is to be indexed."""

    chunk_structure: str = "text_model"
    index_chunk_variable_selector: list[str] = []
    indexing_technique: str | None = None
    embedding_model: str | None = None
    embedding_model_provider: str | None = None
    keyword_number: int | None = None
    retrieval_model: dict[str, Any] | None = None


class KnowledgeIndexNode(Node):
    """Puts the chunks of the run's document into its knowledge base; a debug run without a document shows them."""

    type = "knowledge-index"
    kind = NodeKind.RESPONSE
    Config = KnowledgeIndexConfig
    config: KnowledgeIndexConfig

    def selectors(self) -> list[Selector]:
        """The chunks."""
        return [tuple(self.config.index_chunk_variable_selector)]

    def problems(self) -> list[str]:
        """No chunks, an unknown structure or technique."""
        config = self.config
        found = [] if len(config.index_chunk_variable_selector) >= 2 else ["No variable with chunks is chosen."]
        if config.chunk_structure not in STRUCTURES:
            found.append(f"The chunk structure {config.chunk_structure!r} is not one of {', '.join(STRUCTURES)}.")
        if config.indexing_technique not in (None, "high_quality", "economy"):
            found.append(f"The indexing technique {config.indexing_technique!r} is not high_quality or economy.")
        if config.chunk_structure == "qa_model" and config.indexing_technique == "economy":
            found.append("Questions and answers need the indexing technique high_quality.")
        return found

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """The document as it is when its chunks can be found, or their preview."""
        value = ctx.get(self.config.index_chunk_variable_selector)
        if value is None:
            raise _failed("Index chunk variable is required.")
        inputs = {"chunks": value.data}
        try:
            chunks = read_chunks(self.config.chunk_structure, value.data) if value.data else []
            if not chunks:
                raise _failed("Chunks is required.")
            if _system(ctx, "document_id") is None and _is_debug(ctx):
                yield NodeResult(inputs=inputs, outputs=preview(self.config.chunk_structure, value.data, chunks))
                return
            document = await ctx.ports.knowledge.index(self._request(ctx, chunks))
        except DifyError as exc:
            yield NodeResult.failed(exc, inputs=inputs)
            return
        yield NodeResult(inputs=inputs, outputs=msgspec.to_builtins(document))

    def _request(self, ctx: NodeContext, chunks: list[IndexChunk]) -> Indexing:
        config = self.config
        return Indexing(
            dataset_id=_required(ctx, "dataset_id", "Dataset ID is required."),
            document_id=_required(ctx, "document_id", "Document ID is required."),
            batch=_required(ctx, "batch", "Batch is required."),
            chunks=chunks,
            chunk_structure=config.chunk_structure,
            indexing_technique=config.indexing_technique,
            embedding_model=config.embedding_model,
            embedding_model_provider=config.embedding_model_provider,
            keyword_number=config.keyword_number,
            retrieval_model=config.retrieval_model,
        )


def _system(ctx: NodeContext, name: str) -> str | None:
    value = ctx.get(("sys", name))
    return str(value.data) if value is not None and value.data else None


def _required(ctx: NodeContext, name: str, message: str) -> str:
    value = _system(ctx, name)
    if value is None:
        raise _failed(message)
    return value


def _is_debug(ctx: NodeContext) -> bool:
    return (_system(ctx, "invoke_from") or ctx.run.invoke_from) == "debugger"


def _failed(message: str) -> NodeFailed:
    return NodeFailed(message, error_type="KnowledgeIndexNodeError")
