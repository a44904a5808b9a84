"""Tags of a workspace, on its apps and its knowledge bases: list, make, rename, delete, bind, unbind."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import BadInput, Conflict, NotFound
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps.tables import apps, tag_bindings, tags
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.statements import insert_missing
from dify_host.db.types import new_id
from dify_host.knowledge.tables import datasets  # what a tag is on; read for its id alone

__all__ = ["CountedTag", "TagKind", "Tags"]

TagKind = Literal["app", "knowledge"]
_LONGEST: Final = 50
_TARGETS: Final = {"app": (apps, "App not found"), "knowledge": (datasets, "Dataset not found")}


class CountedTag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag, and on how many things it is."""

    id: str
    name: str
    type: str
    binding_count: int = 0


class Tags(TenantRepository):
    """The tags of one workspace; an app's tag and a knowledge base's are apart."""

    async def list(self, kind: TagKind | None = None, keyword: str = "") -> builtins.list[CountedTag]:
        """The tags of a kind (of both for None), newest first; `keyword` is part of the name, any case."""
        query = self._counted()
        if kind is not None:
            query = query.where(tags.c.type == kind)
        if keyword:
            query = query.where(sa.func.lower(tags.c.name).contains(keyword.lower(), autoescape=True))
        async with self.db.read() as conn:
            rows = await conn.execute(query.order_by(tags.c.created_at.desc(), tags.c.id.desc()))
            return [to_struct(row, CountedTag) for row in rows]

    async def on(self, kind: TagKind, target_id: str) -> builtins.list[CountedTag]:
        """The tags on one thing, by name."""
        bound = self.scoped_select(tag_bindings, tag_bindings.c.tag_id).where(tag_bindings.c.target_id == target_id)
        query = self._counted().where(tags.c.type == kind, tags.c.id.in_(bound))
        async with self.db.read() as conn:
            return [to_struct(row, CountedTag) for row in await conn.execute(query.order_by(tags.c.name))]

    async def create(self, name: str, kind: TagKind, account_id: str) -> CountedTag:
        """Make a tag; BadInput for a name that is taken, empty or over 50 characters."""
        row = {"id": new_id(), "name": _checked(name), "type": kind, "created_by": account_id}
        try:
            async with self.db.write() as conn:
                await conn.execute(self.scoped_insert(tags, row))
        except Conflict as exc:
            raise _taken(name) from exc
        return CountedTag(id=row["id"], name=name, type=kind)

    async def rename(self, tag_id: str, name: str, kind: TagKind | None = None) -> CountedTag:
        """Give a tag (of that kind, when one is named) another name; NotFound, BadInput for a name that is taken."""
        change = self.scoped_update(tags, {"name": _checked(name)}).where(tags.c.id == tag_id)
        if kind is not None:
            change = change.where(tags.c.type == kind)
        try:
            async with self.db.write() as conn:
                await conn.execute(change)
                row = (await conn.execute(self._counted(kind).where(tags.c.id == tag_id))).first()
        except Conflict as exc:
            raise _taken(name) from exc
        if row is None:
            raise NotFound("Tag not found", tag_id=tag_id)
        return to_struct(row, CountedTag)

    async def delete(self, tag_id: str, kind: TagKind | None = None) -> None:
        """Delete a tag (of that kind, when one is named) and take it off everything; NotFound."""
        gone = self.scoped_delete(tags).where(tags.c.id == tag_id)
        if kind is not None:
            gone = gone.where(tags.c.type == kind)
        async with self.db.write() as conn:
            if (await conn.execute(gone)).rowcount == 0:
                raise NotFound("Tag not found", tag_id=tag_id)
            await conn.execute(self.scoped_delete(tag_bindings).where(tag_bindings.c.tag_id == tag_id))

    async def bind(self, kind: TagKind, tag_ids: Sequence[str], target_id: str, account_id: str) -> None:
        """Put tags on a thing of the kind; NotFound for the thing. Unknown tags, and those it has, are passed over."""
        known = self.scoped_select(tags, tags.c.id).where(tags.c.type == kind, tags.c.id.in_(tag_ids))
        async with self.db.write() as conn:
            await self._require(conn, kind, target_id)
            rows = [
                {
                    "id": new_id(),
                    "tenant_id": self.tenant.id,
                    "tag_id": tag_id,
                    "target_id": target_id,
                    "created_by": account_id,
                }
                for tag_id in (await conn.execute(known)).scalars()
            ]
            await insert_missing(conn, tag_bindings, rows, key=["tag_id", "target_id"])

    async def unbind(self, kind: TagKind, tag_ids: Sequence[str], target_id: str) -> None:
        """Take tags off a thing of the kind; NotFound for the thing."""
        gone = self.scoped_delete(tag_bindings).where(
            tag_bindings.c.target_id == target_id, tag_bindings.c.tag_id.in_(tag_ids)
        )
        async with self.db.write() as conn:
            await self._require(conn, kind, target_id)
            await conn.execute(gone)

    # -- inside -----------------------------------------------------------------------------------------------

    async def _require(self, conn: AsyncConnection, kind: TagKind, target_id: str) -> None:
        table, missing = _TARGETS[kind]
        found = await conn.execute(self.scoped_select(table, table.c.id).where(table.c.id == target_id))
        if found.first() is None:
            raise NotFound(missing, target_id=target_id)

    def _counted(self, kind: TagKind | None = None) -> sa.Select[tuple[str, str, str, int]]:
        bound = (
            sa.select(sa.func.count())
            .where(tag_bindings.c.tag_id == tags.c.id, self.owned(tag_bindings))
            .correlate(tags)
            .scalar_subquery()
        )
        query = self.scoped_select(tags, tags.c.id, tags.c.name, tags.c.type, bound.label("binding_count"))
        return query if kind is None else query.where(tags.c.type == kind)


def _checked(name: str) -> str:
    if not 0 < len(name) <= _LONGEST:
        raise BadInput(f"Name must be between 1 to {_LONGEST} characters.", field="name")
    return name


def _taken(name: str) -> BadInput:
    return BadInput("Tag name already exists.", hint=f"Use the tag {name!r} that there is.", field="name")
