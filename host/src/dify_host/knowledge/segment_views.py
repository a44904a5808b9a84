"""Segments and child chunks as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from dify_host.knowledge.records import ChildChunk, Segment

__all__ = ["ChildChunkView", "SegmentView", "segment_view"]


class ChildChunkView(msgspec.Struct, kw_only=True):
    """A child chunk as the API shows it."""

    id: str
    segment_id: str
    content: str
    position: int
    word_count: int
    type: str
    created_at: datetime
    updated_at: datetime


class SegmentView(msgspec.Struct, kw_only=True):
    """A segment as the API shows it."""

    id: str
    position: int
    document_id: str
    content: str
    sign_content: str
    answer: str | None
    word_count: int
    tokens: int
    keywords: list[str]
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
    child_chunks: list[ChildChunkView] = []
    attachments: list[dict[str, Any]] = []


_SAME = tuple(
    name for name in SegmentView.__struct_fields__ if name in Segment.__struct_fields__ and name != "keywords"
)


def segment_view(segment: Segment, children: Sequence[ChildChunk] = ()) -> SegmentView:
    """The view of a segment with these children."""
    return SegmentView(
        **{name: getattr(segment, name) for name in _SAME},
        keywords=segment.keywords or [],
        sign_content=segment.content,
        child_chunks=[_child_view(child) for child in children],
    )


def _child_view(child: ChildChunk) -> ChildChunkView:
    return msgspec.convert(msgspec.structs.asdict(child), ChildChunkView)
