"""Runs a plan: one coordinator a run, nodes start when their in-edges are settled and at least one is taken.

Inline nodes are called in place; the others run in a task each and call back, so that no queue stands between a token
and its event. The coordinator is the only writer of the pool and of the graph's state.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from dify_kernel.contracts.model import Usage
from dify_kernel.contracts.node import (
    AgentLog,
    InlineNode,
    Limits,
    NodeContext,
    NodeKind,
    NodeResult,
    NodeStatus,
    RetrieverResources,
    RunInfo,
    TextDelta,
)
from dify_kernel.contracts.ports import Ports
from dify_kernel.errors import DifyError
from dify_kernel.graph.events import (
    AgentLogged,
    Event,
    NodeFinished,
    NodeRetried,
    NodeStarted,
    Resources,
    RunFinished,
    RunStarted,
    StreamChunk,
)
from dify_kernel.graph.log import NullLog, RunLog
from dify_kernel.graph.output import Output, OutputMap
from dify_kernel.graph.plan import DEFAULT_VALUE, FAIL_BRANCH, Plan, PlanNode
from dify_kernel.graph.pool import Pool, Selector
from dify_kernel.graph.values import plain

__all__ = ["Engine", "RunLimits", "RunOutcome"]

Sink = Callable[[Event], None]

#: Inline nodes in a row before other tasks of the process get their turn.
_TURN = 50


class RunLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one run: node starts, and seconds."""

    max_steps: int = 500
    max_time: float = 1200.0


class RunOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: the terminal event, and what its answers streamed."""

    event: RunFinished
    usage: Usage
    resources: list[dict[str, Any]]


class _Failed(Exception):
    """Ends the run: a node failed without a strategy, or a limit was reached."""

    def __init__(self, error: str, error_type: str, status: str = "failed", *, node: bool = False) -> None:
        super().__init__(error)
        self.error, self.error_type, self.status, self.node = error, error_type, status, node


class Engine:
    """One run of a plan. Build it, then `await run()` once; `stop()` may come from anywhere on the same loop.

    `sink` sees every event in order, chunks included; it must not block. The log is flushed before the successors of an
    effectful node start and before the terminal event is shown.
    """

    def __init__(
        self,
        plan: Plan,
        pool: Pool,
        *,
        run: RunInfo,
        ports: Ports,
        sink: Sink,
        log: RunLog | None = None,
        limits: Limits | None = None,
        run_limits: RunLimits | None = None,
        output_map: OutputMap | None = None,
    ) -> None:
        self.plan, self.pool, self.run_info = plan, pool, run
        self._ports, self._sink = ports, sink
        self._log: RunLog = log or NullLog()
        self._limits, self._run_limits = limits or Limits(), run_limits or RunLimits()
        self._output = Output(output_map or OutputMap(plan), pool, self._send_chunk)
        self._pending = [len(node.incoming) for node in plan.nodes]
        self._taken = [0] * len(plan.nodes)
        self._ready: deque[int] = deque([plan.root])
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._results: dict[int, dict[str, Any]] = {}
        self._wake = asyncio.Event()
        self._stop: _Failed | None = None
        self._id_prefix = _id_prefix(run.run_id, "")
        self._seq = self._offset = self._steps = self._exceptions = 0
        self._dirty = False
        self._started = 0.0
        self._usage = Usage()
        self._resources: list[dict[str, Any]] = []

    # -- driving ----------------------------------------------------------------------------------------------

    async def run(self, inputs: Mapping[str, Any] | None = None) -> RunOutcome:
        """Run to the end and return how it ended; raises only when the log fails or the task is cancelled.

        `inputs` is shown in the first event; the values themselves are in the pool already.
        """
        self._started = time.monotonic()
        alarm = asyncio.get_running_loop().call_later(self._run_limits.max_time, self._wake.set)
        self._emit(RunStarted(inputs=self._show(dict(inputs or {})), variables=self.pool.dump()))
        try:
            await self._drive()
            status = "partial-succeeded" if self._exceptions else "succeeded"
            finished = self._finish(status, outputs=self._run_outputs())
        except _Failed as exc:
            if exc.node:
                self._finish_ready()
            finished = self._finish(exc.status, outputs=self._run_outputs(), error=exc.error, error_type=exc.error_type)
        finally:
            alarm.cancel()
            await self._cancel_tasks()
        finished.seq, finished.at = self._seq + 1, time.time()
        self._log.append(finished)
        await self._log.flush()
        self._sink(finished)
        return RunOutcome(event=finished, usage=self._usage, resources=self._resources)

    def stop(self, reason: str = "Stopped by user.", *, status: str = "stopped") -> None:
        """End the run soon; nodes that are running are cancelled. Harmless after the end."""
        if self._stop is None:
            self._stop = _Failed(reason, "Stopped", status)
            self._wake.set()

    async def _drive(self) -> None:
        deadline = self._started + self._run_limits.max_time
        turn = 0
        while True:
            self._check_limits(deadline)
            if self._dirty and self._ready:
                await self._log.flush()
                self._dirty = False
            while self._ready and not self._dirty:
                self._start(self._ready.popleft())
                turn += 1
                if turn % _TURN == 0:
                    await asyncio.sleep(0)
                if self._stop is not None or self._steps > self._run_limits.max_steps or turn % _TURN == 0:
                    self._check_limits(deadline)
            if self._ready:
                continue
            if not self._tasks:
                return
            self._wake.clear()
            await self._wake.wait()

    def _check_limits(self, deadline: float) -> None:
        if self._stop is not None:
            raise self._stop
        limits = self._run_limits
        if self._steps > limits.max_steps:
            raise _Failed(f"Maximum execution steps exceeded: {self._steps} > {limits.max_steps}", "RunLimitError")
        if time.monotonic() > deadline:
            elapsed = time.monotonic() - self._started
            raise _Failed(f"Maximum execution time exceeded: {elapsed:.2f}s > {limits.max_time:g}s", "RunLimitError")

    def _finish_ready(self) -> None:
        """Run the inline nodes that were due when the run failed, so that the outcome does not hang on their order."""
        for index in [index for index in self._ready if self.plan.nodes[index].inline]:
            try:
                self._start(index)
            except _Failed:
                continue  # the first failure is the run's
        self._ready.clear()

    async def _cancel_tasks(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    # -- one node ---------------------------------------------------------------------------------------------

    def _start(self, index: int) -> None:
        node = self.plan.nodes[index]
        self._steps += 1
        number = self._steps
        execution_id = f"{self._id_prefix}{index:012x}"
        self._emit(
            NodeStarted(execution_id=execution_id, node_id=node.id, node_type=node.type, title=node.title, index=number)
        )
        ctx = NodeContext(
            run=self.run_info,
            node_id=node.id,
            execution_id=execution_id,
            pool=self.pool,
            ports=self._ports,
            limits=self._limits,
        )
        if node.inline:
            started = time.time()
            self._settle(node, ctx, number, _evaluate(node.node, ctx), started, retries=0)
        else:
            self._tasks[index] = asyncio.create_task(self._work(node, ctx, number))

    async def _work(self, node: PlanNode, ctx: NodeContext, number: int) -> None:
        """All attempts of one effectful node."""
        started = time.time()
        result = NodeResult()
        retries = 0
        try:
            while True:
                result = await self._attempt(node, ctx)
                if result.status is not NodeStatus.FAILED or ctx.attempt + 1 >= node.retry.attempts:
                    break
                retries = ctx.attempt + 1
                self._retry(node, ctx, number, result, started)
                await asyncio.sleep(max(node.retry.retry_interval, 0) / 1000)
                ctx.attempt += 1
                self._steps += 1
            self._settle(node, ctx, number, result, started, retries=retries)
            self._dirty = True
        except _Failed as exc:
            self._stop = self._stop or exc
        except Exception as exc:
            self._stop = self._stop or _Failed(f"The engine failed at node {node.id}: {exc}", type(exc).__name__)
        finally:
            self._tasks.pop(node.index, None)
            self._wake.set()

    async def _attempt(self, node: PlanNode, ctx: NodeContext) -> NodeResult:
        result: NodeResult | None = None
        try:
            async for delta in node.node.run(ctx):
                if isinstance(delta, TextDelta):
                    self._output.chunk(node, delta.name, delta.text)
                elif isinstance(delta, NodeResult):
                    result = delta
                elif isinstance(delta, RetrieverResources):
                    self._resources += delta.resources
                    self._emit(Resources(node_id=node.id, execution_id=ctx.execution_id, resources=delta.resources))
                elif isinstance(delta, AgentLog):
                    self._emit(
                        AgentLogged(node_id=node.id, execution_id=ctx.execution_id, log=msgspec.to_builtins(delta))
                    )
        except Exception as exc:
            return _failure(exc)
        if result is None:
            return NodeResult(
                status=NodeStatus.FAILED, error="The node ended without a result.", error_type="NodeFailed"
            )
        return result

    def _retry(self, node: PlanNode, ctx: NodeContext, number: int, result: NodeResult, started: float) -> None:
        self._output.discard(node)
        self._emit(
            NodeRetried(
                execution_id=ctx.execution_id,
                node_id=node.id,
                node_type=node.type,
                title=node.title,
                index=number,
                inputs=self._show(result.inputs),
                process_data=self._show(result.process_data),
                outputs=self._show(result.outputs),
                error=self._show(result.error),
                error_type=result.error_type,
                retry_index=ctx.attempt + 1,
                started_at=started,
                elapsed_time=time.time() - started,
            )
        )

    # -- settling ---------------------------------------------------------------------------------------------

    def _settle(
        self, node: PlanNode, ctx: NodeContext, number: int, result: NodeResult, started: float, *, retries: int
    ) -> None:
        """Take a node's result: values, streams, edges, then its event."""
        if result.status is NodeStatus.FAILED:
            self._apply_strategy(node, result)
        self._count(result)
        failed = result.status is NodeStatus.FAILED
        if not failed:
            self._store(node, result)
            self._output.node_settled(node.index)
            self._output.pump()
            self._take_edges(node, result.handle)
            self._output.pump()
        self._emit(
            NodeFinished(
                execution_id=ctx.execution_id,
                node_id=node.id,
                node_type=node.type,
                title=node.title,
                index=number,
                status=result.status.value,
                inputs=self._show(result.inputs),
                process_data=self._show(result.process_data),
                outputs=self._show(result.outputs),
                error=self._show(result.error),
                error_type=result.error_type,
                metadata=_metadata(result, node),
                handle=result.handle,
                retries=retries,
                started_at=started,
                updates=[(selector, self._show(value)) for selector, value in result.updates] if result.updates else [],
                elapsed_time=time.time() - started,
            )
        )
        if failed:
            raise _Failed(self._show(result.error), result.error_type, node=True)

    def _apply_strategy(self, node: PlanNode, result: NodeResult) -> None:
        self._exceptions += 1
        if not node.strategy:
            return
        self._output.discard(node)
        result.outputs = {
            **(node.defaults if node.strategy == DEFAULT_VALUE else {}),
            "error_message": result.error,
            "error_type": result.error_type,
        }
        result.handle = FAIL_BRANCH if node.strategy == FAIL_BRANCH else "source"
        result.status = NodeStatus.EXCEPTION

    def _count(self, result: NodeResult) -> None:
        if result.usage is not None:
            self._usage.add(result.usage)

    def _store(self, node: PlanNode, result: NodeResult) -> None:
        self.pool.update(node.id, result.outputs)
        for selector, value in result.updates:
            self.pool.set(selector[0], selector[1], value)
        if node.node.kind is NodeKind.RESPONSE:
            self._results[node.index] = result.outputs

    def _take_edges(self, node: PlanNode, handle: str) -> None:
        if not node.branching:
            for edge in node.outgoing:
                self._decide(edge, taken=True)
            return
        for edge in node.outgoing:
            self._decide(edge, taken=self.plan.edges[edge].handle == handle)

    def _decide(self, edge: int, *, taken: bool) -> None:
        """Settle an edge; a node whose last edge is settled starts, or is skipped with all that hangs on it."""
        stack = [(edge, taken)]
        while stack:
            current, took = stack.pop()
            target = self.plan.edges[current].target
            self._pending[target] -= 1
            if took:
                self._taken[target] += 1
                self._output.edge_taken(current)
            if self._pending[target] == 0:
                if self._taken[target]:
                    self._ready.append(target)
                else:
                    self._output.node_settled(target)
                    stack.extend((out, False) for out in reversed(self.plan.nodes[target].outgoing))

    # -- results ----------------------------------------------------------------------------------------------

    def _run_outputs(self) -> dict[str, Any]:
        """Ends in document order, later ones overwrite; answers concatenate in the order in which they streamed."""
        outputs: dict[str, Any] = {}
        answers: list[str] = []
        files: list[Any] = []
        streamed = self._output.order
        rest = [index for index in sorted(self._results) if index not in streamed]
        for index in sorted(self._results):
            if not self._answers(index):
                outputs.update(self._results[index])
        for index in [*streamed, *rest]:
            if index in self._results and self._answers(index):
                answers.append(str(self._results[index].get("answer", "")))
                files += self._results[index].get("files") or []
        if answers:
            outputs["answer"] = "".join(answers)
            outputs["files"] = files
        shown: dict[str, Any] = self._show(outputs)
        return shown

    def _answers(self, index: int) -> bool:
        return self.plan.nodes[index].type == "answer"

    def _finish(
        self, status: str, *, outputs: dict[str, Any] | None = None, error: str = "", error_type: str = ""
    ) -> RunFinished:
        return RunFinished(
            status=status,
            outputs=outputs or {},
            error=error,
            error_type=error_type,
            elapsed_time=time.monotonic() - self._started,
            total_tokens=self._usage.total_tokens,
            total_steps=self._steps,
            exceptions_count=self._exceptions,
            usage=msgspec.to_builtins(self._usage),
        )

    # -- events -----------------------------------------------------------------------------------------------

    def _emit(self, event: Event) -> None:
        self._seq += 1
        self._offset = 0
        event.seq, event.at = self._seq, time.time()
        self._log.append(event)
        self._sink(event)

    def _send_chunk(self, selector: Selector, text: str) -> None:
        self._offset += 1
        self._sink(
            StreamChunk(seq=self._seq, offset=self._offset, at=time.time(), selector=selector, text=self._show(text))
        )

    def _show(self, data: Any) -> Any:
        """Data as events carry it: files as mappings, secrets masked."""
        if not data:
            return data
        return self.pool.mask(plain(data)) if self.pool.secrets else plain(data)


