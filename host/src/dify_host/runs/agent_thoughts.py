"""The thoughts of an agent app: rounds of its agent node as messages show, keep and list them.

A round is a step without a parent. Its `data` fills up while the run goes on: `thought`, `tool`, `tool_labels`,
`tool_input`, `observation`, `files`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from dify_kernel.graph.events import AgentLogged, Event, NodeFinished, RunFinished, RunResumed
from dify_kernel.graph.values import File, infer

from dify_host.apps.tables import apps
from dify_host.db.repository import TenantRepository
from dify_host.db.writer import Group
from dify_host.runs.message_files import message_file_rows
from dify_host.runs.recorder import Creator, moment
from dify_host.runs.tables import message_agent_thoughts, message_files, messages

__all__ = ["AgentThoughts", "Thought", "ThoughtRepository", "ThoughtRows"]

#: The columns of a round's cost, and what its step calls them.
_COSTS = {
    "message_token": "prompt_tokens",
    "message_unit_price": "prompt_unit_price",
    "message_price_unit": "prompt_price_unit",
    "answer_token": "completion_tokens",
    "answer_unit_price": "completion_unit_price",
    "answer_price_unit": "completion_price_unit",
    "tokens": "total_tokens",
    "total_price": "total_price",
    "currency": "currency",
}


class Thought(msgspec.Struct, kw_only=True):
    """One round as it stands; `position` counts from 1."""

    id: str
    position: int
    execution_id: str
    at: float
    thought: str = ""
    tool: str = ""
    tool_labels: dict[str, Any] = {}
    tool_input: str = ""
    observation: str = ""
    files: list[File] = []
    metadata: dict[str, Any] = {}


class AgentThoughts:
    """Follows the agent of one message."""

    def __init__(self, message_id: str) -> None:
        self._message_id = message_id
        self._thoughts: dict[str, Thought] = {}
        self._told: set[str] = set()

    @property
    def any(self) -> bool:
        """Whether an agent is at work."""
        return bool(self._thoughts)

    @property
    def files(self) -> list[File]:
        """What its tools have made, in the order of the rounds."""
        return [file for thought in self._thoughts.values() for file in thought.files]

    def take(self, event: AgentLogged) -> Thought | None:
        """The round that a step begins or changes; None for a step inside a round."""
        log = event.log
        if log.get("parent_id") is not None:
            return None
        found = self._thoughts.get(log["id"])
        if found is None:
            position = len(self._thoughts) + 1
            found = Thought(id=log["id"], position=position, execution_id=event.execution_id, at=event.at)
            self._thoughts[found.id] = found
        data = log.get("data") or {}
        for name in ("thought", "tool", "tool_input", "observation"):
            setattr(found, name, str(data.get(name) or ""))
        found.tool_labels = data.get("tool_labels") or {}
        files = [infer(item).data for item in data.get("files") or []]
        found.files = [file for file in files if isinstance(file, File)]
        found.metadata = log.get("metadata") or {}
        return found

    def shown(self, event: AgentLogged) -> list[dict[str, Any]]:
        """What clients are told: each new file, then the round with all that is known of it."""
        thought = self.take(event)
        if thought is None:
            return []
        told: list[dict[str, Any]] = []
        for file_id, file in zip(self.file_ids(thought), thought.files, strict=True):
            if file_id not in self._told:
                self._told.add(file_id)
                fields = {"id": file_id, "type": str(file.type), "belongs_to": "assistant", "url": file.url}
                told.append({"event": "message_file", **fields})
        told.append(
            {
                "event": "agent_thought",
                "id": thought.id,
                "position": thought.position,
                "thought": thought.thought,
                "observation": thought.observation,
                "tool": thought.tool,
                "tool_labels": thought.tool_labels,
                "tool_input": thought.tool_input,
                "message_files": self.file_ids(thought),
            }
        )
        return told

    def file_ids(self, thought: Thought) -> list[str]:
        """The ids of a round's files, the same wherever they are asked for."""
        names = [f"{thought.id}:{number}" for number in range(len(thought.files))]
        return [str(uuid.uuid5(uuid.UUID(self._message_id), name)) for name in names]


