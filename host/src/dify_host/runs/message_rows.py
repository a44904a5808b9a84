"""Rows of a chat or completion message: the conversation, the message, its variables; written with the run's events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from dify_kernel.graph.events import (
    Event,
    NodeFinished,
    Resources,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
)
from dify_kernel.graph.values import File, infer

from dify_host.apps.records import Variable
from dify_host.db.types import encode_json
from dify_host.db.writer import Group
from dify_host.runs.agent_thoughts import ThoughtRows
from dify_host.runs.message_files import BelongsTo, answer_files, message_file_rows
from dify_host.runs.recorder import Creator, moment
from dify_host.runs.tables import conversations, message_files, messages, workflow_conversation_variables

__all__ = ["Citations", "MessageRows", "MessageSpec", "conversation_name", "message_outcome"]

_NAME_LENGTH = 50


class MessageSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The message that a run answers. `fresh` says that the conversation begins with it."""

    message_id: str
    conversation_id: str
    fresh: bool
    app_id: str
    mode: str
    query: str
    inputs: dict[str, Any]
    creator: Creator
    invoke_from: str
    from_source: str
    created_at: float
    dialogue_count: int = 1
    workflow_run_id: str | None = None
    model_provider: str | None = None
    model_id: str | None = None
    parent_message_id: str | None = None
    introduction: str = ""
    shows_citations: bool = True
    files: list[File] = []


def conversation_name(query: str) -> str:
    """The name of a conversation that nobody named: how its first question begins."""
    name = query if len(query) <= _NAME_LENGTH else f"{query[: _NAME_LENGTH - 3]}..."
    return name.replace("\n", " ") or "New conversation"


