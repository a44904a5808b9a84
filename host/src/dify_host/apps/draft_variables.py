"""What nodes of a draft gave when they last ran, kept for its authors: to look at, to change, to run with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import BadInput, NotFound
from dify_kernel.graph.values import Value, cast, infer, plain

from dify_host.apps.records import Variable
from dify_host.apps.tables import apps, workflow_draft_variables
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.statements import insert_missing, upsert
from dify_host.db.types import new_id, utc_now
from dify_host.pipelines.tables import pipelines

__all__ = ["CONVERSATION", "SYSTEM", "DraftVariable", "DraftVariables", "Remembered", "RESERVED"]

CONVERSATION: Final = "conversation"
SYSTEM: Final = "sys"
RESERVED: Final = (CONVERSATION, SYSTEM)
#: System variables that may be changed before the next try; the others follow from who tries.
_CHANGEABLE: Final = ("query", "files")

_table = workflow_draft_variables
#: Whose drafts these are: `app_id` is the id of an app or of a knowledge pipeline.
_OWNERS: Final = (apps, pipelines)


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """One value to keep: what it belongs to, and the type where the data does not tell it."""

    node_id: str
    name: str
    value: Any
    value_type: str | None = None
    node_execution_id: str | None = None


class DraftVariable(msgspec.Struct, frozen=True, kw_only=True):
    """One kept value; `node_id` is `sys` or `conversation` for what belongs to no node."""

    id: str
    app_id: str
    node_id: str
    name: str
    description: str = ""
    selector: list[str]
    value_type: str
    value: Any = None
    visible: bool = True
    editable: bool = True
    node_execution_id: str | None = None
    last_edited_at: datetime | None = None

    @property
    def kind(self) -> Literal["conversation", "sys", "node"]:
        """What it belongs to."""
        return "conversation" if self.node_id == CONVERSATION else "sys" if self.node_id == SYSTEM else "node"

    @property
    def typed(self) -> Value:
        """The value under its type; what does not fit keeps the type it has."""
        try:
            return cast(self.value, self.value_type)
        except ValueError:
            return infer(self.value)


class DraftVariables(TenantRepository):
    """The kept values of one workspace's drafts, one per app, node and name."""

    async def page(self, app_id: str, *, page: int, limit: int) -> tuple[list[DraftVariable], int]:
        """Those of an app, the newest first, and how many there are."""
        query = self._of(app_id)
        async with self.db.read() as conn:
            total = (await conn.execute(sa.select(sa.func.count()).select_from(query.subquery()))).scalar_one()
            newest = query.order_by(_table.c.created_at.desc(), _table.c.id.desc())
            rows = (await conn.execute(newest.limit(limit).offset((page - 1) * limit))).all()
        return [to_struct(row, DraftVariable) for row in rows], total

    async def of_node(self, app_id: str, node_id: str) -> list[DraftVariable]:
        """Those of one node, of `sys` or of `conversation`, by name."""
        query = self._of(app_id).where(_table.c.node_id == node_id).order_by(_table.c.name)
        async with self.db.read() as conn:
            rows = (await conn.execute(query)).all()
        return [to_struct(row, DraftVariable) for row in rows]

    async def values(self, app_id: str, node_ids: Iterable[str]) -> dict[tuple[str, str], Value]:
        """The values of these nodes, by node and name."""
        query = self._of(app_id).where(_table.c.node_id.in_(set(node_ids)))
        async with self.db.read() as conn:
            rows = (await conn.execute(query)).all()
        found = [to_struct(row, DraftVariable) for row in rows]
        return {(item.node_id, item.name): item.typed for item in found}

    async def get(self, app_id: str, variable_id: str) -> DraftVariable:
        """One; NotFound."""
        async with self.db.read() as conn:
            row = (await conn.execute(self._of(app_id).where(_table.c.id == variable_id))).one_or_none()
        if row is None:
            raise NotFound("Variable not found.", variable=variable_id)
        return to_struct(row, DraftVariable)

    async def remember(self, app_id: str, items: Sequence[Remembered]) -> None:
        """Keep values in the place of older ones; what a person changed before is changed back by this."""
        rows = {(item.node_id, item.name): _row(app_id, item) for item in items}
        if not rows:
            return
        update = ("selector", "value_type", "value", "visible", "editable", "node_execution_id", "last_edited_at")
        async with self.db.write() as conn:
            if await self._mine(conn, app_id):
                await upsert(conn, _table, list(rows.values()), key=["app_id", "node_id", "name"], update=update)

    async def declare(self, app_id: str, variables: Iterable[Variable]) -> None:
        """Give the conversation variables of a draft the values they begin with, where none is kept."""
        rows = [
            _row(app_id, Remembered(node_id=CONVERSATION, name=item.name, value=item.value, value_type=item.value_type))
            | {"description": item.description[:255], "is_default_value": True}
            for item in variables
        ]
        if not rows:
            return
        async with self.db.write() as conn:
            if await self._mine(conn, app_id):
                await insert_missing(conn, _table, rows, key=["app_id", "node_id", "name"])

    async def edit(
        self, app_id: str, variable_id: str, *, name: str | None = None, value: Any = msgspec.UNSET
    ) -> DraftVariable:
        """Change a name or a value; BadInput when the value is of another type, or the variable follows from others."""
        found = await self.get(app_id, variable_id)
        values: dict[str, Any] = {}
        if name is not None and name != found.name:
            values |= {"name": name, "selector": [found.node_id, name]}
        if value is not msgspec.UNSET:
            values["value"] = _checked(found, value)
        if not values:
            return found
        if not found.editable:
            raise BadInput(f"The variable {found.name!r} cannot be changed.", field="value", variable=found.name)
        return await self._write(app_id, variable_id, {**values, "last_edited_at": utc_now()})

    async def put_back(self, app_id: str, variable_id: str, value: Any) -> DraftVariable:
        """Give it the value that it had before somebody changed it."""
        values = {"value": value, "value_type": infer(value).type.exposed, "last_edited_at": None}
        return await self._write(app_id, variable_id, values)

    async def delete(self, app_id: str, *, variable_id: str | None = None, node_id: str | None = None) -> int:
        """Forget one, those of a node, or all of an app; says how many."""
        gone = _table.delete().where(_table.c.app_id == app_id, self._owned)
        if variable_id is not None:
            gone = gone.where(_table.c.id == variable_id)
        if node_id is not None:
            gone = gone.where(_table.c.node_id == node_id)
        async with self.db.write() as conn:
            return (await conn.execute(gone)).rowcount

    async def _write(self, app_id: str, variable_id: str, values: Mapping[str, Any]) -> DraftVariable:
        this = sa.and_(_table.c.id == variable_id, _table.c.app_id == app_id, self._owned)
        async with self.db.write() as conn:
            await conn.execute(_table.update().where(this).values(dict(values)))
        return await self.get(app_id, variable_id)

    async def _mine(self, conn: Any, app_id: str) -> bool:
        """Whether the app, or pipeline, is the tenant's, and still there."""
        found = [self.scoped_select(owners, owners.c.id).where(owners.c.id == app_id) for owners in _OWNERS]
        return (await conn.execute(sa.union_all(*found))).first() is not None

    def _of(self, app_id: str) -> sa.Select[Any]:
        return sa.select(_table).where(_table.c.app_id == app_id, self._owned)

    @property
    def _owned(self) -> sa.ColumnElement[bool]:
        return sa.or_(*(self.reached_through(_table.c.app_id, root=owners) for owners in _OWNERS))


def _row(app_id: str, item: Remembered) -> dict[str, Any]:
    kind = item.value_type or infer(item.value).type.exposed
    return {
        "id": new_id(),
        "app_id": app_id,
        "last_edited_at": None,
        "node_id": item.node_id,
        "name": item.name,
        "description": "",
        "selector": [item.node_id, item.name],
        "value_type": kind,
        "value": plain(item.value),
        "visible": True,
        "editable": item.node_id != SYSTEM or item.name in _CHANGEABLE,
        "node_execution_id": item.node_execution_id,
        "is_default_value": False,
    }


def _checked(found: DraftVariable, value: Any) -> Any:
    try:
        return plain(cast(value, found.value_type).data)
    except ValueError as exc:
        raise BadInput(f"The value of {found.name!r} must be of the type {found.value_type}.", field="value") from exc
