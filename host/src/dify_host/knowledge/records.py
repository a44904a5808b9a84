"""Rows of knowledge tables as structs; field names are the columns'."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from dify_kernel.contracts.vector import Space

__all__ = ["PLACE", "SERVING", "ChildChunk", "Dataset", "Document", "IndexStruct", "Segment"]

#: The key of `index_struct` under which stands what is searched until a new index is whole.
SERVING = "serving"
PLACE = ("indexing_technique", "embedding_model", "embedding_model_provider", "collection_binding_id")


class IndexStruct(msgspec.Struct, frozen=True, kw_only=True):
    """Where the vectors of a dataset are; the dimension is known once something was embedded."""

    store: str
    collection: str
    dimension: int = 0

    @classmethod
    def read(cls, value: dict[str, Any] | None) -> IndexStruct | None:
        """Read the stored form; None when the dataset has no vectors."""
        if not value or not value.get("vector_store"):
            return None
        return cls(
            store=value["type"],
            collection=value["vector_store"]["class_prefix"],
            dimension=value["vector_store"].get("dimension", 0),
        )

    def stored(self) -> dict[str, Any]:
        """The stored form."""
        return {"type": self.store, "vector_store": {"class_prefix": self.collection, "dimension": self.dimension}}

    @property
    def space(self) -> Space | None:
        """The embedding space; None while the dimension is unknown."""
        if not self.dimension:
            return None
        return Space(f"{self.collection}_{self.dimension}", self.dimension)


class Dataset(msgspec.Struct, kw_only=True):
    """One knowledge base."""

    id: str
    tenant_id: str
    name: str
    description: str | None
    provider: str
    permission: str
    data_source_type: str | None
    indexing_technique: str | None
    index_struct: dict[str, Any] | None
    embedding_model: str | None
    embedding_model_provider: str | None
    keyword_number: int
    collection_binding_id: str | None
    retrieval_model: dict[str, Any] | None
    built_in_field_enabled: bool
    icon_info: dict[str, Any] | None
    runtime_mode: str
    pipeline_id: str | None
    chunk_structure: str | None
    enable_api: bool
    is_multimodal: bool
    created_by: str
    created_at: datetime
    updated_by: str | None
    updated_at: datetime

    @property
    def index(self) -> IndexStruct | None:
        """Where the vectors are; None for economy and empty datasets."""
        return IndexStruct.read(self.index_struct)

    @property
    def serving(self) -> Dataset | None:
        """The dataset as it was indexed before, while a new index is made beside the old one; None otherwise."""
        before = (self.index_struct or {}).get(SERVING)
        return msgspec.structs.replace(self, **before) if before else None

    @property
    def searched(self) -> Dataset:
        """The dataset by the index that is whole: the one that searches ask."""
        return self.serving or self

    @property
    def place(self) -> dict[str, Any]:
        """The columns that say how and where it is indexed, without what served before."""
        own = {name: value for name, value in (self.index_struct or {}).items() if name != SERVING}
        return {**{name: getattr(self, name) for name in PLACE}, "index_struct": own or None}

    def same_place(self, other: Dataset) -> bool:
        """Whether both say the same technique, embedding space and store."""
        return self._whereabouts == other._whereabouts

    @property
    def moved_from(self) -> Dataset | None:
        """What serves while the same vectors are brought into another store; None otherwise, also for a new model."""
        before = self.serving
        if before is None or before.index is None or self.index is None:
            return None
        return before if before.collection_binding_id == self.collection_binding_id else None

    @property
    def _whereabouts(self) -> tuple[str | None, str | None, str | None]:
        index = self.index
        return self.indexing_technique, self.collection_binding_id, index.store if index else None


class Document(msgspec.Struct, kw_only=True):
    """One document of a dataset."""

    id: str
    tenant_id: str
    dataset_id: str
    position: int
    data_source_type: str
    data_source_info: dict[str, Any] | None
    dataset_process_rule_id: str | None
    batch: str
    name: str
    created_from: str
    created_by: str
    created_at: datetime
    updated_at: datetime
    file_id: str | None
    word_count: int | None
    tokens: int | None
    indexing_status: str
    indexing_latency: float | None
    processing_started_at: datetime | None
    parsing_completed_at: datetime | None
    cleaning_completed_at: datetime | None
    splitting_completed_at: datetime | None
    completed_at: datetime | None
    is_paused: bool
    paused_at: datetime | None
    error: str | None
    stopped_at: datetime | None
    enabled: bool
    disabled_at: datetime | None
    disabled_by: str | None
    archived: bool
    doc_type: str | None
    doc_metadata: dict[str, Any] | None
    doc_form: str
    doc_language: str | None

    @property
    def display_status(self) -> str:
        """The one word that people see: queuing, paused, indexing, error, available, disabled or archived."""
        if self.indexing_status == "waiting":
            return "queuing"
        if self.indexing_status == "error":
            return "error"
        if self.indexing_status != "completed":
            return "paused" if self.is_paused else "indexing"
        if self.archived:
            return "archived"
        return "available" if self.enabled else "disabled"


class Segment(msgspec.Struct, kw_only=True):
    """One chunk of a document."""

    id: str
    tenant_id: str
    dataset_id: str
    document_id: str
    position: int
    content: str
    answer: str | None
    word_count: int
    tokens: int
    keywords: list[str] | None
    index_node_id: str | None
    index_node_hash: str | None
    hit_count: int
    enabled: bool
    disabled_at: datetime | None
    disabled_by: str | None
    status: str
    created_by: str
    created_at: datetime
    updated_by: str | None
    updated_at: datetime
    indexing_at: datetime | None
    completed_at: datetime | None
    error: str | None
    stopped_at: datetime | None


class ChildChunk(msgspec.Struct, kw_only=True):
    """One child of a segment in parent-child form."""

    id: str
    tenant_id: str
    dataset_id: str
    document_id: str
    segment_id: str
    position: int
    content: str
    word_count: int
    index_node_id: str | None
    index_node_hash: str | None
    type: str
    created_by: str
    created_at: datetime
    updated_at: datetime