class ThoughtRows:
    """`message_agent_thoughts` of one message, written when the agent has ended; and the files that it made.

    With `judged` they are written at the end of the run, and say no more than the answer that is kept does.
    """

    def __init__(self, message_id: str, creator: Creator, *, judged: bool = False) -> None:
        self._message_id, self._creator, self._judged = message_id, creator, judged
        self._thoughts = AgentThoughts(message_id)
        self._open: dict[str, Thought] = {}
        self._ended: list[Thought] = []

    def record(self, event: Event, group: Group) -> None:
        """Follow the agent: nothing is written before its node, or the run, has ended."""
        if isinstance(event, AgentLogged):
            thought = self._thoughts.take(event)
            if thought is not None:
                self._open[thought.id] = thought
        elif isinstance(event, RunResumed):
            self._open.clear()  # an agent that has not ended begins anew
        elif isinstance(event, NodeFinished):
            self._ended += [item for item in self._open.values() if item.execution_id == event.execution_id]
            self._open = {item.id: item for item in self._open.values() if item.execution_id != event.execution_id}
            if not self._judged:
                self._write(group)
        elif isinstance(event, RunFinished):
            self._ended += self._open.values()
            kept = str(event.outputs.get("answer", ""))
            for thought in self._ended:
                if self._judged and thought.thought not in kept:
                    thought.thought = ""
            self._write(group)

    def _write(self, group: Group) -> None:
        thoughts, self._ended = self._ended, []
        for thought in thoughts:
            ids = self._thoughts.file_ids(thought)
            group.insert(message_agent_thoughts, self._row(thought, ids))
            for file_id, file in zip(ids, thought.files, strict=True):
                for row in self._file_rows(file, moment(thought.at)):
                    group.insert(message_files, {**row, "id": file_id})
        if thoughts:
            group.update(messages, self._message_id, {"agent_based": True})

    def _file_rows(self, file: File, at: datetime) -> list[dict[str, Any]]:
        """None for a file that leads nowhere."""
        return message_file_rows(
            [file], message_id=self._message_id, belongs_to="assistant", creator=self._creator, at=at
        )

    def _row(self, thought: Thought, file_ids: list[str]) -> dict[str, Any]:
        return {
            "id": thought.id,
            "message_id": self._message_id,
            "position": thought.position,
            "created_by_role": self._creator.role,
            "created_by": self._creator.id,
            "thought": thought.thought,
            "tool": thought.tool,
            "tool_labels_str": thought.tool_labels,
            "tool_meta_str": {},
            "tool_input": thought.tool_input,
            "observation": thought.observation,
            "message_files": file_ids,
            "answer": thought.thought,
            "created_at": moment(thought.at),
            **{column: thought.metadata.get(name) for column, name in _COSTS.items()},
        }


class ThoughtRepository(TenantRepository):
    """The thoughts of a workspace's messages."""

    async def shown(self, message_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The thoughts of each message in their order, as the API lists them."""
        if not message_ids:
            return {}
        table = message_agent_thoughts
        mine = self.reached_through(table.c.message_id, messages.c.app_id, root=apps)
        query = sa.select(table).where(table.c.message_id.in_(message_ids), mine)
        async with self.db.read() as conn:
            rows = (await conn.execute(query.order_by(table.c.position, table.c.id))).all()
        found: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            found.setdefault(row.message_id, []).append(_shown(row))
        return found


def _shown(row: sa.Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "chain_id": row.message_chain_id,
        "message_id": row.message_id,
        "position": row.position,
        "thought": row.thought,
        "tool": row.tool,
        "tool_labels": row.tool_labels_str or {},
        "tool_input": row.tool_input,
        "created_at": int(row.created_at.replace(tzinfo=UTC).timestamp()),
        "observation": row.observation,
        "files": row.message_files or [],
    }
