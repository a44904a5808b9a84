"""Small nodes and a runner, to try a graph without any plugin: `await run_graph(nodes, edges)`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from itertools import pairwise
from typing import Any

import msgspec

from dify_kernel.contracts.model import Usage
from dify_kernel.contracts.node import (
    Delta,
    InlineNode,
    Node,
    NodeConfig,
    NodeContext,
    NodeKind,
    NodeResult,
    RunInfo,
    TextDelta,
)
from dify_kernel.contracts.ports import Ports
from dify_kernel.errors import NodeFailed, PluginNotFound
from dify_kernel.graph.engine import Engine, RunLimits
from dify_kernel.graph.events import Event, NodeFinished, RunFinished, StreamChunk
from dify_kernel.graph.log import RunLog
from dify_kernel.graph.plan import Plan, compile_plan
from dify_kernel.graph.pool import Pool, Selector, Template
from dify_kernel.testing.fakes import fake_ports

__all__ = ["GraphRun", "edges", "node", "resolve", "run_graph", "run_plan"]


class _Begin(InlineNode):
    type = "begin"
    kind = NodeKind.ROOT

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        return NodeResult(outputs={name: value.data for name, value in ctx.pool.node("inputs").items()})


class _TextConfig(NodeConfig):
    text: str = ""


class _Text(InlineNode):
    """Renders `text` to `output`."""

    type = "text"
    Config = _TextConfig

    def __init__(self, node_id: str, config: _TextConfig) -> None:
        super().__init__(node_id, config)
        self._template = Template(config.text)

    def selectors(self) -> list[Selector]:
        return self._template.selectors

    def evaluate(self, ctx: NodeContext) -> NodeResult:
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


#: Gates that stream nodes wait for, by name; a test sets and releases its own.
GATES: dict[str, asyncio.Event] = {}

NODES: dict[str, type[Node]] = {cls.type: cls for cls in (_Begin, _Text, _Choose, _Answer, _Stream, _Write)}


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
    """What a run gave: every event, the terminal one, and the text that was streamed."""

    events: list[Any]
    finished: RunFinished
    streamed: str

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
) -> GraphRun:
    """Run a plan and collect everything."""
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
    )
    outcome = await engine.run(inputs)
    streamed = "".join(event.text for event in events if isinstance(event, StreamChunk))
    return GraphRun(events=events, finished=outcome.event, streamed=streamed)


async def run_graph(nodes: Iterable[Mapping[str, Any]], edges: Iterable[Mapping[str, Any]], **options: Any) -> GraphRun:
    """Compile a graph of test nodes and run it."""
    return await run_plan(compile_plan({"nodes": list(nodes), "edges": list(edges)}, resolve), **options)
