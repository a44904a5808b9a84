"""One graph under way: which of its nodes are due, running, settled. A run is one, each round of a container another.

Inline nodes are called in place; the others run in a task each and call back, so that no queue stands between a token
and its event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dify_kernel.contracts.model import Usage
from dify_kernel.contracts.node import (
    AgentLog,
    ContainerStarted,
    Delta,
    NodeContext,
    NodeKind,
    NodeResult,
    NodeStatus,
    Pause,
    RetrieverResources,
    RoundStarted,
    TextDelta,
)
from dify_kernel.errors import LogError, PlatformUnavailable
from dify_kernel.graph.endings import FramePaused, LogBroken, NodeBroke, RunEnded
from dify_kernel.graph.events import (
    AgentLogged,
    ContainerBegun,
    NodeFinished,
    NodePaused,
    NodeRetried,
    NodeStarted,
    Resources,
    RoundBegun,
    Scope,
)
from dify_kernel.graph.output import Output, OutputMap
from dify_kernel.graph.plan import DEFAULT_VALUE, FAIL_BRANCH, PlanNode
from dify_kernel.graph.pool import Pool, Selector
from dify_kernel.graph.replay import recorded_result
from dify_kernel.graph.results import evaluate, failure, finished_event

if TYPE_CHECKING:
    from dify_kernel.graph.engine import Engine

__all__ = ["Frame", "Send"]

Send = Callable[[Selector, str], None]

#: Inline nodes in a row before other tasks of the process get their turn.
_TURN = 50
_CONVERSATION = "conversation"
#: Members by a name of their own: finding one in its enumeration takes longer than all else that is done with it.
_FAILED: Final = NodeStatus.FAILED
_RESPONSE: Final = NodeKind.RESPONSE


class Frame:
    """The state of one graph. `replay` takes over what the log knows, then `drive` goes on to the end, once.

    Its tasks are the only writers of its pool. `container` and `scope` are those of a round; `outer` are the pools that
    get conversation variables too.
    """

    def __init__(
        self,
        run: Engine,
        map: OutputMap,
        pool: Pool,
        send: Send,
        *,
        container: PlanNode | None = None,
        scope: Scope = (),
        outer: tuple[Pool, ...] = (),
    ) -> None:
        self.run, self.map, self.plan, self.pool = run, map, map.plan, pool
        self.container, self.scope, self.outer = container, scope, outer
        self.output = Output(map, pool, send)
        self.results: dict[int, dict[str, Any]] = {}
        self.ran: set[str] = set()
        self.exceptions = 0
        #: Containers whose rounds share the pool of this frame.
        self.shared: set[int] = set()
        self.usage = Usage()
        self._waiting = False
        self._pending = list(map.incoming)
        self._taken = [0] * len(self.plan.nodes)
        #: Hardly ever more than a few, and a run that waits keeps it: a deque is ten times its size.
        self._ready = [self.plan.root]
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._broke: NodeBroke | None = None
        self._idle: asyncio.Future[None] | None = None
        self._prefix = run.id_prefix(scope)
        self._fresh = not run.history.events
        self.place = (
            {f"{container.type}_id": container.id, f"{container.type}_index": scope[-1][1]} if container else {}
        )

    # -- driving ----------------------------------------------------------------------------------------------

    async def drive(self) -> None:
        """Run what is left. Raises NodeBroke, FramePaused, RunEnded, LogBroken, always without a task left behind."""
        try:
            await self._loop()
        except NodeBroke:
            self._finish_ready()
            self.run.stop_waiting(self.scope)
            raise
        finally:
            if self._tasks:
                await self._cancel_tasks()
        if self._waiting:
            raise FramePaused

    def wake(self) -> None:
        """Look again at what is to do."""
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _loop(self) -> None:
        run, nodes, turn = self.run, self.plan.nodes, 0
        while True:
            run.check()
            if self._broke is not None:
                raise self._broke
            while self._ready:
                if not nodes[self._ready[0]].inline and run.owes_barrier:
                    await run.barrier()
                    run.check()
                self._start(self._ready.pop(0))
                turn += 1
                if turn % _TURN == 0:
                    await asyncio.sleep(0)
                if turn % _TURN == 0 or run.ending is not None:
                    run.check()
            if self._broke is not None:
                continue
            if not self._tasks:
                return
            run.idle()
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def _finish_ready(self) -> None:
        """Run what is due without waiting when a node has failed, so that the outcome does not hang on their order."""
        while self._ready:
            index = self._ready.pop(0)
            if self.plan.nodes[index].inline:
                with suppress(NodeBroke):  # the first failure counts
                    self._start(index)

    async def _cancel_tasks(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    # -- what the log knows -----------------------------------------------------------------------------------

    def replay(self) -> None:
        """Settle the nodes that have ended before, in order; `drive` then raises what broke the graph."""
        for event in self.run.history.finished(self.scope):
            try:
                if event.scope == self.scope:
                    self._replay(event)
                else:
                    self._take_from_round(event)
            except NodeBroke as exc:
                self._broke = self._broke or exc  # others may have ended after it

    def adopt(self, event: NodeFinished) -> None:
        """Take over the result that the same node had in another run, as an event of this one."""
        node = self._due(event)
        started = self.run.node_starts(node, self.execution_id(node), self.scope)
        place = {"execution_id": started.execution_id, "index": started.index}
        self.run.emit(msgspec.structs.replace(event, **place, at=0.0, started_at=started.at, elapsed_time=0.0))
        self._replay(event)

    def _replay(self, event: NodeFinished) -> None:
        node = self._due(event)
        self._ready.remove(node.index)
        result = recorded_result(event, self.pool)
        if event.usage:
            usage = msgspec.convert(event.usage, Usage, strict=False)
            self.usage.add(usage)
            if not self.scope:  # the run has counted those of its rounds
                self.run.usage.add(usage)
        self.output.restore(node.index, event.said)
        if result.status is _FAILED:
            self.exceptions += 1
            self.output.pump()
            raise NodeBroke(result.error, result.error_type)
        self.exceptions += result.status is NodeStatus.EXCEPTION
        if event.left is not None:
            self._take_left(event)
        if self.scope:  # the run has set these in the order of the log
            result.updates = [item for item in result.updates if item[0][0] != _CONVERSATION]
        self._advance(node, result)

    def _take_from_round(self, event: NodeFinished) -> None:
        """Count what a node of a round used, and set what it wrote to the conversation; the rest is the round's."""
        if event.usage:
            self.run.usage.add(msgspec.convert(event.usage, Usage, strict=False))
        for selector, value in recorded_result(event, self.pool).updates:
            if selector[0] == _CONVERSATION:
                self.pool.set(selector[0], selector[1], value)

    def _take_left(self, container: NodeFinished) -> None:
        """Set what the last round of a container left among the values that it shared."""
        for event in self.run.history.last_round(container):
            if event.status == NodeStatus.FAILED.value:
                continue
            if event.left is not None:
                self._take_left(event)
            result = recorded_result(event, self.pool)
            self.pool.update(event.node_id, result.outputs)
            for selector, value in result.updates:
                if selector[0] != _CONVERSATION:
                    self.pool.set(selector[0], selector[1], value)
        left = container.left or {}
        self.pool.update(container.node_id, self.pool.unmask(left) if container.masked else left)

    def _due(self, event: NodeFinished) -> PlanNode:
        while True:
            found = next((index for index in self._ready if self.plan.nodes[index].id == event.node_id), None)
            if found is not None:
                return self.plan.nodes[found]
            silent = next((index for index in self._ready if self.plan.nodes[index].node.silent), None)
            if silent is None:
                raise LogError(f"The log says that {event.node_id} ended, but the graph has not come to it.")
            self._ready.remove(silent)
            self._start(silent)

    # -- one node ---------------------------------------------------------------------------------------------

    def execution_id(self, node: PlanNode) -> str:
        """The same for the same node of the same run and round, whoever runs it and however often."""
        return f"{self._prefix}{node.index:012x}"

    def _start(self, index: int) -> None:
        node, run = self.plan.nodes[index], self.run
        execution_id = f"{self._prefix}{index:012x}"
        ctx = NodeContext(
            run=run.run_info,
            node_id=node.id,
            execution_id=execution_id,
            pool=self.pool,
            ports=run.ports,
            limits=run.limits,
            inside=run.body(self, node) if node.body is not None else None,
        )
        known: NodeStarted | None = None
        if not self._fresh:
            ctx.attempt = run.history.attempts.get(execution_id, 0)
            ctx.answer = run.history.answers.get(execution_id)
            known = run.history.started.get(execution_id)
        if node.node.silent:
            self._settle_silent(node, ctx)
            return
        if known is None:
            started = run.node_starts(node, execution_id, self.scope)
            number, began = started.index, started.at
        else:
            number, began = known.index, time.time()
        if node.inline:
            self._settle(node, ctx, number, evaluate(node.node, ctx), began)
        else:
            self._tasks[index] = asyncio.create_task(self._work(node, ctx, number))

    def _settle_silent(self, node: PlanNode, ctx: NodeContext) -> None:
        result = evaluate(node.node, ctx)
        if result.status is _FAILED:
            raise NodeBroke(result.error, result.error_type)
        self._advance(node, result)

    async def _work(self, node: PlanNode, ctx: NodeContext, number: int) -> None:
        """All attempts of one effectful node."""
        started = time.time()
        try:
            while True:
                result = await self._attempt(node, ctx)
                if result is None:
                    self._waiting = True
                    return
                if result.status is not _FAILED or ctx.attempt + 1 >= node.retry.attempts:
                    break
                self._retry(node, ctx, number, result, started)
                await asyncio.sleep(max(node.retry.retry_interval, 0) / 1000)
                ctx.attempt += 1
            self._settle(node, ctx, number, result, started)
        except NodeBroke as exc:
            self._broke = self._broke or exc
        except FramePaused:
            self._waiting = True
        except (RunEnded, LogBroken) as exc:
            self.run.end(exc)
        except Exception as exc:
            self.run.end(RunEnded(f"The engine failed at node {node.id}: {exc}", type(exc).__name__))
        finally:
            self._tasks.pop(node.index, None)
            self.wake()

    async def _attempt(self, node: PlanNode, ctx: NodeContext) -> NodeResult | None:
        """One attempt; None when the node waits for somebody."""
        result: NodeResult | None = None
        try:
            async for delta in node.node.run(ctx):
                if isinstance(delta, TextDelta):
                    self.output.chunk(node, delta.name, delta.text)
                elif isinstance(delta, NodeResult):
                    result = delta
                elif isinstance(delta, Pause):
                    self._pause(node, ctx, delta)
                    return None
                else:
                    self._tell(node, ctx, delta)
        except PlatformUnavailable as exc:
            raise LogBroken(exc) from exc  # the node did not fail: another process tries it when that is back
        except Exception as exc:
            return failure(exc)
        if result is None:
            return NodeResult(
                status=NodeStatus.FAILED, error="The node ended without a result.", error_type="NodeFailed"
            )
        return result

    def _tell(self, node: PlanNode, ctx: NodeContext, delta: Delta) -> None:
        """What a node says while it runs, as an event; what the log has of a container is not said again."""
        run, execution_id = self.run, ctx.execution_id
        place: dict[str, Any] = {"node_id": node.id, "execution_id": execution_id, "scope": self.scope}
        if isinstance(delta, RetrieverResources):
            run.resources += delta.resources
            run.emit(Resources(resources=delta.resources, **place))
        elif isinstance(delta, AgentLog):
            run.emit(AgentLogged(log=run.show(msgspec.to_builtins(delta)), **place))
        elif isinstance(delta, ContainerStarted) and execution_id not in run.history.begun:
            run.emit(
                ContainerBegun(
                    node_type=node.type,
                    title=node.title,
                    inputs=run.show(delta.inputs),
                    metadata=delta.metadata,
                    **place,
                )
            )
        elif isinstance(delta, RoundStarted) and (execution_id, delta.index) not in run.history.rounds:
            run.emit(RoundBegun(node_type=node.type, title=node.title, index=delta.index, **place))
        self.wake()

    def _pause(self, node: PlanNode, ctx: NodeContext, pause: Pause) -> None:
        run = self.run
        run.waiting[ctx.execution_id] = self.scope
        if ctx.execution_id in run.history.paused and ctx.answer is None:
            return
        run.emit(
            NodePaused(
                execution_id=ctx.execution_id,
                node_id=node.id,
                node_type=node.type,
                title=node.title,
                scope=self.scope,
                type=pause.type,
                data=run.show(pause.data),
                expires_at=None if pause.expires_in is None else time.time() + pause.expires_in,
            )
        )

    def _retry(self, node: PlanNode, ctx: NodeContext, number: int, result: NodeResult, started: float) -> None:
        self.output.discard(node)
        self.run.step(self.scope)
        show = self.run.show
        self.run.emit(
            NodeRetried(
                execution_id=ctx.execution_id,
                node_id=node.id,
                node_type=node.type,
                title=node.title,
                index=number,
                scope=self.scope,
                inputs=show(result.inputs),
                process_data=show(result.process_data),
                outputs=show(result.outputs),
                error=show(result.error),
                error_type=result.error_type,
                retry_index=ctx.attempt + 1,
                started_at=started,
                elapsed_time=time.time() - started,
            )
        )
        self.wake()

    # -- settling ---------------------------------------------------------------------------------------------

    def _settle(self, node: PlanNode, ctx: NodeContext, number: int, result: NodeResult, started: float) -> None:
        """Take a node's result: values, streams, edges, then its event."""
        failed = result.status is _FAILED
        if failed:
            self._apply_strategy(node, result)
            failed = result.status is _FAILED
        if result.usage is not None:
            self._count(result.usage)
        if node.body is not None:
            self.run.stop_waiting(self.scope, node.id)
        if not failed:
            self._advance(node, result)
        self.run.emit(finished_event(self, node, ctx, number, result, started))
        if not node.inline:
            self.run.owe_barrier()
        if failed:
            raise NodeBroke(self.run.show(result.error), result.error_type)

    def _apply_strategy(self, node: PlanNode, result: NodeResult) -> None:
        self.exceptions += 1
        if not node.strategy:
            return
        self.output.discard(node)
        result.outputs = {
            **(node.defaults if node.strategy == DEFAULT_VALUE else {}),
            "error_message": result.error,
            "error_type": result.error_type,
        }
        result.handle = FAIL_BRANCH if node.strategy == FAIL_BRANCH else "source"
        result.status = NodeStatus.EXCEPTION

    def _count(self, usage: Usage) -> None:
        self.usage.add(usage)
        self.run.usage.add(usage)

    def _advance(self, node: PlanNode, result: NodeResult) -> None:
        """Keep what a node gave, and go over its edges."""
        self.ran.add(node.type)
        self.pool.update(node.id, result.outputs)
        for selector, value in result.updates:
            self.pool.set(selector[0], selector[1], value)
            if selector[0] == _CONVERSATION:
                for pool in self.outer:
                    pool.set(selector[0], selector[1], value)
        if node.node.kind is _RESPONSE:
            self.results[node.index] = result.outputs
        output = self.output
        output.node_settled(node.index)
        if output.news:
            output.pump()
        if node.branching:
            edges, handle = self.plan.edges, result.handle
            for edge in node.outgoing:
                self._decide(edge, taken=edges[edge].handle == handle)
        else:
            for edge in node.outgoing:
                self._decide(edge)
        if output.news:
            output.pump()

    def _decide(self, edge: int, *, taken: bool = True) -> None:
        """Settle an edge; a node whose last edge is settled starts, or is skipped with all that hangs on it."""
        target, pending = self.plan.edges[edge].target, self._pending
        if taken:
            self._taken[target] += 1
            if self.output.uncertain:
                self.output.edge_taken(edge)
        pending[target] -= 1
        if pending[target]:
            return
        if self._taken[target]:
            self._ready.append(target)
        else:
            self._skip(target)

    def _skip(self, index: int) -> None:
        self.output.node_settled(index)
        nodes, edges = self.plan.nodes, self.plan.edges
        stack = list(reversed(nodes[index].outgoing))
        while stack:
            target = edges[stack.pop()].target
            self._pending[target] -= 1
            if self._pending[target]:
                continue
            if self._taken[target]:
                self._ready.append(target)
            else:
                self.output.node_settled(target)
                stack.extend(reversed(nodes[target].outgoing))
