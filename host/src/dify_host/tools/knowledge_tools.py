"""Knowledge bases of the workspace as tools: a question, and what was found as text with its citations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from dify_kernel.contracts.node import RetrieverResources
from dify_kernel.contracts.ports import KnowledgePort, Retrieval
from dify_kernel.contracts.tool import ResourcesMessage, TextMessage, ToolInfo, ToolMessage, ToolParameter

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.knowledge.ranking import read_retrieval_model
from dify_host.knowledge.records import Dataset
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.tools.errors import ToolProviderNotFound
from dify_host.tools.sources import ResolvedTool

__all__ = ["KnowledgeTools"]

_QUERY = ToolParameter(
    name="query", required=True, label="Query", description="What to look for in the knowledge base."
)


class KnowledgeTools:
    """One tool a knowledge base; the provider is its id."""

    def __init__(self, db: Database, tenant: Tenant, knowledge: KnowledgePort) -> None:
        self._rows = KnowledgeRepository(db, tenant)
        self._knowledge = knowledge

    async def resolve(self, provider: str, tool: str, credential_id: str | None) -> ResolvedTool:
        """The tool of a knowledge base; ToolProviderNotFound."""
        async with self._rows.db.read() as conn:
            found = await self._rows.datasets(conn, [provider])
        if not found:
            raise ToolProviderNotFound(f"The workspace has no knowledge base {provider!r}.", provider=provider)
        dataset = found[0]
        told = dataset.description or f"useful for when you want to answer queries about the {dataset.name}"
        info = ToolInfo(name=tool or f"dataset_{dataset.id}", label=dataset.name, description=told, parameters=[_QUERY])
        return ResolvedTool(info, partial(self._call, dataset))

    async def _call(self, dataset: Dataset, parameters: Mapping[str, Any], _key: str) -> AsyncIterator[ToolMessage]:
        settings = read_retrieval_model(dataset.retrieval_model)
        request = Retrieval(
            query=parameters["query"],
            dataset_ids=[dataset.id],
            top_k=settings.top_k,
            score_threshold=settings.threshold,
        )
        pieces = await self._knowledge.retrieve(request)
        yield ResourcesMessage(RetrieverResources.of(pieces).resources)
        yield TextMessage("\n".join(str(piece.get("content") or "") for piece in pieces))
