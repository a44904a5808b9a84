"""Knowledge bases that own a pipeline: made with it, found by it, set as its last node says when it is published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import BadInput
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.repository import to_struct
from dify_host.db.types import new_id
from dify_host.knowledge.datasets import DatasetChanges, DatasetService
from dify_host.knowledge.records import Dataset
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import datasets, documents

__all__ = ["RAG_PIPELINE", "IndexSettings", "PipelineDatasets"]

RAG_PIPELINE: Final = "rag_pipeline"
"""The `runtime_mode` of a knowledge base that owns a pipeline."""
_LONGEST_NAME: Final = 40


class IndexSettings(msgspec.Struct, kw_only=True):
    """What the `knowledge-index` node of a pipeline says about its knowledge base."""

    chunk_structure: str = "text_model"
    indexing_technique: str | None = None
    embedding_model: str | None = None
    embedding_model_provider: str | None = None
    keyword_number: int | None = None
    retrieval_model: dict[str, Any] | None = None


class PipelineDatasets:
    """Those of one tenant."""

    def __init__(self, rows: KnowledgeRepository, service: DatasetService) -> None:
        self._rows, self._service = rows, service

    async def create(self, conn: AsyncConnection, pipeline_id: str, user_id: str, **values: Any) -> str:
        """Make the knowledge base of a pipeline and return its id.

        `values` are columns. A name that is taken gets a number; without one it is `Untitled`.
        """
        name = await self._free_name(conn, values.pop("name", "") or "Untitled")
        own = {"id": new_id(), "pipeline_id": pipeline_id, "runtime_mode": RAG_PIPELINE}
        made = {"name": name, "created_by": user_id, "updated_by": user_id}
        await conn.execute(self._rows.scoped_insert(datasets, {**values, **own, **made}))
        return str(own["id"])

    async def of(self, conn: AsyncConnection, pipeline_id: str, *, lock: bool = False) -> Dataset:
        """The knowledge base of a pipeline; BadInput when it is gone."""
        query = self._rows.scoped_select(datasets).where(datasets.c.pipeline_id == pipeline_id)
        row = (await conn.execute(query.with_for_update() if lock else query)).first()
        if row is None:
            raise BadInput("Pipeline dataset is required", hint="Its knowledge base was deleted.")
        return to_struct(row, Dataset)

    async def update(self, conn: AsyncConnection, dataset_id: str, values: Mapping[str, Any]) -> None:
        """Change columns."""
        await conn.execute(self._rows.scoped_update(datasets, values).where(datasets.c.id == dataset_id))

    async def check(self, conn: AsyncConnection, pipeline_id: str, settings: IndexSettings) -> None:
        """BadInput when the documents that are there have another structure than the settings want."""
        dataset = await self.of(conn, pipeline_id)
        held = self._rows.scoped_select(documents, documents.c.id).where(documents.c.dataset_id == dataset.id).limit(1)
        structure = dataset.chunk_structure
        if structure in (None, settings.chunk_structure) or (await conn.execute(held)).first() is None:
            return
        raise BadInput(
            "Chunk structure is not allowed to be updated.",
            hint=f"The documents of the knowledge base are of {structure}.",
            field="chunk_structure",
        )

    async def apply(self, dataset_id: str, settings: IndexSettings, user_id: str) -> None:
        """Set the knowledge base as the settings say; another technique or model indexes its documents again."""
        values = {"chunk_structure": settings.chunk_structure, "keyword_number": settings.keyword_number}
        async with self._rows.db.write() as conn:
            given = {name: value for name, value in values.items() if value is not None}
            await self.update(conn, dataset_id, given)
        wanted = ("indexing_technique", "embedding_model", "embedding_model_provider", "retrieval_model")
        said = {name: value for name in wanted if (value := getattr(settings, name)) is not None}
        if said:
            await self._service.update(dataset_id, msgspec.convert(said, DatasetChanges), user_id)

    async def _free_name(self, conn: AsyncConnection, wanted: str) -> str:
        """The name, or the name and the first number that makes it one that nobody has."""
        wanted = wanted[:_LONGEST_NAME]
        alike = sa.func.lower(datasets.c.name).startswith(wanted[: _LONGEST_NAME - 8].lower(), autoescape=True)
        taken = set((await conn.execute(self._rows.scoped_select(datasets, datasets.c.name).where(alike))).scalars())
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted[: _LONGEST_NAME - 8].rstrip()} {number}"
        return name
