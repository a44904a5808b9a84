"""Messages of an app's user, their feedback, and the runs behind them; scoped like conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import BadInput, NotFound

from dify_host.apps.tables import apps
from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.files.service import FileService
from dify_host.runs.agent_thoughts import ThoughtRepository
from dify_host.runs.conversations import Conversations, unix
from dify_host.runs.message_files import MessageFile, MessageFiles
from dify_host.runs.recorder import Creator
from dify_host.runs.tables import message_feedbacks, messages

__all__ = ["AppFeedback", "Feedback", "Message", "MessagePage", "Messages", "answer_of"]

Rating = Literal["like", "dislike"]

_CITED = (
    "position", "dataset_id", "dataset_name", "document_id", "document_name", "data_source_type", "segment_id", "score",
    "hit_count", "word_count", "segment_position", "index_node_hash", "content",
)  # fmt: skip


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """What a user thought of an answer."""

    rating: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the API shows it."""

    id: str
    conversation_id: str
    parent_message_id: str | None
    inputs: dict[str, Any]
    query: str
    answer: str
    feedback: Feedback | None
    retriever_resources: list[dict[str, Any]]
    created_at: int
    agent_thoughts: list[dict[str, Any]]
    message_files: list[MessageFile]
    status: str
    error: str | None


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page backwards in time; inside a page messages ascend."""

    limit: int
    has_more: bool
    data: list[Message]


class AppFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """One feedback of an app; times are ISO 8601 texts, as clients of Dify get them."""

    id: str
    app_id: str
    conversation_id: str
    message_id: str
    rating: str
    content: str | None
    from_source: str
    from_end_user_id: str | None
    from_account_id: str | None
    created_at: str
    updated_at: str


class Messages(TenantRepository):
    """The messages of one user of one app."""

    def __init__(
        self, db: Database, tenant: Tenant, files: FileService, *, app_id: str, creator: Creator, source: str = "api"
    ) -> None:
        super().__init__(db, tenant)
        self._files = files
        self._app_id, self._creator = app_id, creator
        self._conversations = Conversations(db, tenant, app_id=app_id, creator=creator, source=source)

    def _mine(self) -> sa.ColumnElement[bool]:
        owner = messages.c.from_account_id if self._creator.role == "account" else messages.c.from_end_user_id
        return sa.and_(
            messages.c.app_id == self._app_id,
            owner == self._creator.id,
            self.reached_through(messages.c.app_id, root=apps),
        )

    async def list(self, conversation_id: str, *, first_id: str | None = None, limit: int = 20) -> MessagePage:
        """The newest messages, or those before `first_id`."""
        await self._conversations.get(conversation_id)
        table = messages
        query = sa.select(table).where(table.c.conversation_id == conversation_id, self._mine())
        async with self.db.read() as conn:
            if first_id:
                mark = (await conn.execute(query.where(table.c.id == first_id))).one_or_none()
                if mark is None:
                    raise NotFound("First Message Not Exists.", message_id=first_id)
                tied = sa.and_(table.c.created_at == mark.created_at, table.c.id < mark.id)
                query = query.where(sa.or_(table.c.created_at < mark.created_at, tied))
            newest = query.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit + 1)
            rows = (await conn.execute(newest)).all()
            page = list(reversed(rows[:limit]))
            given = sa.select(message_feedbacks).where(
                message_feedbacks.c.message_id.in_([row.id for row in page]), message_feedbacks.c.from_source == "user"
            )
            ratings = {row.message_id: row.rating for row in (await conn.execute(given)).all()} if page else {}
        attached = await MessageFiles(self.db, self.tenant).shown([row.id for row in page], self._files)
        thoughts = await ThoughtRepository(self.db, self.tenant).shown([row.id for row in page if row.agent_based])
        data = [_message(row, ratings.get(row.id), attached.get(row.id, []), thoughts.get(row.id, [])) for row in page]
        return MessagePage(limit=limit, has_more=len(rows) > limit, data=data)

    async def get(self, message_id: str) -> Message:
        """One message, without its files and thoughts; NotFound when it is somebody else's."""
        query = sa.select(messages).where(messages.c.id == message_id, self._mine())
        async with self.db.read() as conn:
            row = (await conn.execute(query)).one_or_none()
        if row is None:
            raise NotFound("Message Not Exists.", message_id=message_id)
        return _message(row, None, [], [])

    async def rate(self, message_id: str, rating: Rating | None, content: str | None = None) -> None:
        """Set, change or (None) take back a rating."""
        message = await self.get(message_id)
        table = message_feedbacks
        mine = sa.and_(
            table.c.message_id == message_id, table.c.app_id == self._app_id, table.c.from_source == "user",
            table.c.from_end_user_id == self._creator.id,
        )  # fmt: skip
        async with self.db.write() as conn:
            found = (await conn.execute(sa.select(table.c.id).where(mine))).scalar()
            if rating is None:
                if found is None:
                    raise BadInput("rating cannot be None when feedback not exists", field="rating")
                await conn.execute(table.delete().where(mine))
            elif found is not None:
                await conn.execute(
                    table.update().where(mine).values(rating=rating, content=content, updated_at=utc_now())
                )
            else:
                row = {
                    "id": new_id(),
                    "app_id": self._app_id,
                    "conversation_id": message.conversation_id,
                    "message_id": message_id,
                    "rating": rating,
                    "content": content,
                    "from_source": "user",
                    "from_end_user_id": self._creator.id,
                    "from_account_id": None,
                }
                await conn.execute(table.insert().values(row))


