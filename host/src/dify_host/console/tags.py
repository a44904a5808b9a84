"""Tags of apps and of knowledge bases."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from dify_kernel.errors import BadInput
from litestar import Controller, delete, get, patch, post
from litestar.params import FromQuery, JSONBody

from dify_host.apps.tags import CountedTag, TagKind
from dify_host.console.dataset_shapes import person_of
from dify_host.http.console_callers import DATASET_WRITERS, MEMBERS, WRITERS, ConsoleAccount, ConsoleCaller
from dify_host.service.shapes import Deleted, IdInPath, Success, deleted
from dify_host.service.tags import TagName, tag_body

__all__ = ["TagController"]


class TagBody(msgspec.Struct, kw_only=True):
    """A tag; a change does not change what it is for."""

    name: TagName
    type: TagKind | None = None


class BindingBody(msgspec.Struct, kw_only=True):
    """Tags for one thing."""

    tag_ids: Annotated[list[str], msgspec.Meta(min_length=1)]
    target_id: str
    type: TagKind | None = None


class UnbindingBody(msgspec.Struct, kw_only=True):
    """A tag that one thing is to lose."""

    tag_id: str
    target_id: str
    type: TagKind | None = None


class TagController(Controller):
    """Routes of tags."""

    path = "/"

    @get("/tags", opt=MEMBERS)
    async def listed(
        self,
        caller: ConsoleAccount,
        type: FromQuery[Literal["knowledge", "app", ""]] = "",
        keyword: FromQuery[str | None] = None,
    ) -> list[dict[str, Any]]:
        """The tags of a kind, or of both, newest first."""
        return [tag_body(tag) for tag in await caller.workspace.tags.list(type or None, keyword or "")]

    @post("/tags", status_code=200, opt=DATASET_WRITERS)
    async def create(self, data: JSONBody[TagBody], caller: ConsoleAccount) -> dict[str, Any]:
        """Make a tag."""
        return _counted(await caller.workspace.tags.create(data.name, _kind(data.type), caller.account_id))

    @patch("/tags/{tag_id:uuid}", opt=DATASET_WRITERS)
    async def rename(self, tag_id: IdInPath, data: JSONBody[TagBody], caller: ConsoleAccount) -> dict[str, Any]:
        """Give a tag another name."""
        return _counted(await caller.workspace.tags.rename(str(tag_id), data.name))

    @delete("/tags/{tag_id:uuid}", status_code=200, opt=WRITERS)
    async def remove(self, tag_id: IdInPath, caller: ConsoleAccount) -> Deleted:
        """Delete a tag, and take it off everything."""
        await caller.workspace.tags.delete(str(tag_id))
        return deleted()

    @post("/tag-bindings/create", status_code=200, opt=DATASET_WRITERS)
    async def bind(self, data: JSONBody[BindingBody], caller: ConsoleAccount) -> Success:
        """Put tags on an app or a knowledge base."""
        kind = await _target(caller, data.type, data.target_id)
        await caller.workspace.tags.bind(kind, data.tag_ids, data.target_id, caller.account_id)
        return Success()

    @post("/tag-bindings/remove", status_code=200, opt=DATASET_WRITERS)
    async def unbind(self, data: JSONBody[UnbindingBody], caller: ConsoleAccount) -> Success:
        """Take a tag off an app or a knowledge base."""
        kind = await _target(caller, data.type, data.target_id)
        await caller.workspace.tags.unbind(kind, [data.tag_id], data.target_id)
        return Success()


def _kind(given: TagKind | None) -> TagKind:
    if given is None:
        raise BadInput("type is required.", hint="Use app or knowledge.", field="type")
    return given


async def _target(caller: ConsoleCaller, given: TagKind | None, target_id: str) -> TagKind:
    """The kind of a target; Forbidden for a knowledge base that the account may not see."""
    kind = _kind(given)
    if kind == "knowledge":
        await caller.workspace.datasets.access.require(target_id, person_of(caller))
    return kind


def _counted(tag: CountedTag) -> dict[str, Any]:
    """A tag that was made or changed: there, its count is a number."""
    return {**tag_body(tag), "binding_count": tag.binding_count}
