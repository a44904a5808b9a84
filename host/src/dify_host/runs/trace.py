"""Where the time of a run went: for each node when it could begin, when it did, and how long it took. Pure.

Times are milliseconds since the run began. What a node waited, its attempts, the rounds of a container with their nodes
inside, and the spans in which no node was at work together account for all of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from dify_kernel.errors import NotFound
from dify_kernel.graph.events import (
    AnyEvent,
    NodeFinished,
    NodePaused,
    NodeRetried,
    NodeStarted,
    RoundBegun,
    RunFinished,
    RunPaused,
    RunResumed,
    Scope,
)

__all__ = ["Attempt", "Gap", "NodeTrace", "RoundTrace", "RunTrace", "trace_run"]


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A span in which no node of a scope was at work; `paused` when the run waited for somebody."""

    at_ms: float
    length_ms: float
    paused: bool = False


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One failed attempt of a node that was tried again; it ended at `ended_ms`, and `error` says how."""

    retry_index: int
    ended_ms: float
    error: str = ""


class RoundTrace(msgspec.Struct, frozen=True, kw_only=True):
    """One round of a container."""

    index: int
    started_ms: float
    run_ms: float
    gaps: list[Gap] = []
    nodes: list[NodeTrace] = []


class NodeTrace(msgspec.Struct, frozen=True, kw_only=True):
    """One node: it was ready, began `queue_ms` later, and ran for `run_ms`."""

    node_id: str
    node_type: str
    title: str
    execution_id: str
    index: int
    status: str
    error: str = ""
    ready_ms: float
    queue_ms: float
    started_ms: float
    run_ms: float
    attempts: list[Attempt] = []
    rounds: list[RoundTrace] = []


class RunTrace(msgspec.Struct, frozen=True, kw_only=True):
    """A run. `busy_ms` is the time in which at least one node was at work; with the gaps it makes `total_ms`."""

    run_id: str
    status: str
    started_at: float
    total_ms: float
    busy_ms: float
    gaps: list[Gap]
    nodes: list[NodeTrace]


def trace_run(run_id: str, events: Sequence[AnyEvent], graph: Mapping[str, Any] | None = None) -> RunTrace:
    """The trace of a run's log, finished or not; NotFound for an empty one.

    `graph` tells what a node waited for. Without it a node counts as ready when the last node before it had ended.
    """
    if not events:
        raise NotFound("The run has left no log.", hint="Logs go with old runs, as the settings say.", run_id=run_id)
    reader = _Reader(events, _edges(graph or {}))
    nodes = reader.level((), 0.0)
    total = reader.ms(events[-1].at)
    gaps, busy = _gaps(nodes, 0.0, total, reader.pauses)
    last = events[-1]
    status = last.status if isinstance(last, RunFinished) else "paused" if isinstance(last, RunPaused) else "running"
    return RunTrace(
        run_id=run_id,
        status=status,
        started_at=events[0].at,
        total_ms=total,
        busy_ms=busy,
        gaps=gaps,
        nodes=nodes,
    )


class _Reader:
    """Sorts the events of a log by node."""

    def __init__(self, events: Sequence[AnyEvent], sources: Mapping[str, set[str]]) -> None:
        self._sources = sources
        self._zero, self._last = events[0].at, events[-1].at
        self._started: dict[str, NodeStarted] = {}
        self._ended: dict[str, NodeFinished | NodePaused] = {}
        self._retried: dict[str, list[NodeRetried]] = {}
        self._rounds: dict[str, list[RoundBegun]] = {}
        self.pauses: list[tuple[float, float]] = []
        paused: float | None = None
        for event in events:
            if isinstance(event, NodeStarted):
                self._started.setdefault(event.execution_id, event)
            elif isinstance(event, NodeFinished | NodePaused):
                self._ended[event.execution_id] = event
            elif isinstance(event, NodeRetried):
                self._retried.setdefault(event.execution_id, []).append(event)
            elif isinstance(event, RoundBegun):
                self._rounds.setdefault(event.execution_id, []).append(event)
            elif isinstance(event, RunPaused):
                paused = self.ms(event.at)
            elif isinstance(event, RunResumed) and paused is not None:
                self.pauses.append((paused, self.ms(event.at)))
                paused = None

    def ms(self, at: float) -> float:
        """A moment as milliseconds since the run began."""
        return round(max(at - self._zero, 0.0) * 1000, 3)

    def level(self, scope: Scope, began: float) -> list[NodeTrace]:
        """The nodes of one scope, in the order of their starts; the scope itself began then."""
        mine = [event for event in self._started.values() if event.scope == scope]
        return [self._node(event, mine, began) for event in mine]

    def _node(self, event: NodeStarted, level: Sequence[NodeStarted], began: float) -> NodeTrace:
        ended = self._ended.get(event.execution_id)
        started, stopped = self.ms(event.at), self._end(event)
        ready = min(self._ready(event, level, began), started)
        done = ended if isinstance(ended, NodeFinished) else None
        return NodeTrace(
            node_id=event.node_id,
            node_type=event.node_type,
            title=event.title,
            execution_id=event.execution_id,
            index=event.index,
            status=done.status if done else "paused" if ended else "running",
            error=done.error if done else "",
            ready_ms=ready,
            queue_ms=round(started - ready, 3),
            started_ms=started,
            run_ms=round(stopped - started, 3),
            attempts=[
                Attempt(retry_index=item.retry_index, ended_ms=self.ms(item.at), error=item.error)
                for item in self._retried.get(event.execution_id, [])
            ],
            rounds=self._round_traces(event, stopped),
        )

    def _end(self, event: NodeStarted) -> float:
        ended = self._ended.get(event.execution_id)
        return self.ms(ended.at if ended else self._last)

    def _ready(self, event: NodeStarted, level: Sequence[NodeStarted], began: float) -> float:
        """When the last node that it waited for had ended: by the edges, or else the last one before it."""
        before = [self._end(other) for other in self._awaited(event, level) if self._ended.get(other.execution_id)]
        return max(before, default=began)

    def _awaited(self, event: NodeStarted, level: Sequence[NodeStarted]) -> list[NodeStarted]:
        """Its predecessors that ran; those of a skipped one stand in for it."""
        if event.node_id not in self._sources:
            return [] if self._sources else [other for other in level if self._end(other) <= self.ms(event.at)]
        ran = {other.node_id: other for other in level}
        found, stack, seen = [], [*self._sources[event.node_id]], set[str]()
        while stack:
            node_id = stack.pop()
            if node_id in seen:
                continue
            seen.add(node_id)
            if node_id in ran:
                found.append(ran[node_id])
            else:
                stack += self._sources.get(node_id, ())
        return found

    def _round_traces(self, event: NodeStarted, stopped: float) -> list[RoundTrace]:
        rounds = []
        for begun in self._rounds.get(event.execution_id, []):
            scope = (*event.scope, (event.node_id, begun.index))
            started = self.ms(begun.at)
            nodes = self.level(scope, started)
            ends = max((node.started_ms + node.run_ms for node in nodes), default=started)
            ends = min(ends, stopped) if nodes else started
            gaps, _ = _gaps(nodes, started, ends, self.pauses)
            run_ms = round(ends - started, 3)
            rounds.append(RoundTrace(index=begun.index, started_ms=started, run_ms=run_ms, gaps=gaps, nodes=nodes))
        return rounds


def _gaps(
    nodes: Iterable[NodeTrace], start: float, end: float, pauses: Sequence[tuple[float, float]]
) -> tuple[list[Gap], float]:
    """The spans between start and end in which none of the nodes ran, and how long at least one did."""
    gaps, reached, idle = [], start, 0.0
    spans = sorted((node.started_ms, node.started_ms + node.run_ms) for node in nodes)
    for begin, stop in [*spans, (end, end)]:
        if begin > reached:
            paused = any(at < begin and until > reached for at, until in pauses)
            gaps.append(Gap(at_ms=reached, length_ms=round(begin - reached, 3), paused=paused))
            idle += begin - reached
        reached = max(reached, stop)
    return gaps, round(max(end - start - idle, 0.0), 3)


def _edges(graph: Mapping[str, Any]) -> dict[str, set[str]]:
    """Node id -> the ids that its edges come from."""
    found: dict[str, set[str]] = {}
    for edge in graph.get("edges") or []:
        if isinstance(edge, dict):
            found.setdefault(str(edge.get("target")), set()).add(str(edge.get("source")))
    return found
