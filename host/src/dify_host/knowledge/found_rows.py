"""The rows that a search shows, read by statements that are built once: building them costs more than running them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from dify_host.db.tenant import Tenant
from dify_host.knowledge.records import ChildChunk, Dataset, Document, Segment
from dify_host.knowledge.tables import child_chunks, datasets, document_segments, documents

__all__ = ["FoundRows", "searchable"]

_SEGMENT = Segment.__struct_fields__
_DOCUMENT = Document.__struct_fields__


def searchable() -> sa.ColumnElement[bool]:
    """The condition that a document may be found."""
    return sa.and_(
        documents.c.indexing_status == "completed", documents.c.enabled.is_(True), documents.c.archived.is_(False)
    )


class FoundRows:
    """Reads for one tenant, in what `Database.run_read` runs."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def dataset(self, conn: sa.Connection, dataset_id: str) -> Dataset | None:
        """The dataset; None when the tenant has none of the id."""
        row = conn.execute(_one_dataset(), {"tenant": self._tenant.id, "dataset": dataset_id}).one_or_none()
        return Dataset(**dict(zip(Dataset.__struct_fields__, row, strict=True))) if row is not None else None

    def hidden(self, conn: sa.Connection, dataset_id: str, limit: int) -> list[str]:
        """The ids of completed documents that may not be found, at most `limit`."""
        given = {"tenant": self._tenant.id, "dataset": dataset_id, "most": limit}
        return list(conn.execute(_hidden(), given).scalars())

    def by_node(self, conn: sa.Connection, dataset_id: str, nodes: Sequence[str]) -> list[tuple[Segment, Document]]:
        """The segments with these ids in the index that may be shown, with their documents."""
        return self._pairs(conn, "index_node_id", dataset_id, nodes)

    def by_id(self, conn: sa.Connection, dataset_id: str, ids: Sequence[str]) -> list[tuple[Segment, Document]]:
        """The segments of these ids that may be shown, with their documents."""
        return self._pairs(conn, "id", dataset_id, ids)

    def children(self, conn: sa.Connection, dataset_id: str, nodes: Sequence[str]) -> list[ChildChunk]:
        """The child chunks with these ids in the index."""
        given = {"tenant": self._tenant.id, "dataset": dataset_id, "wanted": list(nodes)}
        names = ChildChunk.__struct_fields__
        return [ChildChunk(**dict(zip(names, row, strict=True))) for row in conn.execute(_children(), given)]

    def _pairs(
        self, conn: sa.Connection, column: str, dataset_id: str, wanted: Sequence[str]
    ) -> list[tuple[Segment, Document]]:
        given = {"tenant": self._tenant.id, "dataset": dataset_id, "wanted": list(wanted)}
        known: dict[str, Document] = {}
        pairs = []
        for row in conn.execute(_pairs(column), given):
            segment = Segment(**dict(zip(_SEGMENT, row, strict=False)))
            if segment.status != "completed":
                continue
            document = known.get(segment.document_id)
            if document is None:
                document = known[segment.document_id] = Document(
                    **dict(zip(_DOCUMENT, row[len(_SEGMENT) :], strict=True))
                )
            pairs.append((segment, document))
        return pairs


def _columns(table: sa.Table, kind: type[msgspec.Struct]) -> list[sa.Column[Any]]:
    return [table.c[name] for name in kind.__struct_fields__]


def _mine(table: sa.Table, dataset: sa.Column[Any]) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.tenant_id == sa.bindparam("tenant"), dataset == sa.bindparam("dataset"))


@cache
def _one_dataset() -> sa.Select[Any]:
    return sa.select(*_columns(datasets, Dataset)).where(_mine(datasets, datasets.c.id))


@cache
def _hidden() -> sa.Select[Any]:
    query = sa.select(documents.c.id).where(_mine(documents, documents.c.dataset_id))
    off = query.where(documents.c.indexing_status == "completed", sa.not_(searchable()))
    return off.limit(sa.bindparam("most", type_=sa.Integer))


# The status is compared by the caller: named here, SQLite looks for it in all segments of the knowledge base.
@cache
def _pairs(column: str) -> sa.Select[Any]:
    return (
        sa.select(*_columns(document_segments, Segment), *_columns(documents, Document))
        .join(documents, documents.c.id == document_segments.c.document_id)
        .where(
            _mine(document_segments, document_segments.c.dataset_id),
            document_segments.c[column].in_(sa.bindparam("wanted", expanding=True)),
            documents.c.tenant_id == sa.bindparam("tenant"),
            searchable(),
            document_segments.c.enabled.is_(True),
        )
    )


@cache
def _children() -> sa.Select[Any]:
    query = sa.select(*_columns(child_chunks, ChildChunk)).where(_mine(child_chunks, child_chunks.c.dataset_id))
    return query.where(child_chunks.c.index_node_id.in_(sa.bindparam("wanted", expanding=True)))
