"""What becomes of the segments of a document when its chunks are others: kept, added, gone."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from dify_host.db.statements import put_many
from dify_host.db.types import new_id, utc_now
from dify_host.knowledge.chunk import Chunk, estimate_tokens, text_hash
from dify_host.knowledge.records import ChildChunk, Document, Segment
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import child_chunks, document_segments, segment_attachment_bindings

__all__ = ["SegmentChange"]

_GROUP = 500
Row = dict[str, Any]


class SegmentChange:
    """The way from the old segments to the chunks, in their order; `counted` estimates the tokens of new ones.

    A segment stays when a chunk has its content, answer and children. `gone` are the ids of those that do not stay,
    `gone_nodes` what they and their children are called in the index.
    """

    def __init__(
        self,
        document: Document,
        old: Sequence[Segment],
        old_children: Sequence[ChildChunk],
        chunks: Sequence[Chunk],
        *,
        counted: bool,
    ) -> None:
        self._document = document
        self._counted = counted
        self._segments: list[Row] = []
        self._children: list[Row] = []
        self._now = utc_now()
        self._attachments: list[Row] = []
        self._kept: list[Segment] = []
        self._moved: list[Row] = []
        children: defaultdict[str, list[ChildChunk]] = defaultdict(list)
        for child in old_children:
            children[child.segment_id].append(child)
        left: defaultdict[tuple[object, ...], deque[Segment]] = defaultdict(deque)
        for segment in old:
            texts = tuple(child.content for child in children[segment.id])
            left[segment.content, segment.answer, texts].append(segment)
        for position, chunk in enumerate(chunks, 1):
            same = left.get((chunk.content, chunk.answer, tuple(chunk.children)))
            if same:
                self._keep(same.popleft(), position, chunk)
            else:
                self._add(position, chunk)
        over = [segment for segments in left.values() for segment in segments]
        self.gone = [segment.id for segment in over]
        nodes = [segment.index_node_id for segment in over]
        nodes += [child.index_node_id for segment in over for child in children[segment.id]]
        self.gone_nodes = [node for node in nodes if node]

    def write(self, conn: sa.Connection, rows: KnowledgeRepository, *, again: bool = False) -> None:
        """Make the rows those of the chunks; `again` lets those that stay be indexed once more."""
        mine = segment_attachment_bindings.c.document_id == self._document.id
        conn.execute(rows.scoped_delete(segment_attachment_bindings).where(mine))
        for start in range(0, len(self.gone), _GROUP):
            group = self.gone[start : start + _GROUP]
            # Segments before their children, as whoever indexes them: another order would be a deadlock.
            conn.execute(rows.scoped_delete(document_segments).where(document_segments.c.id.in_(group)))
            conn.execute(rows.scoped_delete(child_chunks).where(child_chunks.c.segment_id.in_(group)))
        if self._moved:
            place = {"position": sa.bindparam("place"), "updated_at": utc_now()}
            change = rows.scoped_update(document_segments, place)
            conn.execute(change.where(document_segments.c.id == sa.bindparam("moved")), self._moved)
        unfinished = [segment.id for segment in self._kept if again or segment.status != "completed"]
        for start in range(0, len(unfinished), _GROUP):
            fresh = rows.scoped_update(document_segments, {"status": "waiting", "error": None, "stopped_at": None})
            conn.execute(fresh.where(document_segments.c.id.in_(unfinished[start : start + _GROUP])))
        put_many(conn, document_segments, self._segments)
        put_many(conn, child_chunks, self._children)
        put_many(conn, segment_attachment_bindings, self._attachments)

    def _keep(self, segment: Segment, position: int, chunk: Chunk) -> None:
        self._kept.append(segment)
        if segment.position != position:
            self._moved.append({"moved": segment.id, "place": position})
        self._attach(segment.id, chunk)

    def _add(self, position: int, chunk: Chunk) -> None:
        segment = self._row(chunk.content, position)
        tokens = estimate_tokens(chunk.content) if self._counted else 0
        # Their document gets to `indexing` in the same transaction, and they with it: nothing marks them again.
        state = {"status": "indexing", "indexing_at": segment["created_at"]}
        self._segments.append(segment | state | {"answer": chunk.answer, "tokens": tokens})
        for number, child in enumerate(chunk.children, 1):
            self._children.append(self._row(child, number) | {"segment_id": segment["id"], "type": "automatic"})
        self._attach(segment["id"], chunk)

    def _attach(self, segment_id: str, chunk: Chunk) -> None:
        for attachment in chunk.attachments:
            row = {"id": new_id(), **self._place(), "segment_id": segment_id, "attachment_id": attachment}
            self._attachments.append(row)

    def _row(self, content: str, position: int) -> Row:
        return {
            "id": new_id(),
            **self._place(),
            "position": position,
            "content": content,
            "word_count": len(content),
            "index_node_id": new_id(),
            "index_node_hash": text_hash(content),
            "created_by": self._document.created_by,
            "created_at": self._now,
            "updated_at": self._now,
        }

    def _place(self) -> Row:
        document = self._document
        return {"tenant_id": document.tenant_id, "dataset_id": document.dataset_id, "document_id": document.id}
