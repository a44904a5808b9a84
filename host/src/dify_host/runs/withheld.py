"""What is shown of a run whose answer is judged: after it was refused, and to those who take its stream up again.

Its log has the verdict at its end, and what nodes gave before. Until the answer has passed no text goes out, and
nothing that may hold a part of it; the end tells the whole answer as it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeGuard

import msgspec
from dify_kernel.graph.events import (
    AgentLogged,
    ContainerBegun,
    Event,
    NodeFinished,
    NodePaused,
    NodeRetried,
    RunFinished,
    RunPaused,
    StreamChunk,
)

from dify_host.runs.follower import TextReplaced

__all__ = ["Withheld", "has_passed"]

_ANSWER = "answer"


def has_passed(log: Sequence[Event]) -> bool:
    """Whether a run has ended with the very answer that its nodes gave."""
    last = log[-1] if log else None
    said = "".join(str(event.outputs.get(_ANSWER, "")) for event in log if _answers(event) and not event.scope)
    return isinstance(last, RunFinished) and last.outputs.get(_ANSWER, "") == said


class Withheld:
    """One run, as `log` has it so far.

    Nodes show neither inputs nor outputs, but for what people answered, and the answer as far as it is kept.
    """

    def __init__(self, log: Sequence[Event]) -> None:
        self._asked = {event.execution_id for event in log if isinstance(event, NodePaused)}
        last = log[-1] if log else None
        self._kept = last.outputs.get(_ANSWER, "") if isinstance(last, RunFinished | RunPaused) else ""

    def shown(self, events: Iterable[Event]) -> list[Event]:
        """What of these events goes out."""
        return [shown for event in events if (shown := self._shown(event)) is not None]

    def _shown(self, event: Event) -> Event | None:
        if isinstance(event, StreamChunk | TextReplaced | AgentLogged):
            return None
        if isinstance(event, NodePaused):
            self._asked.add(event.execution_id)
        if isinstance(event, ContainerBegun):
            return msgspec.structs.replace(event, inputs={})
        if isinstance(event, NodeFinished) and event.execution_id not in self._asked:
            outputs = {_ANSWER: self._kept} if _answers(event) else {}
            metadata = {name: value for name, value in event.metadata.items() if isinstance(value, int | float)}
            return msgspec.structs.replace(event, inputs={}, process_data={}, outputs=outputs, metadata=metadata)
        if isinstance(event, NodeRetried):
            return msgspec.structs.replace(event, inputs={}, process_data={}, outputs={})
        return event


def _answers(event: Event) -> TypeGuard[NodeFinished]:
    return isinstance(event, NodeFinished) and event.node_type == _ANSWER
