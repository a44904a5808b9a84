"""Reads the rows of one tenant's knowledge bases; every other module reaches rows through it."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.repository import TenantRepository, to_struct
from dify_host.identity.tables import tenants
from dify_host.knowledge.errors import DatasetNameDuplicate, DatasetNotFound, DocumentNotFound, SegmentNotFound
from dify_host.knowledge.records import ChildChunk, Dataset, Document, Segment
from dify_host.knowledge.rules import ProcessRule, read_rule
from dify_host.knowledge.tables import child_chunks, dataset_process_rules, datasets, document_segments, documents

__all__ = ["KnowledgeRepository"]


class KnowledgeRepository(TenantRepository):
    """Rows by id, always the tenant's; a row of another tenant is as absent as one that never was."""

    async def dataset(self, conn: AsyncConnection, dataset_id: str, *, lock: bool = False) -> Dataset:
        """The dataset; DatasetNotFound otherwise. `lock` keeps the row until the transaction ends."""
        query = self.scoped_select(datasets).where(datasets.c.id == dataset_id)
        row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
        if row is None:
            raise DatasetNotFound("Dataset not found.", dataset_id=dataset_id)
        return to_struct(row, Dataset)

    def dataset_now(self, conn: sa.Connection, dataset_id: str, *, lock: bool = False) -> Dataset:
        """`dataset`, for what `Database.run_write` runs."""
        query = self.scoped_select(datasets).where(datasets.c.id == dataset_id)
        row = conn.execute(query.with_for_update() if lock else query).one_or_none()
        if row is None:
            raise DatasetNotFound("Dataset not found.", dataset_id=dataset_id)
        return to_struct(row, Dataset)

    async def datasets(self, conn: AsyncConnection, ids: Sequence[str]) -> list[Dataset]:
        """Those of the datasets that are the tenant's, in the order asked."""
        rows = await conn.execute(self.scoped_select(datasets).where(datasets.c.id.in_(ids)))
        found = {row.id: to_struct(row, Dataset) for row in rows}
        return [found[dataset_id] for dataset_id in dict.fromkeys(ids) if dataset_id in found]

    async def claim_name(self, conn: AsyncConnection, name: str) -> None:
        """DatasetNameDuplicate when a dataset has the name; else nobody takes it until the transaction ends."""
        # The lock on the workspace's row makes looking and taking one step for all processes.
        await conn.execute(sa.select(tenants.c.id).where(tenants.c.id == self.tenant.id).with_for_update())
        taken = self.scoped_select(datasets, datasets.c.id).where(datasets.c.name == name).limit(1)
        if (await conn.execute(taken)).first() is not None:
            hint = "Please modify your dataset name."
            raise DatasetNameDuplicate("The dataset name already exists.", hint=hint, name=name)

    async def document(
        self, conn: AsyncConnection, dataset_id: str, document_id: str, *, lock: bool = False
    ) -> Document:
        """The document of that dataset; DocumentNotFound otherwise."""
        query = self.scoped_select(documents).where(documents.c.id == document_id, documents.c.dataset_id == dataset_id)
        row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
        if row is None:
            raise DocumentNotFound("Document not found.", document_id=document_id)
        return to_struct(row, Document)

    async def segment(self, conn: AsyncConnection, dataset_id: str, document_id: str, segment_id: str) -> Segment:
        """The segment of that document; SegmentNotFound otherwise."""
        query = self.scoped_select(document_segments).where(
            document_segments.c.id == segment_id,
            document_segments.c.document_id == document_id,
            document_segments.c.dataset_id == dataset_id,
        )
        row = (await conn.execute(query)).one_or_none()
        if row is None:
            raise SegmentNotFound("Segment not found.", segment_id=segment_id)
        return to_struct(row, Segment)

    async def children(self, conn: AsyncConnection, segment_ids: Sequence[str]) -> list[ChildChunk]:
        """The child chunks of these segments, by segment and position."""
        return await conn.run_sync(self.children_now, segment_ids)

    def children_now(self, conn: sa.Connection, segment_ids: Sequence[str]) -> list[ChildChunk]:
        """`children`, for what `Database.run_read` runs."""
        query = self.scoped_select(child_chunks).where(child_chunks.c.segment_id.in_(segment_ids))
        rows = conn.execute(query.order_by(child_chunks.c.segment_id, child_chunks.c.position))
        return [to_struct(row, ChildChunk) for row in rows]

    def children_of(self, conn: sa.Connection, segments: Sequence[Segment]) -> list[ChildChunk]:
        """`children_now`, where most documents have none: those are asked for by document, not by segment."""
        if not self.have_children(conn, segments):
            return []
        return self.children_now(conn, [segment.id for segment in segments])

    def have_children(self, conn: sa.Connection, segments: Sequence[Segment]) -> bool:
        """Whether any document of these segments has child chunks; for what `Database.run_read` runs."""
        held = sorted({segment.document_id for segment in segments})
        query = self.scoped_select(child_chunks, child_chunks.c.id).where(child_chunks.c.document_id.in_(held))
        return conn.execute(query.limit(1)).first() is not None

    def segments(self, conn: sa.Connection, document_id: str) -> list[Segment]:
        """All segments of a document, by position; for what `Database.run_read` runs."""
        query = self.scoped_select(document_segments).where(document_segments.c.document_id == document_id)
        rows = conn.execute(query.order_by(document_segments.c.position, document_segments.c.id))
        return [to_struct(row, Segment) for row in rows]

    def by_id(self, conn: sa.Connection, segment_ids: Sequence[str]) -> list[Segment]:
        """Those of the segments that are there, by position; for what `Database.run_write` runs."""
        query = self.scoped_select(document_segments).where(document_segments.c.id.in_(segment_ids))
        return [to_struct(row, Segment) for row in conn.execute(query.order_by(document_segments.c.position))]

    def children_of_document(self, conn: sa.Connection, document_id: str) -> list[ChildChunk]:
        """All child chunks of a document, by segment and position; for what `Database.run_read` runs."""
        query = self.scoped_select(child_chunks).where(child_chunks.c.document_id == document_id)
        rows = conn.execute(query.order_by(child_chunks.c.segment_id, child_chunks.c.position))
        return [to_struct(row, ChildChunk) for row in rows]

    async def process_rule(self, conn: AsyncConnection, rule_id: str | None) -> ProcessRule:
        """The rule of that id; the automatic one when there is none."""
        return await conn.run_sync(self.rule_now, rule_id)

    def rule_now(self, conn: sa.Connection, rule_id: str | None) -> ProcessRule:
        """`process_rule`, for what `Database.run_read` runs."""
        owned = self.reached_through(dataset_process_rules.c.dataset_id, root=datasets)
        query = sa.select(dataset_process_rules.c.mode, dataset_process_rules.c.rules).where(
            owned, dataset_process_rules.c.id == rule_id
        )
        row = conn.execute(query).one_or_none() if rule_id else None
        return read_rule(row.mode, row.rules) if row else ProcessRule()

    async def latest_rule_id(self, conn: AsyncConnection, dataset_id: str) -> str | None:
        """The id of the dataset's newest rule; None when it has none."""
        owned = self.reached_through(dataset_process_rules.c.dataset_id, root=datasets)
        query = sa.select(dataset_process_rules.c.id).where(owned, dataset_process_rules.c.dataset_id == dataset_id)
        newest = query.order_by(dataset_process_rules.c.created_at.desc(), dataset_process_rules.c.id.desc())
        return (await conn.execute(newest.limit(1))).scalar_one_or_none()
