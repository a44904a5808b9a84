"""Runs the graphs that are kept: from their start, and from any part of their log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from dify_kernel.contracts.node import Delta, InlineNode, Node, NodeContext, RunInfo
from dify_kernel.contracts.ports import Ports
from dify_kernel.graph.engine import Engine
from dify_kernel.graph.events import (
    AnyEvent,
    Event,
    NodeFinished,
    NodePaused,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    StreamChunk,
    decode_event,
    encode_event,
)
from dify_kernel.graph.plan import Plan, compile_plan
from dify_kernel.graph.pool import Pool
from dify_kernel.graph.values import Value, ValueType
from dify_kernel.registry import Registry

from .case import Case

__all__ = ["LOGS", "History", "Watch", "record"]

LOGS = Path(__file__).parent / "logs"
REGISTRY = Registry()
INFO = RunInfo(run_id="kept", tenant_id="t-1", app_id="a-1", user_id="u-1", conversation_id="c-1")


class Watch:
    """Gives the installed node classes, and writes down every node that runs although it has ended before."""

    def __init__(self) -> None:
        self.ended: set[str] = set()
        self.repeated: list[str] = []

    def resolve(self, kind: str, version: str) -> type[Node]:
        """The class of a type, watched when it may have effects."""
        cls: type[Node] = REGISTRY.node(kind, version)
        if issubclass(cls, InlineNode):
            return cls
        watch = self

        async def run(node: Any, ctx: NodeContext) -> AsyncIterator[Delta]:
            if ctx.execution_id in watch.ended:
                watch.repeated.append(ctx.execution_id)
            async for delta in cls.run(node, ctx):
                yield delta

        return type(cls.__name__, (cls,), {"run": run})


def fill(pool: Pool, secrets: dict[str, str]) -> Pool:
    """The pool with the secrets, which no log holds."""
    for name, text in secrets.items():
        pool.set("env", name, Value(ValueType.SECRET, text))
    return pool


async def play(
    plan: Plan,
    pool: Pool,
    ports: Ports,
    history: Sequence[Event],
    answers: dict[str, dict[str, Any]],
    graph: Any = None,
) -> list[Event]:
    """Run to the end or to a pause; what the log gets."""
    events: list[Event] = []
    engine = Engine(plan, pool, run=INFO, ports=ports, sink=events.append, history=history)
    if history:
        await engine.resume(answers=answers, cause="answered" if answers else "recovered")
    else:
        await engine.run(context={"graph": graph})
    return [decode_event(encode_event(event)) for event in events if not isinstance(event, StreamChunk)]


async def record(case: Case) -> list[Event]:
    """The log of a run of today."""
    plan = compile_plan(case.graph, REGISTRY.node)
    pool = Pool()
    for node_id, values in case.variables.items():
        pool.update(node_id, values)
    log = await play(plan, fill(pool, case.secrets), case.ports(), [], {}, case.graph)
    while isinstance(last := log[-1], RunPaused):
        asked = {e.execution_id: e.node_id for e in log if isinstance(e, NodePaused)}
        answers = {id: case.answers[asked[id]] for id in last.waiting}
        log += await play(plan, fill(begun(log), case.secrets), case.ports(), log, answers)
    return log


def begun(log: Sequence[Event]) -> Pool:
    """The pool that a run began with."""
    first = log[0]
    assert isinstance(first, RunStarted)
    return Pool.load(first.variables)


class History:
    """A log that was kept, and how to go on from a part of it."""

    def __init__(self, log: Sequence[AnyEvent], case: Case) -> None:
        first = log[0]
        assert isinstance(first, RunStarted)
        self.log, self.case = list(log), case
        self.graph: dict[str, Any] = first.context["graph"]
        self.watch = Watch()
        self.plan = compile_plan(self.graph, self.watch.resolve)
        self.answers = {id: a for e in log if isinstance(e, RunResumed) for id, a in e.answers.items()}

    async def go_on(self, cut: int) -> list[Event]:
        """The whole log of a run that lost its process after `cut` events; people answer as they did."""
        log: list[Event] = list(self.log[:cut])
        self.watch.ended = {e.execution_id for e in log if isinstance(e, NodeFinished)}
        answers: dict[str, dict[str, Any]] = {}
        ports = self.case.ports()
        while not isinstance(log[-1], RunFinished):
            log += await play(self.plan, fill(begun(log), self.case.secrets), ports, log, answers)
            if isinstance(last := log[-1], RunPaused):
                answers = {id: self.answers[id] for id in last.waiting}
        return log
