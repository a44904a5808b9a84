"""Knowledge bases as the API shows them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.model import ModelType
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.errors import DifyError
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.knowledge.links import Links, Tag
from dify_host.knowledge.rebuild import Rebuild
from dify_host.knowledge.records import Dataset
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import dataset_metadatas, dataset_permissions, documents
from dify_host.knowledge.tasks import Tasks
from dify_host.pipelines.of_datasets import PipelinesOfDatasets

__all__ = ["DatasetDetail", "DatasetViews", "EmbeddingChoice"]

EmbeddingChoice = Callable[[str | None, str | None], Awaitable[tuple[str, str] | None]]
"""From (provider, model): these, or an error when they cannot be called; the workspace's default for None, if any."""
DEFAULT_RETRIEVAL: dict[str, Any] = {
    "search_method": "semantic_search",
    "reranking_enable": False,
    "reranking_mode": None,
    "reranking_model": {"reranking_provider_name": "", "reranking_model_name": ""},
    "weights": None,
    "top_k": 2,
    "score_threshold_enabled": False,
    "score_threshold": None,
}


class DatasetDetail(msgspec.Struct, kw_only=True):
    """A knowledge base as the API shows it; `partial_member_list` holds account ids."""

    id: str
    name: str
    description: str | None
    provider: str
    permission: str
    data_source_type: str | None
    indexing_technique: str | None
    app_count: int
    document_count: int
    word_count: int
    created_by: str
    author_name: str | None
    created_at: datetime
    updated_by: str | None
    updated_at: datetime
    embedding_model: str | None
    embedding_model_provider: str | None
    embedding_available: bool
    retrieval_model_dict: dict[str, Any]
    tags: list[Tag]
    doc_form: str | None
    doc_metadata: list[dict[str, str]]
    built_in_field_enabled: bool
    pipeline_id: str | None
    runtime_mode: str
    chunk_structure: str | None
    icon_info: dict[str, Any] | None
    is_published: bool
    total_documents: int
    total_available_documents: int
    enable_api: bool
    is_multimodal: bool
    partial_member_list: list[str]
    external_knowledge_info: dict[str, Any] | None = None
    external_retrieval_model: dict[str, Any] | None = None
    #: How far a new index is, while the one before answers: {documents_left, error}.
    index_rebuild: dict[str, Any] | None = None


class DatasetViews:
    """Builds the views of one tenant's knowledge bases."""

    def __init__(self, rows: KnowledgeRepository, links: Links, models: ModelsPort) -> None:
        self._rows = rows
        self._links = links
        self._models = models

    async def tell_availability(self, details: Sequence[DatasetDetail], choice: EmbeddingChoice | None) -> None:
        """Tell whether embedding models can be called, asking once for each; without a choice, whether they exist."""
        known: dict[tuple[str, str], bool] = {}
        for detail in details:
            if detail.indexing_technique == "high_quality":
                named = (detail.embedding_model_provider or "", detail.embedding_model or "")
                if named not in known:
                    known[named] = await self._is_available(named, choice)
                detail.embedding_available = known[named]

    async def _is_available(self, named: tuple[str, str], choice: EmbeddingChoice | None) -> bool:
        try:
            if choice is None:
                await self._models.describe(*named, ModelType.TEXT_EMBEDDING)
            else:
                await choice(*named)
        except DifyError:
            return False
        return True

    async def details(self, conn: AsyncConnection, found: Sequence[Dataset]) -> list[DatasetDetail]:
        """Join what the API shows beside the row, in one query a kind."""
        ids = [dataset.id for dataset in found]
        counts = await self._counts(conn, ids)
        apps = await self._links.app_counts(conn, ids)
        tags = await self._links.tags(conn, ids)
        authors = await self._links.author_names(conn, [dataset.created_by for dataset in found])
        fields = await self._grouped(conn, dataset_metadatas, ids)
        members = await self._grouped(conn, dataset_permissions, ids)
        pipelines = PipelinesOfDatasets(self._rows.db, self._rows.tenant)
        published = await pipelines.published(conn, [dataset.pipeline_id for dataset in found])
        rebuild = Rebuild(self._rows, Tasks(self._rows.db, self._rows.tenant))
        details = []
        for dataset in found:
            count = counts.get(dataset.id)
            outside = dataset.provider == "external"
            detail = msgspec.convert(
                {
                    **msgspec.structs.asdict(dataset),
                    "app_count": apps.get(dataset.id, 0),
                    "document_count": count.total if count else 0,
                    "total_documents": count.total if count else 0,
                    "total_available_documents": int(count.available or 0) if count else 0,
                    "word_count": int(count.words or 0) if count else 0,
                    "doc_form": count.doc_form if count else None,
                    "author_name": authors.get(dataset.created_by),
                    "embedding_available": True,
                    "retrieval_model_dict": _retrieval(None if outside else dataset.retrieval_model),
                    "external_retrieval_model": dataset.retrieval_model if outside else None,
                    "tags": tags.get(dataset.id, []),
                    "doc_metadata": [{"id": f.id, "name": f.name, "type": f.type} for f in fields.get(dataset.id, [])],
                    "is_published": dataset.pipeline_id in published,
                    "index_rebuild": msgspec.to_builtins(await rebuild.state(conn, dataset)),
                    "partial_member_list": [member.account_id for member in members.get(dataset.id, [])],
                },
                DatasetDetail,
            )
            details.append(detail)
        return details

    async def _counts(self, conn: AsyncConnection, ids: Sequence[str]) -> dict[str, Any]:
        available = sa.and_(
            documents.c.indexing_status == "completed", documents.c.enabled.is_(True), documents.c.archived.is_(False)
        )
        query = self._rows.scoped_select(
            documents,
            documents.c.dataset_id,
            sa.func.count().label("total"),
            sa.func.sum(sa.case((available, 1), else_=0)).label("available"),
            sa.func.sum(documents.c.word_count).label("words"),
            sa.func.min(documents.c.doc_form).label("doc_form"),
        ).where(documents.c.dataset_id.in_(ids))
        return {row.dataset_id: row for row in await conn.execute(query.group_by(documents.c.dataset_id))}

    async def _grouped(self, conn: AsyncConnection, table: sa.Table, ids: Sequence[str]) -> dict[str, list[Any]]:
        """Rows of a table by their dataset, oldest first."""
        query = self._rows.scoped_select(table).where(table.c.dataset_id.in_(ids))
        found: dict[str, list[Any]] = {}
        for row in await conn.execute(query.order_by(table.c.created_at, table.c.id)):
            found.setdefault(row.dataset_id, []).append(row)
        return found


def _retrieval(stored: dict[str, Any] | None) -> dict[str, Any]:
    """The settings with every field; the rerank model is an object, also when there is none."""
    if not stored:
        return DEFAULT_RETRIEVAL
    names = dict.fromkeys(DEFAULT_RETRIEVAL["reranking_model"])
    return {**DEFAULT_RETRIEVAL, **stored, "reranking_model": {**names, **(stored.get("reranking_model") or {})}}
