"""What a run's log tells about work that is done: results are taken from it, and nothing that has an end runs again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dify_kernel.contracts.node import NodeResult, NodeStatus
from dify_kernel.errors import LogError
from dify_kernel.graph.events import (
    ContainerBegun,
    Event,
    NodeFinished,
    NodePaused,
    NodeRetried,
    NodeStarted,
    Resources,
    RoundBegun,
    RunResumed,
    RunStarted,
    Scope,
)
from dify_kernel.graph.pool import Pool
from dify_kernel.graph.values import Value, ValueType, infer

__all__ = ["History", "recorded_result", "update_name"]


class History:
    """A log, sorted by what a run asks it: which nodes of a scope have ended, and what was told already."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events = list(events)
        self.started: dict[str, NodeStarted] = {}
        self.attempts: dict[str, int] = {}
        self.begun: set[str] = set()
        self.rounds: set[tuple[str, int]] = set()
        self.paused: dict[str, NodePaused] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.resources: list[dict[str, Any]] = []
        self.steps = self.shown_steps = 0
        self._finished: dict[Scope, list[NodeFinished]] = {}
        self._last_round: dict[tuple[Scope, str], int] = {}
        for event in self.events:
            self._sort(event)

    def _sort(self, event: Event) -> None:
        if isinstance(event, NodeFinished):
            self._finished.setdefault((), []).append(event)
            if event.scope:
                self._finished.setdefault(event.scope, []).append(event)
                *outer, (container, index) = event.scope
                place = (tuple(outer), container)
                self._last_round[place] = max(index, self._last_round.get(place, 0))
        elif isinstance(event, NodeStarted):
            self.started[event.execution_id] = event
            self._count(event.scope)
        elif isinstance(event, NodeRetried):
            self.attempts[event.execution_id] = event.retry_index
            self._count(event.scope)
        elif isinstance(event, ContainerBegun):
            self.begun.add(event.execution_id)
        elif isinstance(event, RoundBegun):
            self.rounds.add((event.execution_id, event.index))
        elif isinstance(event, NodePaused):
            self.paused[event.execution_id] = event
        elif isinstance(event, RunResumed):
            self.answers |= event.answers
        elif isinstance(event, Resources):
            self.resources += event.resources

    def _count(self, scope: Scope) -> None:
        self.steps += 1
        self.shown_steps += not scope

    def finished(self, scope: Scope) -> list[NodeFinished]:
        """The nodes of a scope that have ended, in the order in which they did; at the top also those of all rounds."""
        return self._finished.get(scope, [])

    def last_round(self, container: NodeFinished) -> list[NodeFinished]:
        """The nodes that have ended in the last round of a container, in the order in which they did."""
        index = self._last_round.get((container.scope, container.node_id))
        return [] if index is None else self.finished((*container.scope, (container.node_id, index)))

    @property
    def started_at(self) -> float:
        """When the run began; LogError when the log does not say."""
        if not self.events or not isinstance(self.events[0], RunStarted):
            raise LogError("The log of the run does not begin with its start.")
        return self.events[0].at

    def seconds_at_work(self) -> float:
        """How long the run was at work so far: the time before it was taken up again does not count."""
        worked, before = 0.0, self.started_at
        for event in self.events:
            if not isinstance(event, RunResumed):
                worked += max(event.at - before, 0.0)
            before = event.at
        return worked


def recorded_result(event: NodeFinished, pool: Pool) -> NodeResult:
    """The result that a node ended with: its types as they were, its secrets clear again.

    LogError when a text that looks like a hidden secret stood beside one: which is which is not told.
    """
    outputs, updates = event.outputs, event.updates
    if event.masked:
        if event.masked == "ambiguous":
            raise LogError(f"The outputs of {event.node_id} hold a text that looks like a hidden secret.")
        outputs = pool.unmask(outputs)
        updates = [(selector, pool.unmask(value)) for selector, value in updates]
    if event.types:
        outputs = {name: _typed(data, event.types.get(name)) for name, data in outputs.items()}
        updates = [(selector, _typed(data, event.types.get(update_name(selector)))) for selector, data in updates]
    return NodeResult(
        outputs=outputs,
        inputs=event.inputs,
        process_data=event.process_data,
        metadata=event.metadata,
        handle=event.handle,
        status=NodeStatus(event.status),
        error=event.error,
        error_type=event.error_type,
        updates=[(tuple(selector), data) for selector, data in updates],
    )


def update_name(selector: Iterable[str]) -> str:
    """How an update is called among the types of a result; no output has such a name."""
    return "@" + ".".join(selector)


def _typed(data: Any, kind: str | None) -> Any:
    return Value(ValueType(kind), infer(data).data) if kind else data
