"""Answers that need no run: the rows of the message are written, and its events are told, as if one had ended."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import msgspec
from dify_kernel.contracts.model import Usage
from dify_kernel.graph.events import Event, RunFinished, RunStarted, StreamChunk

from dify_host.annotations.hits import record_hit
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.db.writer import BatchWriter, Group
from dify_host.runs.api_events import ApiEvents
from dify_host.runs.before import Answered
from dify_host.runs.live_apps import LiveApp
from dify_host.runs.memory import ConversationMemory
from dify_host.runs.message_rows import MessageRows, MessageSpec
from dify_host.runs.tables import messages

__all__ = ["Answers", "GivenAnswer"]


class GivenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was answered at once, and written; it is followed as a run is."""

    task_id: str
    spec: MessageSpec
    events: ApiEvents
    told: list[Event]
    finished: RunFinished

    async def wait(self) -> RunFinished:
        """The end, which is here."""
        return self.finished

    async def follow(self, *, idle: float | None = None) -> AsyncIterator[list[Event]]:
        """The whole answer, and its end."""
        yield self.told

    def text(self) -> str:
        """The answer."""
        return str(self.finished.outputs["answer"])

    def stop(self) -> None:
        """There is nothing to stop."""


class Answers:
    """Writes such answers."""

    def __init__(self, writer: BatchWriter, memory: Callable[[Tenant], ConversationMemory]) -> None:
        self._writer, self._memory = writer, memory

    async def give(self, live: LiveApp, answered: Answered) -> GivenAnswer:
        """Write the message and return its events; NotFound for a conversation of somebody else."""
        task_id, now = new_id(), time.time()
        spec = await self._spec(live, answered, now)
        usage = msgspec.to_builtins(Usage())
        finished = RunFinished(status="succeeded", outputs={"answer": answered.text}, usage=usage, at=time.time())
        group = Group()
        rows = MessageRows(spec, [], missing=set())
        rows.record(RunStarted(at=now), group)
        rows.record(finished, group)
        annotation = None
        if answered.annotation is not None:
            annotation = answered.annotation.shown()
            metadata = {"annotation_reply": annotation, "retriever_resources": [], "usage": usage}
            group.update(messages, spec.message_id, {"message_metadata": metadata})
            by_api = answered.request.invoke_from in ("service-api", "web-app")
            record_hit(
                group,
                answered.annotation,
                question=answered.request.query,
                source="api" if by_api else "console",
                user_id=answered.request.creator.id,
                message_id=spec.message_id,
            )
        await self._writer.put(group)
        events = ApiEvents(
            task_id=task_id,
            run_id=task_id,
            workflow_id=live.program.source_id,
            creator=answered.request.creator,
            spec=spec,
            shows_workflow=False,
            annotation=annotation,
        )
        told: list[Event] = [StreamChunk(selector=(), text=answered.text), finished]
        return GivenAnswer(task_id=task_id, spec=spec, events=events, told=told, finished=finished)

    async def _spec(self, live: LiveApp, answered: Answered, now: float) -> MessageSpec:
        request, program = answered.request, live.program
        count = 0
        if request.conversation_id:
            memory = self._memory(request.tenant)
            found = await memory.find(live.app.id, request.conversation_id, request.creator)
            count = found.dialogue_count
        return MessageSpec(
            message_id=new_id(),
            conversation_id=request.conversation_id or new_id(),
            fresh=not request.conversation_id,
            app_id=live.app.id,
            mode=live.app.mode,
            query=request.query,
            inputs=msgspec.to_builtins(answered.inputs),
            creator=request.creator,
            invoke_from=request.invoke_from,
            from_source=request.from_source,
            created_at=now,
            dialogue_count=count + 1,
            model_provider=program.model.get("provider"),
            model_id=program.model.get("name"),
            introduction=request.introduction,
            files=request.files,
        )
