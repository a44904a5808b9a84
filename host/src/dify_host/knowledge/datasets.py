"""Knowledge bases of one tenant: create, show, list, change, delete."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.model import ModelType
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import DifyError, NotImplementedYet
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.repository import Page, to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.knowledge.errors import DatasetInUse, DatasetNameDuplicate, ProviderNotInitialize
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.indexing import enqueue_indexing
from dify_host.knowledge.links import Links, Tag
from dify_host.knowledge.records import Dataset
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.settings import KnowledgeSettings
from dify_host.knowledge.source_files import SourceFiles
from dify_host.knowledge.spaces import bind_collection
from dify_host.knowledge.tables import (
    child_chunks,
    dataset_metadata_bindings,
    dataset_metadatas,
    dataset_permissions,
    dataset_process_rules,
    dataset_queries,
    datasets,
    document_segments,
    documents,
    segment_attachment_bindings,
)
from dify_host.knowledge.vectors import VectorStores

__all__ = ["DatasetChanges", "DatasetDetail", "DatasetService", "DefaultEmbedding", "NewDataset"]

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
Description = Annotated[str, msgspec.Meta(max_length=400)]
Technique = Literal["high_quality", "economy"]
Permission = Literal["only_me", "all_team_members", "partial_members"]
DefaultEmbedding = Callable[[], Awaitable[tuple[str, str] | None]]

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


class NewDataset(msgspec.Struct, kw_only=True):
    """What a knowledge base is made of; an empty one has no indexing technique yet."""

    name: Name
    description: Description = ""
    indexing_technique: Technique | None = None
    permission: Permission = "only_me"
    provider: Literal["vendor", "external"] = "vendor"
    embedding_model: str | None = None
    embedding_model_provider: str | None = None
    retrieval_model: dict[str, Any] | None = None


class DatasetChanges(msgspec.Struct, kw_only=True):
    """What to change; what is not given stays."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    indexing_technique: Technique | UnsetType = UNSET
    permission: Permission | UnsetType = UNSET
    embedding_model: str | UnsetType = UNSET
    embedding_model_provider: str | UnsetType = UNSET
    retrieval_model: dict[str, Any] | UnsetType = UNSET
    partial_member_list: list[str] | UnsetType = UNSET


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


