"""Tags of knowledge bases."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from dify_kernel.errors import BadInput
from litestar import Controller, delete, get, patch, post
from litestar.params import JSONBody

from dify_host.apps.tags import CountedTag
from dify_host.http.callers import DatasetKey
from dify_host.service.shapes import Deleted, IdInPath, deleted

__all__ = ["TagController", "TagName", "tag_body"]

TagName = Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


class NewTag(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new tag."""

    name: TagName


class ChangedTag(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Another name of a tag."""

    tag_id: Text
    name: TagName


class DeletedTag(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The tag to delete."""

    tag_id: Text


class Binding(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Tags for a knowledge base."""

    tag_ids: Annotated[list[str], msgspec.Meta(min_length=1)]
    target_id: Text


class Unbinding(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Tags that a knowledge base is to lose: `tag_id`, or several as `tag_ids`."""

    target_id: Text
    tag_id: str | None = None
    tag_ids: list[str] | None = None


class TagController(Controller):
    """Routes of tags."""

    path = "/datasets"
    tags = ("Tags",)

    @get("/tags")
    async def listed(self, caller: DatasetKey) -> list[dict[str, Any]]:
        """The tags of the workspace's knowledge bases, newest first."""
        return [tag_body(tag) for tag in await caller.workspace.tags.list("knowledge")]

    @post("/tags", status_code=200)
    async def create(self, data: JSONBody[NewTag], caller: DatasetKey) -> dict[str, Any]:
        """Make a tag."""
        return tag_body(await caller.workspace.tags.create(data.name, "knowledge", caller.owner_id))

    @patch("/tags")
    async def rename(self, data: JSONBody[ChangedTag], caller: DatasetKey) -> dict[str, Any]:
        """Give a tag another name."""
        return tag_body(await caller.workspace.tags.rename(data.tag_id, data.name, "knowledge"))

    @delete("/tags", status_code=200)
    async def remove(self, data: JSONBody[DeletedTag], caller: DatasetKey) -> Deleted:
        """Delete a tag, and take it off every knowledge base."""
        await caller.workspace.tags.delete(data.tag_id, "knowledge")
        return deleted()

    @post("/tags/binding", status_code=200)
    async def bind(self, data: JSONBody[Binding], caller: DatasetKey) -> Deleted:
        """Put tags on a knowledge base; unknown ones, and those it has, are passed over."""
        await caller.workspace.tags.bind("knowledge", data.tag_ids, data.target_id, caller.owner_id)
        return deleted()

    @post("/tags/unbinding", status_code=200)
    async def unbind(self, data: JSONBody[Unbinding], caller: DatasetKey) -> Deleted:
        """Take tags off a knowledge base."""
        named = data.tag_ids or ([data.tag_id] if data.tag_id else [])
        if not named:
            raise BadInput("tag_id is required.", field="tag_id")
        await caller.workspace.tags.unbind("knowledge", named, data.target_id)
        return deleted()

    @get("/{dataset_id:uuid}/tags")
    async def on(self, dataset_id: IdInPath, caller: DatasetKey) -> dict[str, Any]:
        """The tags on a knowledge base."""
        found = await caller.workspace.tags.on("knowledge", str(dataset_id))
        return {"data": [{"id": tag.id, "name": tag.name} for tag in found], "total": len(found)}


def tag_body(tag: CountedTag) -> dict[str, Any]:
    """A tag in an answer; the count is a text there."""
    return {"id": tag.id, "name": tag.name, "type": tag.type, "binding_count": str(tag.binding_count)}
