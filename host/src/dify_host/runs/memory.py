"""What a run reads of its conversation: the conversation itself, its variables, the turns before."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.model import PromptMessage
from dify_kernel.errors import NotFound

from dify_host.apps.records import Variable
from dify_host.apps.tables import apps
from dify_host.db.repository import TenantRepository
from dify_host.runs.recorder import Creator
from dify_host.runs.tables import conversations, messages, workflow_conversation_variables

__all__ = ["ConversationMemory", "ConversationState"]


class ConversationState(msgspec.Struct, kw_only=True):
    """A conversation as a run finds it."""

    id: str
    name: str
    dialogue_count: int
    inputs: dict[str, Any] = {}
    status: str = "normal"


class ConversationMemory(TenantRepository):
    """Reads conversations of one tenant; fulfils the nodes' memory port."""

    async def find(self, app_id: str, conversation_id: str, creator: Creator) -> ConversationState:
        """The creator's own conversation; NotFound otherwise, whoever else's it is."""
        owner = "from_account_id" if creator.role == "account" else "from_end_user_id"
        table = conversations
        query = sa.select(table.c.id, table.c.name, table.c.dialogue_count, table.c.inputs, table.c.status).where(
            table.c.id == conversation_id,
            table.c.app_id == app_id,
            table.c[owner] == creator.id,
            table.c.is_deleted.is_(False),
            self.reached_through(table.c.app_id, root=apps),
        )
        async with self.db.read() as conn:
            row = (await conn.execute(query)).one_or_none()
        if row is None:
            raise NotFound("Conversation Not Exists.", conversation_id=conversation_id)
        return ConversationState(
            id=row.id, name=row.name, dialogue_count=row.dialogue_count, inputs=row.inputs or {}, status=row.status
        )

    async def variables(
        self, app_id: str, conversation_id: str, declared: list[Variable], *, fresh: bool
    ) -> tuple[list[Variable], set[str]]:
        """The conversation's variables, and the ids of those that are declared but not stored yet."""
        stored: dict[str, Variable] = {}
        table = workflow_conversation_variables
        if declared and not fresh:
            query = sa.select(table.c.data).where(
                table.c.conversation_id == conversation_id,
                table.c.app_id == app_id,
                self.reached_through(table.c.app_id, root=apps),
            )
            async with self.db.read() as conn:
                for data in (await conn.execute(query)).scalars():
                    variable = msgspec.convert(data, Variable)
                    stored[variable.id] = variable
        found = [
            stored.get(item.id)
            or Variable(
                id=item.id,
                name=item.name,
                value_type=item.value_type,
                value=item.value,
                description=item.description,
                selector=["conversation", item.name],
            )
            for item in declared
        ]
        return found, {item.id for item in declared} - stored.keys()

    async def history(self, conversation_id: str, *, limit: int = 500) -> list[PromptMessage]:
        """Answered turns, oldest first, at most `limit` of the newest messages."""
        table = messages
        query = (
            sa.select(table.c.query, table.c.answer)
            .where(
                table.c.conversation_id == conversation_id,
                table.c.answer != "",
                self.reached_through(table.c.app_id, root=apps),
            )
            .order_by(table.c.created_at.desc(), table.c.id.desc())
            .limit(max(limit, 1))
        )
        async with self.db.read() as conn:
            rows = (await conn.execute(query)).all()
        turns = []
        for row in reversed(rows):
            turns.append(PromptMessage(role="user", content=row.query))
            turns.append(PromptMessage(role="assistant", content=row.answer))
        return turns