class DatasetService:
    """The knowledge bases of one tenant."""

    def __init__(
        self,
        db: Database,
        tenant: Tenant,
        storage: Storage,
        stores: VectorStores,
        models: ModelsPort,
        *,
        settings: KnowledgeSettings | None = None,
        default_embedding: DefaultEmbedding | None = None,
    ) -> None:
        self._db = db
        self._stores = stores
        self._models = models
        self._settings = settings or KnowledgeSettings()
        self._default_embedding = default_embedding
        self._rows = KnowledgeRepository(db, tenant)
        self._links = Links(db, tenant)
        self._files = SourceFiles(db, tenant, storage)
        self._writer = IndexWriter(self._rows, stores, models)

    async def create(self, new: NewDataset, user_id: str) -> DatasetDetail:
        """Make a knowledge base; DatasetNameDuplicate, or ProviderNotInitialize without an embedding model."""
        if new.provider == "external":
            raise NotImplementedYet("External knowledge bases cannot be made yet.")
        values: dict[str, Any] = {
            "id": new_id(),
            "name": new.name,
            "description": new.description,
            "provider": new.provider,
            "permission": new.permission,
            "retrieval_model": new.retrieval_model,
            "created_by": user_id,
            "updated_by": user_id,
        }
        model = await self._embedding_model(new) if new.indexing_technique == "high_quality" else None
        async with self._db.write() as conn:
            await self._refuse_duplicate(conn, new.name)
            values |= await self.technique_values(conn, new.indexing_technique, model)
            await conn.execute(self._rows.scoped_insert(datasets, values))
        return await self.get(values["id"])

    async def get(self, dataset_id: str) -> DatasetDetail:
        """Show one; DatasetNotFound otherwise."""
        async with self._db.read() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            (detail,) = await self._details(conn, [dataset])
        return await self._with_availability(detail)

    async def api_enabled(self, dataset_id: str) -> bool:
        """Tell whether API keys may reach it; DatasetNotFound otherwise."""
        async with self._db.read() as conn:
            return (await self._rows.dataset(conn, dataset_id)).enable_api

    async def find(
        self,
        *,
        page: int = 1,
        limit: int = 20,
        keyword: str = "",
        tag_ids: Sequence[str] = (),
        ids: Sequence[str] | None = None,
        account_id: str | None = None,
    ) -> Page[DatasetDetail]:
        """List newest first, at most 100 a page; with an account, only what its permissions show."""
        page, limit = max(page, 1), min(max(limit, 1), 100)
        query = self._rows.scoped_select(datasets)
        if keyword:
            query = query.where(sa.func.lower(datasets.c.name).contains(keyword.lower(), autoescape=True))
        if tag_ids:
            query = query.where(datasets.c.id.in_(self._links.tagged(tag_ids)))
        if ids is not None:
            query = query.where(datasets.c.id.in_(ids))
        if account_id is not None:
            query = query.where(self._visible_to(account_id))
        counted = sa.select(sa.func.count()).select_from(query.subquery())
        newest = query.order_by(datasets.c.created_at.desc(), datasets.c.id.desc())
        async with self._db.read() as conn:
            total = (await conn.execute(counted)).scalar_one()
            rows = await conn.execute(newest.limit(limit).offset((page - 1) * limit))
            details = await self._details(conn, [to_struct(row, Dataset) for row in rows])
        data = [await self._with_availability(detail) for detail in details]
        return Page(data=data, page=page, limit=limit, total=total, has_more=page * limit < total)

    async def update(self, dataset_id: str, changes: DatasetChanges, user_id: str) -> DatasetDetail:
        """Change a knowledge base; another technique or embedding model indexes every document again."""
        async with self._db.read() as conn:
            before = await self._rows.dataset(conn, dataset_id)
        values: dict[str, Any] = {
            name: value
            for name in ("name", "description", "permission", "retrieval_model")
            if (value := getattr(changes, name)) is not UNSET
        }
        technique, model = await self._new_index(before, changes)
        reindex = technique != before.indexing_technique or model != _model_of(before)
        async with self._db.write() as conn:
            current = await self._rows.dataset(conn, dataset_id, lock=True)
            if "name" in values and values["name"] != current.name:
                await self._refuse_duplicate(conn, values["name"])
            if reindex:
                values |= await self.technique_values(conn, technique, model)
                await self._queue_all(conn, dataset_id)
            change = self._rows.scoped_update(datasets, {**values, "updated_by": user_id})
            await conn.execute(change.where(datasets.c.id == dataset_id))
            if not isinstance(changes.partial_member_list, UnsetType):
                await self._set_members(conn, dataset_id, changes.partial_member_list)
        if reindex:  # last, as a document must not look indexed while it is in no index
            await self._writer.remove_dataset(before)
        return await self.get(dataset_id)

    async def delete(self, dataset_id: str) -> None:
        """Delete it with all it holds; DatasetInUse while an app uses it. A repetition finishes what failed."""
        async with self._db.read() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            if await self._links.app_counts(conn, [dataset_id]):
                raise DatasetInUse(
                    "The dataset is being used by some apps.",
                    hint="Remove it from them before deleting.",
                    dataset_id=dataset_id,
                )
        await self._writer.remove_dataset(dataset)
        async with self._db.write() as conn:
            held = self._rows.scoped_select(documents, documents.c.file_id).where(documents.c.dataset_id == dataset_id)
            files = list((await conn.execute(held)).scalars())
            for table in (
                segment_attachment_bindings,
                child_chunks,
                document_segments,
                documents,
                dataset_metadata_bindings,
                dataset_metadatas,
                dataset_permissions,
            ):
                await conn.execute(self._rows.scoped_delete(table).where(table.c.dataset_id == dataset_id))
            for loose in (dataset_process_rules, dataset_queries):
                mine = self._rows.reached_through(loose.c.dataset_id, root=datasets)
                await conn.execute(loose.delete().where(loose.c.dataset_id == dataset_id, mine))
            await conn.execute(self._rows.scoped_delete(datasets).where(datasets.c.id == dataset_id))
        await self._files.drop_unused(files)

    async def technique_values(
        self, conn: AsyncConnection, technique: str | None, model: tuple[str, str] | None
    ) -> dict[str, Any]:
        """The columns that say how a dataset is indexed; `model` is (provider, model) for high quality."""
        if technique != "high_quality" or model is None:
            empty = dict.fromkeys(
                ("embedding_model", "embedding_model_provider", "collection_binding_id", "index_struct")
            )
            return {"indexing_technique": technique, **empty}
        provider, name = model
        binding_id, index = await bind_collection(
            conn, provider, name, store=self._stores.default, prefix=self._settings.vector_index_name_prefix
        )
        return {
            "indexing_technique": technique,
            "embedding_model": name,
            "embedding_model_provider": provider,
            "collection_binding_id": binding_id,
            "index_struct": index.stored(),
        }

    async def embedding_model(self, provider: str | None, model: str | None) -> tuple[str, str]:
        """The (provider, model) to embed with: the one named, else the tenant's; ProviderNotInitialize when neither."""
        if provider and model:
            return provider, model
        chosen = await self._default_embedding() if self._default_embedding else None
        if chosen is None:
            raise ProviderNotInitialize(
                "A high-quality knowledge base needs an embedding model.",
                hint="Name embedding_model and embedding_model_provider, or set the workspace's default.",
            )
        return chosen

    # -- inside ------------------------------------------------------------------------------------------------

    async def _embedding_model(self, new: NewDataset) -> tuple[str, str]:
        return await self.embedding_model(new.embedding_model_provider, new.embedding_model)

    async def _new_index(self, before: Dataset, changes: DatasetChanges) -> tuple[str | None, tuple[str, str] | None]:
        """The technique and model after the changes."""
        technique = before.indexing_technique if changes.indexing_technique is UNSET else changes.indexing_technique
        if technique != "high_quality":
            return technique, None
        model = changes.embedding_model or before.embedding_model or None
        provider = changes.embedding_model_provider or before.embedding_model_provider or None
        return technique, await self.embedding_model(provider, model)

    async def _queue_all(self, conn: AsyncConnection, dataset_id: str) -> None:
        """Let every document that has segments put them into the new index."""
        mine = documents.c.dataset_id == dataset_id
        done = documents.c.indexing_status == "completed"
        held = self._rows.scoped_select(documents, documents.c.id).where(mine, done)
        ids = list((await conn.execute(held)).scalars())
        again = self._rows.scoped_update(document_segments, {"status": "re_segment"})
        await conn.execute(
            again.where(document_segments.c.dataset_id == dataset_id, document_segments.c.status != "waiting")
        )
        change = self._rows.scoped_update(documents, {"indexing_status": "indexing", "error": None})
        await conn.execute(change.where(mine, done))
        for document_id in ids:
            await enqueue_indexing(conn, document_id)

    async def _refuse_duplicate(self, conn: AsyncConnection, name: str) -> None:
        query = self._rows.scoped_select(datasets, datasets.c.id).where(datasets.c.name == name).limit(1)
        if (await conn.execute(query)).one_or_none() is not None:
            raise DatasetNameDuplicate(
                "The dataset name already exists.", hint="Please modify your dataset name.", name=name
            )

    async def _set_members(self, conn: AsyncConnection, dataset_id: str, account_ids: Sequence[str]) -> None:
        await conn.execute(
            self._rows.scoped_delete(dataset_permissions).where(dataset_permissions.c.dataset_id == dataset_id)
        )
        for account_id in dict.fromkeys(account_ids):
            row = {"id": new_id(), "dataset_id": dataset_id, "account_id": account_id}
            await conn.execute(self._rows.scoped_insert(dataset_permissions, row))

    def _visible_to(self, account_id: str) -> sa.ColumnElement[bool]:
        shared = self._rows.scoped_select(dataset_permissions, dataset_permissions.c.dataset_id).where(
            dataset_permissions.c.account_id == account_id
        )
        return sa.or_(
            datasets.c.permission == "all_team_members",
            datasets.c.created_by == account_id,
            sa.and_(datasets.c.permission == "partial_members", datasets.c.id.in_(shared)),
        )

    async def _with_availability(self, detail: DatasetDetail) -> DatasetDetail:
        """Tell whether the embedding model can be had."""
        if detail.indexing_technique == "high_quality":
            try:
                await self._models.describe(
                    detail.embedding_model_provider or "", detail.embedding_model or "", ModelType.TEXT_EMBEDDING
                )
            except DifyError:
                detail.embedding_available = False
        return detail

    async def _details(self, conn: AsyncConnection, found: Sequence[Dataset]) -> list[DatasetDetail]:
        """Join what the API shows beside the row, in one query a kind."""
        ids = [dataset.id for dataset in found]
        counts = await self._counts(conn, ids)
        apps = await self._links.app_counts(conn, ids)
        tags = await self._links.tags(conn, ids)
        authors = await self._links.author_names(conn, [dataset.created_by for dataset in found])
        fields = await self._grouped(conn, dataset_metadatas, ids)
        members = await self._grouped(conn, dataset_permissions, ids)
        details = []
        for dataset in found:
            count = counts.get(dataset.id)
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
                    "retrieval_model_dict": dataset.retrieval_model or DEFAULT_RETRIEVAL,
                    "tags": tags.get(dataset.id, []),
                    "doc_metadata": [{"id": f.id, "name": f.name, "type": f.type} for f in fields.get(dataset.id, [])],
                    "is_published": False,
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


def _model_of(dataset: Dataset) -> tuple[str, str] | None:
    if dataset.indexing_technique != "high_quality":
        return None
    return dataset.embedding_model_provider or "", dataset.embedding_model or ""
