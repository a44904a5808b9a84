"""Knowledge bases of one tenant: create, show, list, change, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import NotImplementedYet
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.repository import Page, to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.tables import api_tokens
from dify_host.knowledge.access import DatasetAccess, Person
from dify_host.knowledge.dataset_views import DatasetDetail, DatasetViews, EmbeddingChoice
from dify_host.knowledge.emptying import empty_later
from dify_host.knowledge.errors import DatasetInUse, ProviderNotInitialize
from dify_host.knowledge.external import ExternalInfo, ExternalKnowledge, read_external_retrieval
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.links import Links
from dify_host.knowledge.pictures import DocumentPictures
from dify_host.knowledge.rebuild import Rebuild
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
    document_questions,
    document_segments,
    documents,
    external_knowledge_bindings,
    segment_attachment_bindings,
)
from dify_host.knowledge.tasks import Tasks
from dify_host.knowledge.vectors import VectorStores
from dify_host.pipelines.of_datasets import PipelinesOfDatasets

__all__ = ["DatasetChanges", "DatasetDetail", "DatasetService", "EmbeddingChoice", "NewDataset"]

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
Description = Annotated[str, msgspec.Meta(max_length=400)]
Technique = Literal["high_quality", "economy"]
Permission = Literal["only_me", "all_team_members", "partial_members"]


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
    icon_info: dict[str, Any] | None = None
    external_knowledge_api_id: str | None = None
    external_knowledge_id: str | None = None
    external_retrieval_model: dict[str, Any] | None = None


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
    icon_info: dict[str, Any] | UnsetType = UNSET
    external_knowledge_api_id: str | UnsetType = UNSET
    external_knowledge_id: str | UnsetType = UNSET
    external_retrieval_model: dict[str, Any] | UnsetType = UNSET


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
        embedding_choice: EmbeddingChoice | None = None,
        external: ExternalKnowledge | None = None,
    ) -> None:
        self._db = db
        self._stores = stores
        self._settings = settings or KnowledgeSettings()
        self._embedding_choice = embedding_choice
        self._external = external
        self._rows = KnowledgeRepository(db, tenant)
        self._links = Links(db, tenant)
        self._views = DatasetViews(self._rows, self._links, models)
        self.access = DatasetAccess(self._rows, self._links)
        self._files = SourceFiles(db, tenant, storage)
        self._pictures = DocumentPictures(db, tenant, storage)
        self._writer = IndexWriter(self._rows, stores, models)
        self._tasks = Tasks(db, tenant, slots=self._settings.tenant_isolated_task_concurrency)
        self._rebuild = Rebuild(self._rows, self._tasks)

    async def create(self, new: NewDataset, user_id: str) -> DatasetDetail:
        """Make a knowledge base; DatasetNameDuplicate, or ProviderNotInitialize without an embedding model."""
        if new.provider == "external":
            return await self._create_external(new, user_id)
        values: dict[str, Any] = {
            "id": new_id(),
            "name": new.name,
            "description": new.description,
            "provider": new.provider,
            "permission": new.permission,
            "retrieval_model": new.retrieval_model,
            "icon_info": new.icon_info,
            "created_by": user_id,
            "updated_by": user_id,
        }
        model = await self._embedding_model(new) if new.indexing_technique == "high_quality" else None
        async with self._db.write() as conn:
            await self._rows.claim_name(conn, new.name)
            values |= await self.technique_values(conn, new.indexing_technique, model)
            await conn.execute(self._rows.scoped_insert(datasets, values))
        return await self.get(values["id"])

    async def get(self, dataset_id: str) -> DatasetDetail:
        """Show one; DatasetNotFound otherwise."""
        async with self._db.read() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            (detail,) = await self._views.details(conn, [dataset])
        return (await self._shown([detail]))[0]

    async def api_enabled(self, dataset_id: str) -> bool:
        """Tell whether API keys may reach it; DatasetNotFound otherwise."""
        async with self._db.read() as conn:
            return (await self._rows.dataset(conn, dataset_id)).enable_api

    async def is_external(self, dataset_id: str) -> bool:
        """Tell whether its content is elsewhere; DatasetNotFound."""
        async with self._db.read() as conn:
            return (await self._rows.dataset(conn, dataset_id)).provider == "external"

    async def switch_api(self, dataset_id: str, enabled: bool, user_id: str) -> None:
        """Open or close it to API keys; DatasetNotFound."""
        async with self._db.write() as conn:
            await self._rows.dataset(conn, dataset_id, lock=True)
            change = self._rows.scoped_update(datasets, {"enable_api": enabled, "updated_by": user_id})
            await conn.execute(change.where(datasets.c.id == dataset_id))

    async def find(
        self,
        *,
        page: int = 1,
        limit: int = 20,
        keyword: str = "",
        tag_ids: Sequence[str] = (),
        ids: Sequence[str] | None = None,
        person: Person | None = None,
        include_all: bool = False,
    ) -> Page[DatasetDetail]:
        """List newest first, at most 100 a page; with a person, only what it may see (`DatasetAccess`)."""
        page, limit = max(page, 1), min(max(limit, 1), 100)
        query = self._rows.scoped_select(datasets)
        if keyword:
            query = query.where(sa.func.lower(datasets.c.name).contains(keyword.lower(), autoescape=True))
        if tag_ids:
            query = query.where(datasets.c.id.in_(self._links.tagged(tag_ids)))
        if ids is not None:
            query = query.where(datasets.c.id.in_(ids))
        if person is not None:
            query = query.where(self.access.visible_to(person, include_all=include_all))
        counted = sa.select(sa.func.count()).select_from(query.subquery())
        newest = query.order_by(datasets.c.created_at.desc(), datasets.c.id.desc())
        async with self._db.read() as conn:
            total = (await conn.execute(counted)).scalar_one()
            rows = await conn.execute(newest.limit(limit).offset((page - 1) * limit))
            details = await self._views.details(conn, [to_struct(row, Dataset) for row in rows])
        data = await self._shown(details)
        return Page(data=data, page=page, limit=limit, total=total, has_more=page * limit < total)

    async def update(
        self, dataset_id: str, changes: DatasetChanges, user_id: str, *, role: str = "owner"
    ) -> DatasetDetail:
        """Change a knowledge base; another technique or embedding model makes a new index, and the old one answers
        until it is whole. Naming the same ones again tries again what could not be put into it.

        Forbidden when the user's role may not change its permission.
        """
        async with self._db.read() as conn:
            before = await self._rows.dataset(conn, dataset_id)
        values: dict[str, Any] = {
            name: value
            for name in ("name", "description", "permission", "retrieval_model", "icon_info")
            if (value := getattr(changes, name)) is not UNSET
        }
        bound = None
        if before.provider == "external":
            values.pop("retrieval_model", None)  # it has settings of its own
            bound = (await self._outside.infos([dataset_id])).get(dataset_id)
        technique, model = await self._new_index(before, changes)
        reindex = technique != before.indexing_technique or model != _model_of(before)
        async with self._db.write() as conn:
            current = await self._rows.dataset(conn, dataset_id, lock=True)
            if "name" in values and values["name"] != current.name:
                await self._rows.claim_name(conn, values["name"])
            if reindex:
                store = current.index.store if current.index else None
                wanted = await self.technique_values(conn, technique, model, store=store)
                values |= await self._rebuild.begin(conn, current, wanted)
            elif before.provider != "external" and (changes.indexing_technique or changes.embedding_model):
                await self._rebuild.again(conn, dataset_id)
            change = self._rows.scoped_update(datasets, {**values, "updated_by": user_id})
            await conn.execute(change.where(datasets.c.id == dataset_id))
            if current.provider == "external":
                await self._change_external(conn, dataset_id, bound, changes, user_id)
            await self.access.change(conn, current, changes, Person(account_id=user_id, role=role))
        return await self.get(dataset_id)

    async def delete(self, dataset_id: str) -> None:
        """Delete it with all it holds; DatasetInUse while an app uses it. Work on its documents stops at the next step.

        A repetition finishes what failed.
        """
        async with self._db.read() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            if await self._links.app_counts(conn, [dataset_id]):
                raise DatasetInUse(
                    "The dataset is being used by some apps.",
                    hint="Remove it from them before deleting.",
                    dataset_id=dataset_id,
                )
            retired = await self._rebuild.retired(conn, dataset)
            held = await self._tasks.in_hand(conn, dataset_id=dataset_id)
        await self._writer.remove_dataset(dataset)
        for place in retired:
            await self._writer.remove_place(place)
        async with self._db.write() as conn:
            # As it is now: a worker may have begun an index of it meanwhile, and begins none from here on.
            dataset = await self._rows.dataset(conn, dataset_id, lock=True)
            source = self._rows.scoped_select(documents, documents.c.file_id)
            locked = source.where(documents.c.dataset_id == dataset_id).with_for_update()
            files = list((await conn.execute(locked)).scalars())
            inside = sa.select(documents.c.id).where(documents.c.dataset_id == dataset_id)
            for table in (segment_attachment_bindings, child_chunks):
                await conn.execute(self._rows.scoped_delete(table).where(table.c.document_id.in_(inside)))
            for table in (
                document_segments,
                document_questions,
                documents,
                dataset_metadata_bindings,
                dataset_metadatas,
                dataset_permissions,
                external_knowledge_bindings,
            ):
                await conn.execute(self._rows.scoped_delete(table).where(table.c.dataset_id == dataset_id))
            for loose in (dataset_process_rules, dataset_queries):
                mine = self._rows.reached_through(loose.c.dataset_id, root=datasets)
                await conn.execute(loose.delete().where(loose.c.dataset_id == dataset_id, mine))
            await conn.execute(self._rows.scoped_delete(datasets).where(datasets.c.id == dataset_id))
            await empty_later(conn, self._tasks, dataset, retired, held=held)
            await conn.execute(self._rows.scoped_delete(api_tokens).where(api_tokens.c.dataset_id == dataset_id))
            if dataset.pipeline_id:
                await PipelinesOfDatasets(self._db, self._rows.tenant).forget(conn, dataset.pipeline_id)
        await self._files.drop_unused(files)
        await self._pictures.drop(dataset_id)

    async def technique_values(
        self,
        conn: AsyncConnection,
        technique: str | None,
        model: tuple[str, str] | None,
        *,
        store: str | None = None,
    ) -> dict[str, Any]:
        """The columns that say how a dataset is indexed; `model` is (provider, model) for high quality.

        Its vectors go into the named store, else into the default one.
        """
        if technique != "high_quality" or model is None:
            empty = dict.fromkeys(
                ("embedding_model", "embedding_model_provider", "collection_binding_id", "index_struct")
            )
            return {"indexing_technique": technique, **empty}
        provider, name = model
        binding_id, index = await bind_collection(
            conn, provider, name, store=store or self._stores.default, prefix=self._settings.vector_index_name_prefix
        )
        return {
            "indexing_technique": technique,
            "embedding_model": name,
            "embedding_model_provider": provider,
            "collection_binding_id": binding_id,
            "index_struct": index.stored(),
        }

    async def embedding_model(self, provider: str | None, model: str | None) -> tuple[str, str]:
        """The (provider, model) to embed with: the one named, else the tenant's; ProviderNotInitialize when neither.

        The errors of a model that cannot be called (no such provider, no credentials) are raised as they are.
        """
        chosen = (provider, model) if provider and model else None
        if self._embedding_choice is not None:
            chosen = await self._embedding_choice(*(chosen or (None, None)))
        if chosen is None:
            raise ProviderNotInitialize(
                "A high-quality knowledge base needs an embedding model.",
                hint="Name embedding_model and embedding_model_provider, or set the workspace's default.",
            )
        return chosen

    # -- inside ------------------------------------------------------------------------------------------------

    async def _embedding_model(self, new: NewDataset) -> tuple[str, str]:
        return await self.embedding_model(new.embedding_model_provider, new.embedding_model)

    async def _create_external(self, new: NewDataset, user_id: str) -> DatasetDetail:
        dataset_id = await self._outside.create_dataset(
            new.name,
            new.external_knowledge_api_id or "",
            new.external_knowledge_id or "",
            user_id,
            description=new.description,
            retrieval=new.external_retrieval_model,
            permission=new.permission,
        )
        return await self.get(dataset_id)

    async def _change_external(
        self, conn: AsyncConnection, dataset_id: str, bound: ExternalInfo | None, changes: DatasetChanges, user_id: str
    ) -> None:
        """What is not given of the knowledge and its API stays as it was bound; so do the settings."""
        if not isinstance(changes.external_retrieval_model, UnsetType):
            model = msgspec.to_builtins(read_external_retrieval(changes.external_retrieval_model))
            change = self._rows.scoped_update(datasets, {"retrieval_model": model})
            await conn.execute(change.where(datasets.c.id == dataset_id))
        api_id, knowledge_id = changes.external_knowledge_api_id, changes.external_knowledge_id
        if api_id is UNSET and knowledge_id is UNSET:
            return
        before = ("", "") if bound is None else (bound.external_knowledge_api_id, bound.external_knowledge_id)
        await self._outside.bind(
            conn,
            dataset_id,
            before[0] if isinstance(api_id, UnsetType) else api_id,
            before[1] if isinstance(knowledge_id, UnsetType) else knowledge_id,
            user_id,
        )

    async def _shown(self, details: Sequence[DatasetDetail]) -> list[DatasetDetail]:
        """The views with what has to be asked for: whether models can be had, and what external ones are over."""
        outside = [detail.id for detail in details if detail.provider == "external"]
        infos = await self._outside.infos(outside) if outside else {}
        for detail in details:
            detail.external_knowledge_info = msgspec.to_builtins(infos.get(detail.id))
        await self._views.tell_availability(details, self._embedding_choice)
        return list(details)

    @property
    def _outside(self) -> ExternalKnowledge:
        if self._external is None:
            raise NotImplementedYet("External knowledge cannot be reached from here.")
        return self._external

    async def _new_index(self, before: Dataset, changes: DatasetChanges) -> tuple[str | None, tuple[str, str] | None]:
        """The technique and model after the changes; an external knowledge base has neither."""
        if before.provider == "external":
            return before.indexing_technique, _model_of(before)
        technique = before.indexing_technique if changes.indexing_technique is UNSET else changes.indexing_technique
        if technique != "high_quality":
            return technique, None
        model = changes.embedding_model or before.embedding_model or None
        provider = changes.embedding_model_provider or before.embedding_model_provider or None
        if (provider, model) == _model_of(before):  # it stays, also while it cannot be called
            return technique, _model_of(before)
        return technique, await self.embedding_model(provider, model)


def _model_of(dataset: Dataset) -> tuple[str, str] | None:
    if dataset.indexing_technique != "high_quality":
        return None
    return dataset.embedding_model_provider or "", dataset.embedding_model or ""