class Citations:
    """Collects what a message cites: renumbered, one entry a segment."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._seen: set[tuple[Any, ...]] = set()

    def add(self, resources: list[dict[str, Any]]) -> None:
        """Take the citations of one retrieval."""
        for resource in resources:
            key = (resource.get("dataset_id"), resource.get("document_id"), resource.get("segment_id"))
            if key not in self._seen:
                self._seen.add(key)
                self.items.append({**resource, "position": len(self.items) + 1})


class MessageRows:
    """`conversations`, `messages` and `workflow_conversation_variables` of one run.

    `missing` are the ids of variables that have no row yet; `streamed` tells the text so far, which is the answer of a
    message that was stopped. With `judged` the end alone says what may be kept.
    """

    def __init__(
        self,
        spec: MessageSpec,
        variables: list[Variable],
        *,
        missing: set[str],
        streamed: Callable[[], str] = str,
        judged: bool = False,
    ) -> None:
        self._spec, self._streamed = spec, streamed
        self._variables = {variable.name: variable for variable in variables}
        self._missing = missing
        self._citations = Citations()
        self._thoughts = None if spec.workflow_run_id else ThoughtRows(spec.message_id, spec.creator, judged=judged)

    def record(self, event: Event, group: Group) -> None:
        """Follow the run: the message at the start, variables as they change, the answer at the end."""
        if self._thoughts is not None:
            self._thoughts.record(event, group)
        if isinstance(event, Resources):
            self._citations.add(event.resources)
        elif isinstance(event, NodeFinished):
            for selector, value in event.updates:
                if selector[0] == "conversation" and selector[1] in self._variables:
                    self._change(self._variables[selector[1]], value, group)
        elif isinstance(event, RunStarted):
            self._begin(event, group)
        elif isinstance(event, RunPaused):
            group.update(
                messages, self._spec.message_id, {"status": "paused", "answer": _text(event.outputs.get("answer", ""))}
            )
        elif isinstance(event, RunResumed):
            group.update(messages, self._spec.message_id, {"status": "normal"})
        elif isinstance(event, RunFinished):
            self._end(event, group)

    # -- start ------------------------------------------------------------------------------------------------

    def _begin(self, event: RunStarted, group: Group) -> None:
        now = moment(self._spec.created_at)
        if self._spec.fresh:
            group.insert(conversations, self._conversation_row())
        group.insert(messages, self._message_row())
        self._attach(self._spec.files, "user", now, group)
        for variable in self._variables.values():
            if variable.id in self._missing:
                row = {"id": variable.id, "conversation_id": self._spec.conversation_id, "app_id": self._spec.app_id}
                stored = msgspec.to_builtins(variable)
                group.insert(
                    workflow_conversation_variables, {**row, "data": stored, "created_at": now, "updated_at": now}
                )

    def _conversation_row(self) -> dict[str, Any]:
        spec, now = self._spec, moment(self._spec.created_at)
        return {
            "id": spec.conversation_id,
            "app_id": spec.app_id,
            "model_provider": spec.model_provider,
            "model_id": spec.model_id,
            "mode": spec.mode,
            "name": conversation_name(spec.query),
            "inputs": spec.inputs,
            "introduction": spec.introduction,
            "status": "normal",
            "invoke_from": spec.invoke_from,
            "from_source": spec.from_source,
            **_owner(spec.creator),
            "dialogue_count": 0,
            "is_deleted": False,
            "created_at": now,
            "updated_at": now,
        }

    def _message_row(self) -> dict[str, Any]:
        spec, now = self._spec, moment(self._spec.created_at)
        return {
            "id": spec.message_id,
            "app_id": spec.app_id,
            "model_provider": spec.model_provider,
            "model_id": spec.model_id,
            "conversation_id": spec.conversation_id,
            "inputs": spec.inputs,
            "query": spec.query,
            "message": None,
            "message_tokens": 0,
            "message_unit_price": 0,
            "message_price_unit": 0,
            "answer": "",
            "answer_tokens": 0,
            "answer_unit_price": 0,
            "answer_price_unit": 0,
            "parent_message_id": spec.parent_message_id,
            "provider_response_latency": 0.0,
            "total_price": 0,
            "currency": "USD",
            "status": "normal",
            "error": None,
            "message_metadata": None,
            "invoke_from": spec.invoke_from,
            "from_source": spec.from_source,
            **_owner(spec.creator),
            "agent_based": False,
            "workflow_run_id": spec.workflow_run_id,
            "app_mode": spec.mode,
            "created_at": now,
            "updated_at": now,
        }

    def _attach(self, files: list[File], belongs_to: BelongsTo, at: datetime, group: Group) -> None:
        spec = self._spec
        for row in message_file_rows(
            files, message_id=spec.message_id, belongs_to=belongs_to, creator=spec.creator, at=at
        ):
            group.insert(message_files, row)

    # -- changes ----------------------------------------------------------------------------------------------

    def _change(self, variable: Variable, value: Any, group: Group) -> None:
        variable.value = value
        kept = infer(value).type
        if variable.value_type in ("number", "integer", "float") and kept.exposed == "number":
            variable.value_type = kept.value
        table = workflow_conversation_variables
        group.execute(
            sa.update(table)
            .where(table.c.id == variable.id, table.c.conversation_id == self._spec.conversation_id)
            .values(data=msgspec.to_builtins(variable))
        )

    def _end(self, event: RunFinished, group: Group) -> None:
        spec = self._spec
        answer = event.outputs.get("answer", "")
        if event.status == "stopped":
            answer = self._streamed() or answer
        cited = self._citations.items if spec.shows_citations else []
        group.update(messages, spec.message_id, message_outcome(event, answer, cited))
        self._attach(answer_files(event.outputs), "assistant", moment(event.at), group)
        group.update(
            conversations,
            spec.conversation_id,
            {"dialogue_count": spec.dialogue_count, "updated_at": moment(event.at)},
        )


def message_outcome(event: RunFinished, answer: Any, cited: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns of a message that the end of its run decides. One that was stopped is no error."""
    usage, failed = event.usage, event.status == "failed"
    return {
        "answer": _text(answer),
        "message_tokens": usage.get("prompt_tokens", 0),
        "message_unit_price": usage.get("prompt_unit_price", "0"),
        "message_price_unit": usage.get("prompt_price_unit", "0"),
        "answer_tokens": usage.get("completion_tokens", 0),
        "answer_unit_price": usage.get("completion_unit_price", "0"),
        "answer_price_unit": usage.get("completion_price_unit", "0"),
        "provider_response_latency": usage.get("latency") or event.elapsed_time,
        "total_price": usage.get("total_price", "0"),
        "currency": usage.get("currency", "USD"),
        "status": "error" if failed else "normal",
        "error": event.error if failed else None,
        "message_metadata": {"annotation_reply": None, "retriever_resources": cited, "usage": usage},
        "updated_at": moment(event.at),
    }


def _text(answer: Any) -> str:
    return answer if isinstance(answer, str) else encode_json(answer)


def _owner(creator: Creator) -> dict[str, Any]:
    by_account = creator.role == "account"
    return {
        "from_end_user_id": None if by_account else creator.id,
        "from_account_id": creator.id if by_account else None,
    }
