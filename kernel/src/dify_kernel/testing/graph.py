"""Small nodes and a runner, to try a graph without any plugin: `await run_graph(nodes, edges)`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from dify_kernel.contracts.model import Usage
from dify_kernel.contracts.node import (
    ContainerNode,
    ContainerStarted,
    Delta,
    InlineNode,
    Node,
    NodeConfig,
    NodeContext,
    NodeKind,
    NodeResult,
    NodeStatus,
    Pause,
    Round,
    RoundStarted,
    RunInfo,
    TextDelta,
)
from dify_kernel.contracts.ports import Ports
from dify_kernel.errors import NodeFailed, PluginNotFound
from dify_kernel.graph.engine import Engine, RunLimits
from dify_kernel.graph.events import Event, NodeFinished, RunFinished, RunPaused, RunStarted, StreamChunk
from dify_kernel.graph.log import RunLog
from dify_kernel.graph.plan import Plan, compile_plan
from dify_kernel.graph.pool import Pool, Selector, Template
from dify_kernel.testing.fakes import fake_ports

__all__ = ["CALLS", "GATES", "GraphRun", "edges", "node", "resolve", "run_graph", "run_plan"]


class _Begin(InlineNode):
    type = "begin"
    kind = NodeKind.ROOT

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        return NodeResult(outputs={name: value.data for name, value in ctx.pool.node("inputs").items()})


class _TextConfig(NodeConfig):
    text: str = ""
    error: str = ""


class _Text(InlineNode):
    """Renders `text` to `output`, or fails with `error`."""

    type = "text"
    Config = _TextConfig

    def __init__(self, node_id: str, config: _TextConfig) -> None:
        super().__init__(node_id, config)
        self._template = Template(config.text)

    def selectors(self) -> list[Selector]:
        return self._template.selectors

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        if self.config.error:
            raise NodeFailed(self.config.error, error_type="TextError")
        return NodeResult(outputs={"output": ctx.render(self._template)})


class _ChooseConfig(NodeConfig):
    handle: str = "true"


class _Choose(InlineNode):
    """Takes the handle that it was told."""

    type = "choose"
    kind = NodeKind.BRANCH
    Config = _ChooseConfig

    def handles(self) -> list[str]:
        return ["true", "false"]

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        return NodeResult(handle=self.config.handle)


class _AnswerConfig(NodeConfig):
    answer: str = ""


class _Answer(InlineNode):
    """A response node under the name that the engine concatenates."""

    type = "answer"
    kind = NodeKind.RESPONSE
    Config = _AnswerConfig

    def pieces(self) -> list[str | Selector]:
        return list(Template(self.config.answer).parts)

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        return NodeResult(outputs={"answer": ctx.pool.render(self.config.answer, as_markdown=True), "files": []})


class _StreamConfig(NodeConfig):
    pieces: list[str] = []
    fail_first: int = 0
    error: str = ""
    gate: str = ""
    tokens: int = 0


class _Stream(Node):
    """Streams `pieces` as `text`; fails `fail_first` times; waits for the gate of that name before it ends."""

    type = "stream"
    retryable = True
    Config = _StreamConfig

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        for piece in self.config.pieces:
            await asyncio.sleep(0)
            yield TextDelta(piece)
        if self.config.gate:
            await GATES[self.config.gate].wait()
        if self.config.error and (not self.config.fail_first or ctx.attempt < self.config.fail_first):
            raise NodeFailed(self.config.error, error_type="StreamError")
        CALLS.append(ctx.key)
        usage = Usage(total_tokens=self.config.tokens) if self.config.tokens else None
        yield NodeResult(outputs={"text": "".join(self.config.pieces), "key": ctx.key}, usage=usage)


class _WriteConfig(NodeConfig):
    target: list[str] = []
    value: Any = None


class _Write(InlineNode):
    """Writes a variable of another owner."""

    type = "write"
    pure = False
    Config = _WriteConfig

    def writes(self) -> list[Selector]:
        return [tuple(self.config.target)]

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        return NodeResult(updates=[(tuple(self.config.target), self.config.value)])


class _AskConfig(NodeConfig):
    question: str = ""
    expires_in: float | None = None


class _Ask(Node):
    """Waits for somebody; gives the answer as `text`, and leaves by the handle that it names."""

    type = "ask"
    kind = NodeKind.BRANCH
    Config = _AskConfig

    def handles(self) -> list[str]:
        return ["source", "no"]

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        if ctx.answer is None:
            question = ctx.render(self.config.question)
            yield Pause(type="question", data={"question": question}, expires_in=self.config.expires_in)
            return
        yield NodeResult(outputs={"text": ctx.answer["text"]}, handle=ctx.answer.get("handle", "source"))


class _Inside(InlineNode):
    """The silent start of a container."""

    type = "inside"
    kind = NodeKind.ROOT
    silent = True

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        return NodeResult()


class _RepeatConfig(NodeConfig):
    count: int = 1
    isolated: bool = True
    parallel: bool = False
    collect: list[str] = []
    start: str = ""
    carry: Any = None


class _Repeat(ContainerNode):
    """Runs its body `count` times, `item` being the number of the round, and collects one variable of each."""

    type = "repeat"
    Config = _RepeatConfig

    def start_node_id(self) -> str:
        return str(self.config.start)

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        config = self.config
        yield ContainerStarted(inputs={"count": config.count})
        if config.parallel:
            variables = [{"item": index} for index in range(config.count)]
            rounds = await ctx.body.run_many(variables, at_once=2, stop_at_failure=True)
            collected: list[Any] = [self._collect(rounds[index]) for index in sorted(rounds)]
        else:
            collected = []
            for index in range(config.count):
                yield RoundStarted(index)
                collected.append(await self._round(ctx, index))
        yield NodeResult(outputs={"output": collected})

    async def _round(self, ctx: NodeContext, index: int) -> Any:
        variables: dict[str, Any] = {"item": index}
        if index == 0 and self.config.carry is not None:
            variables["carry"] = self.config.carry
        return self._collect(await ctx.body.run(index, variables, isolated=self.config.isolated))

    def _collect(self, found: Round) -> Any:
        if found.status is NodeStatus.FAILED:
            raise NodeFailed(found.error, error_type=found.error_type)
        value = found.pool.get(self.config.collect)
        return value.data if value is not None else None


#: The keys under which stream nodes have had their effect, in order; a test clears its own.
CALLS: list[str] = []
#: Gates that stream nodes wait for, by name; a test sets and releases its own.
GATES: dict[str, asyncio.Event] = {}

NODES: dict[str, type[Node]] = {
    cls.type: cls for cls in (_Begin, _Text, _Choose, _Answer, _Stream, _Write, _Ask, _Inside, _Repeat)
}


def resolve(type: str, version: str) -> type[Node]:
    """The test node of a type."""
    if type not in NODES:
        raise PluginNotFound(f"There is no test node {type!r}.")
    return NODES[type]


def node(id: str, type: str, **data: Any) -> dict[str, Any]:
    """A node as it stands in a graph."""
    return {"id": id, "type": "custom", "data": {"type": type, "title": id, **data}}


def edges(*paths: str) -> list[dict[str, Any]]:
    """Edges of paths like `a > b:true > c`: the part behind the colon is the handle by which the path leaves."""
    out = []
    for path in paths:
        steps = [step.strip() for step in path.split(">")]
        for left, right in pairwise(steps):
            source, _, handle = left.partition(":")
            out.append({"source": source, "target": right.partition(":")[0], "sourceHandle": handle or "source"})
    return out


class GraphRun(msgspec.Struct, kw_only=True):
    """What a run gave: every event, the last one (the run has ended, or waits), and the text that was streamed."""

    events: list[Any]
    last: RunFinished | RunPaused
    streamed: str

    @property
    def finished(self) -> RunFinished:
        """The terminal event."""
        assert isinstance(self.last, RunFinished), "the run waits for somebody"
        return self.last

    def node(self, node_id: str) -> NodeFinished | None:
        """How a node ended; None when it did not run to an end."""
        return next((e for e in self.events if isinstance(e, NodeFinished) and e.node_id == node_id), None)


async def run_plan(
    plan: Plan,
    *,
    inputs: Mapping[str, Any] | None = None,
    ports: Ports | None = None,
    pool: Pool | None = None,
    log: RunLog | None = None,
    run_limits: RunLimits | None = None,
    run_id: str = "run-1",
    history: Sequence[Event] = (),
    answers: Mapping[str, dict[str, Any]] | None = None,
    adopted: Sequence[NodeFinished] = (),
) -> GraphRun:
    """Run a plan, or go on from a log, and collect everything."""
    if history:
        begun = history[0]
        assert isinstance(begun, RunStarted)
        pool = pool or Pool.load(begun.variables)
    pool = pool or Pool()
    pool.update("inputs", dict(inputs or {}))
    events: list[Event] = []
    engine = Engine(
        plan,
        pool,
        run=RunInfo(run_id=run_id),
        ports=ports or fake_ports(),
        sink=events.append,
        log=log,
        run_limits=run_limits,
        history=history,
    )
    if history:
        outcome = await engine.resume(answers=answers, cause="answered" if answers else "recovered")
    else:
        outcome = await engine.run(inputs, adopted=adopted)
    streamed = "".join(event.text for event in events if isinstance(event, StreamChunk))
    return GraphRun(events=events, last=outcome.event, streamed=streamed)


async def run_graph(nodes: Iterable[Mapping[str, Any]], edges: Iterable[Mapping[str, Any]], **options: Any) -> GraphRun:
    """Compile a graph of test nodes and run it."""
    return await run_plan(compile_plan({"nodes": list(nodes), "edges": list(edges)}, resolve), **options)