async def answer_of(db: Database, tenant: Tenant, app_id: str, message_id: str) -> str:
    """What an app answered to a message, whoever wrote it; NotFound."""
    repository = TenantRepository(db, tenant)
    own = repository.reached_through(messages.c.app_id, root=apps)
    query = sa.select(messages.c.answer).where(messages.c.id == message_id, messages.c.app_id == app_id, own)
    async with db.read() as conn:
        found = (await conn.execute(query)).one_or_none()
    if found is None:
        raise NotFound("Message Not Exists.", message_id=message_id)
    return str(found.answer)


class Feedbacks(TenantRepository):
    """All feedback of an app."""

    async def list(self, app_id: str, *, page: int = 1, limit: int = 20) -> list[AppFeedback]:
        """A page, newest first."""
        table = message_feedbacks
        query = sa.select(table).where(table.c.app_id == app_id, self.reached_through(table.c.app_id, root=apps))
        query = query.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit).offset((page - 1) * limit)
        async with self.db.read() as conn:
            rows = (await conn.execute(query)).all()
        names = [field.name for field in msgspec.structs.fields(AppFeedback)]
        times = ("created_at", "updated_at")
        return [
            AppFeedback(**{n: getattr(row, n).isoformat() if n in times else getattr(row, n) for n in names})
            for row in rows
        ]


def _message(
    row: sa.Row[Any], rating: str | None, files: Sequence[MessageFile], thoughts: list[dict[str, Any]]
) -> Message:
    metadata = row.message_metadata or {}
    resources = [
        {
            "id": new_id(),
            "message_id": row.id,
            **{key: item.get(key) for key in _CITED},
            "created_at": unix(row.created_at),
        }
        for item in metadata.get("retriever_resources") or []
    ]
    return Message(
        id=row.id,
        conversation_id=row.conversation_id,
        parent_message_id=row.parent_message_id,
        inputs=row.inputs or {},
        query=row.query,
        answer=row.answer,
        feedback=Feedback(rating=rating) if rating else None,
        retriever_resources=resources,
        created_at=unix(row.created_at),
        agent_thoughts=thoughts,
        message_files=list(files),
        status=row.status,
        error=row.error,
    )
