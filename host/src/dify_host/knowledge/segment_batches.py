"""Several segments, or all children of one, at once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from dify_kernel.errors import BadInput, NotFound

from dify_host.knowledge.errors import InvalidAction
from dify_host.knowledge.segment_views import ChildChunkView
from dify_host.knowledge.segments import SegmentChanges, SegmentService

__all__ = ["ChildText", "SegmentBatches"]


class ChildText(msgspec.Struct, frozen=True, kw_only=True):
    """A child as it is to be; without an id it is a new one."""

    content: str
    id: str | None = None


class SegmentBatches:
    """Works through the segments of one document, in the order in which they are named."""

    def __init__(self, segments: SegmentService) -> None:
        self._segments = segments

    async def set_enabled(
        self, dataset_id: str, document_id: str, action: str, segment_ids: Sequence[str], user_id: str
    ) -> None:
        """enable or disable; DocumentNotFound or SegmentNotFound before any is changed, InvalidAction."""
        if action not in ("enable", "disable"):
            raise InvalidAction(f"Action {action!r} is unknown.", hint="Use enable or disable.")
        await self._segments.find(dataset_id, document_id, limit=1)  # the document is there
        found = [await self._segments.get(dataset_id, document_id, segment_id) for segment_id in segment_ids]
        enabled = action == "enable"
        for segment in found:
            if segment.enabled != enabled:
                changes = SegmentChanges(enabled=enabled)
                await self._segments.update(dataset_id, document_id, segment.id, changes, user_id)

    async def delete(self, dataset_id: str, document_id: str, segment_ids: Sequence[str]) -> None:
        """Delete segments; DocumentNotFound, SegmentNotFound before any is deleted."""
        await self._segments.find(dataset_id, document_id, limit=1)  # the document is there
        for segment_id in segment_ids:
            await self._segments.get(dataset_id, document_id, segment_id)
        for segment_id in dict.fromkeys(segment_ids):
            await self._segments.delete(dataset_id, document_id, segment_id)

    async def replace_children(
        self, dataset_id: str, document_id: str, segment_id: str, wanted: Sequence[ChildText], user_id: str
    ) -> list[ChildChunkView]:
        """Make the children of a segment these: named ones are changed, new ones added, the others deleted.

        BadInput for an empty content and NotFound for an unknown id, before anything is changed.
        """
        segment = await self._segments.get(dataset_id, document_id, segment_id)
        known = {child.id: child for child in segment.child_chunks}
        for item in wanted:
            if not item.content.strip():
                raise BadInput("Content is empty", field="chunks")
            if item.id is not None and item.id not in known:
                raise NotFound("Child chunk not found.", child_chunk_id=item.id)
        place = dataset_id, document_id, segment_id
        kept = {item.id for item in wanted}
        for child_id in known.keys() - kept:
            await self._segments.delete_child(*place, child_id)
        made = []
        for item in wanted:
            if item.id is None:
                made.append(await self._segments.create_child(*place, item.content, user_id))
            elif known[item.id].content == item.content.strip():
                made.append(known[item.id])
            else:
                made.append(await self._segments.update_child(*place, item.id, item.content, user_id))
        return made