def _evaluate(node: Any, ctx: NodeContext) -> NodeResult:
    inline: InlineNode = node
    try:
        return inline.evaluate(ctx)
    except Exception as exc:
        return _failure(exc)


def _failure(exc: Exception) -> NodeResult:
    """A failed result; our own errors say what happened, anything else is named by its class."""
    error = exc.description if isinstance(exc, DifyError) else str(exc) or type(exc).__name__
    return NodeResult(status=NodeStatus.FAILED, error=error, error_type=getattr(exc, "error_type", type(exc).__name__))


def _metadata(result: NodeResult, node: PlanNode) -> dict[str, Any]:
    metadata = dict(result.metadata)
    if result.usage is not None:
        metadata["total_tokens"] = result.usage.total_tokens
        metadata["total_price"] = result.usage.total_price
        metadata["currency"] = result.usage.currency
    if result.status is NodeStatus.EXCEPTION and node.strategy:
        metadata["error_strategy"] = node.strategy
    return metadata


def _id_prefix(run_id: str, scope: str) -> str:
    """The first four groups of the execution ids of one run (and scope in it); the node's index is the last.

    The same node of the same run gets the same id whoever runs it and however often: a UUID of version 8 (RFC 9562).
    """
    digest = blake2b(f"{run_id}/{scope}".encode(), digest_size=10).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[12:15]}-a{digest[15:18]}-"
