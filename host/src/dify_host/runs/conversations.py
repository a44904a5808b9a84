"""Conversations of an app's user: list, rename, delete, variables; one tenant, one app, one user in every query."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import BadInput, NotFound
from dify_kernel.graph.values import infer
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps.records import Variable
from dify_host.apps.tables import apps
from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository
from dify_host.db.tenant import Tenant
from dify_host.db.types import utc_now
from dify_host.runs.message_rows import conversation_name
from dify_host.runs.recorder import Creator
from dify_host.runs.tables import conversations, messages, workflow_conversation_variables

__all__ = ["Conversation", "ConversationPage", "Conversations", "SortBy", "VariablePage"]

SortBy = Literal["created_at", "-created_at", "updated_at", "-updated_at"]


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as the API shows it; times are Unix seconds."""

    id: str
    name: str
    inputs: dict[str, Any]
    status: str
    introduction: str | None
    created_at: int
    updated_at: int


class ConversationPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page by cursor: the next one begins behind the last id."""

    limit: int
    has_more: bool
    data: list[Conversation]


class VariableView(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation variable; its value is always text."""

    id: str
    name: str
    value_type: str
    value: str
    description: str
    created_at: int
    updated_at: int


class VariablePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of variables, oldest first."""

    limit: int
    has_more: bool
    data: list[VariableView]


class Conversations(TenantRepository):
    """The conversations that one user of one app made through one door (`from_source`)."""

    def __init__(self, db: Database, tenant: Tenant, *, app_id: str, creator: Creator, source: str = "api") -> None:
        super().__init__(db, tenant)
        self._app_id, self._creator, self._source = app_id, creator, source

    def mine(self) -> sa.ColumnElement[bool]:
        """The condition that a conversation is this user's and not deleted."""
        table = conversations
        owner = table.c.from_account_id if self._creator.role == "account" else table.c.from_end_user_id
        return sa.and_(
            table.c.app_id == self._app_id,
            owner == self._creator.id,
            table.c.from_source == self._source,
            table.c.is_deleted.is_(False),
            self.reached_through(table.c.app_id, root=apps),
        )

    async def get(self, conversation_id: str) -> Conversation:
        """One conversation; NotFound when it is somebody else's."""
        async with self.db.read() as conn:
            return _view(await self._one(conn, conversation_id))

    async def list(
        self, *, last_id: str | None = None, limit: int = 20, sort_by: SortBy = "-updated_at"
    ) -> ConversationPage:
        """A page in the wanted order; ties are broken by id."""
        table = conversations
        column = table.c[sort_by.lstrip("-")]
        down = sort_by.startswith("-")
        query = sa.select(table).where(self.mine())
        async with self.db.read() as conn:
            if last_id:
                last = await self._one(conn, last_id, "Last Conversation Not Exists.")
                mark = last._mapping[column.name]
                behind = (column < mark) if down else (column > mark)
                tied = (table.c.id < last.id) if down else (table.c.id > last.id)
                query = query.where(sa.or_(behind, sa.and_(column == mark, tied)))
            order = (column.desc(), table.c.id.desc()) if down else (column.asc(), table.c.id.asc())
            rows = (await conn.execute(query.order_by(*order).limit(limit + 1))).all()
        return ConversationPage(limit=limit, has_more=len(rows) > limit, data=[_view(row) for row in rows[:limit]])

    async def rename(self, conversation_id: str, name: str) -> Conversation:
        """Give a conversation a name; BadInput when it is blank."""
        name = name.strip()
        if not name:
            raise BadInput("A conversation needs a name.", hint="Set `name`, or `auto_generate`.", field="name")
        async with self.db.write() as conn:
            await self._one(conn, conversation_id)
            change = conversations.update().where(conversations.c.id == conversation_id, self.mine())
            await conn.execute(change.values(name=name[:255], updated_at=utc_now()))
            return _view(await self._one(conn, conversation_id))

    async def name_anew(
        self, conversation_id: str, find: Callable[[str], Awaitable[str | None]] | None = None
    ) -> Conversation:
        """Name a conversation by what `find` makes of its first question, or after that question itself."""
        first = sa.select(messages.c.query).where(messages.c.conversation_id == conversation_id)
        async with self.db.read() as conn:
            await self._one(conn, conversation_id)
            query = (await conn.execute(first.order_by(messages.c.created_at, messages.c.id).limit(1))).scalar()
        name = await find(query) if find is not None and query else None
        return await self.rename(conversation_id, name or conversation_name(query or ""))

    async def delete(self, conversation_id: str) -> None:
        """Take a conversation out of every list; an unknown one, or somebody else's, is left alone."""
        async with self.db.write() as conn:
            change = conversations.update().where(conversations.c.id == conversation_id, self.mine())
            await conn.execute(change.values(is_deleted=True, updated_at=utc_now()))

    # -- variables --------------------------------------------------------------------------------------------

    async def variables(
        self, conversation_id: str, *, last_id: str | None = None, limit: int = 20, name: str | None = None
    ) -> VariablePage:
        """The conversation's variables, oldest first; `name` keeps those that contain it, any case."""
        table = workflow_conversation_variables
        query = sa.select(table).where(table.c.conversation_id == conversation_id, table.c.app_id == self._app_id)
        async with self.db.read() as conn:
            await self._one(conn, conversation_id)
            rows = (await conn.execute(query.order_by(table.c.created_at, table.c.id))).all()
        views = [_variable(row) for row in rows]
        if name:
            views = [view for view in views if name.lower() in view.name.lower()]
        if last_id:
            ids = [view.id for view in views]
            if last_id not in ids:
                raise NotFound("Conversation Variable Not Exists.", variable_id=last_id)
            views = views[ids.index(last_id) + 1 :]
        return VariablePage(limit=limit, has_more=len(views) > limit, data=views[:limit])

    async def set_variable(self, conversation_id: str, variable_id: str, value: Any) -> VariableView:
        """Change one variable; BadInput when the type differs."""
        table = workflow_conversation_variables
        mine = sa.and_(
            table.c.id == variable_id, table.c.conversation_id == conversation_id, table.c.app_id == self._app_id
        )
        async with self.db.write() as conn:
            await self._one(conn, conversation_id)
            row = (await conn.execute(sa.select(table).where(mine))).one_or_none()
            if row is None:
                raise NotFound("Conversation Variable Not Exists.", variable_id=variable_id)
            variable = msgspec.convert(row.data, Variable)
            wanted, given = _exposed(variable.value_type), infer(value).type.exposed
            if wanted != given and not (wanted.startswith("array") and value == []):
                raise TypeMismatch(
                    f"Type mismatch: variable '{variable.name}' expects {wanted}, but got {given} type", field="value"
                )
            variable.value = value
            changed = table.update().where(mine)
            await conn.execute(changed.values(data=msgspec.to_builtins(variable), updated_at=utc_now()))
            return _variable((await conn.execute(sa.select(table).where(mine))).one())

    async def _one(
        self, conn: AsyncConnection, conversation_id: str, missing: str = "Conversation Not Exists."
    ) -> sa.Row[Any]:
        query = sa.select(conversations).where(conversations.c.id == conversation_id, self.mine())
        row = (await conn.execute(query)).one_or_none()
        if row is None:
            raise NotFound(missing, conversation_id=conversation_id)
        return row


class TypeMismatch(BadInput):
    """The value is of another type than the variable."""

    code = "bad_request"


def unix(moment: datetime | None) -> int:
    """Naive UTC as Unix seconds."""
    return int((moment - datetime(1970, 1, 1)).total_seconds()) if moment else 0


def _view(row: sa.Row[Any]) -> Conversation:
    return Conversation(
        id=row.id,
        name=row.name,
        inputs=row.inputs or {},
        status=row.status,
        introduction=row.introduction,
        created_at=unix(row.created_at),
        updated_at=unix(row.updated_at),
    )


def _variable(row: sa.Row[Any]) -> VariableView:
    variable = msgspec.convert(row.data, Variable)
    return VariableView(
        id=variable.id,
        name=variable.name,
        value_type=_exposed(variable.value_type),
        value=str(variable.value),
        description=variable.description,
        created_at=unix(row.created_at),
        updated_at=unix(row.updated_at),
    )


def _exposed(value_type: str) -> str:
    return "number" if value_type in ("integer", "float") else value_type
