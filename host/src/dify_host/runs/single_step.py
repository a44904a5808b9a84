"""One node of a draft, tried alone: with the inputs that were sent, and what earlier tries left for the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from dify_kernel.contracts.node import Limits, NodeKind, RunInfo
from dify_kernel.contracts.ports import Ports
from dify_kernel.errors import BadInput, NotFound
from dify_kernel.graph.engine import Engine, RunLimits
from dify_kernel.graph.events import Event, NodeFinished, NodePaused, NodeStarted, RunFinished, RunPaused
from dify_kernel.graph.inputs import InputVariable, prepare_inputs
from dify_kernel.graph.plan import Plan, compile_plan
from dify_kernel.graph.pool import Pool
from dify_kernel.graph.single import needed_inputs, single_plan
from dify_kernel.graph.values import File, Value, ValueType, cast, infer
from dify_kernel.registry import Registry

from dify_host.apps.draft_variables import CONVERSATION, RESERVED, SYSTEM, DraftVariables
from dify_host.apps.records import NO_CHAT, AppRecord, Variable, WorkflowRecord
from dify_host.db.types import new_id
from dify_host.runs.draft_runs import remembered
from dify_host.runs.node_records import NodeRecords
from dify_host.runs.programs import ROOT_FORMS
from dify_host.runs.recorder import Creator

__all__ = ["SingleSteps", "Step", "StepInputs"]

#: Node types that take whatever is there of what they name.
_TOLERANT: Final = frozenset(("variable-aggregator", "variable-assigner"))
#: System variables that the draft's last run decides where the caller says nothing.
_KEPT: Final = ("query", "files", "conversation_id", "dialogue_count")
_INNER: Final = ("parentId", "iteration_id", "loop_id")


class StepInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller gives for a node: values by name, files resolved already, and the message in a chat."""

    values: dict[str, Any] = {}
    query: str = ""
    files: list[File] = []


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A node that is ready to run."""

    plan: Plan
    pool: Pool
    run: RunInfo
    shown: dict[str, Any] = {}


class SingleSteps:
    """Tries nodes for one member of a workspace; `ports` builds what nodes may reach, for that member."""

    def __init__(
        self,
        *,
        registry: Registry,
        ports: Callable[[RunInfo, Creator], Ports],
        limits: Limits,
        run_limits: RunLimits,
        variables: DraftVariables,
        records: NodeRecords,
        creator: Creator,
    ) -> None:
        self._registry, self._ports = registry, ports
        self._limits, self._run_limits = limits, run_limits
        self._variables, self._records, self._creator = variables, records, creator

    async def prepare(self, app: AppRecord, draft: WorkflowRecord, node_id: str, inputs: StepInputs) -> Step:
        """The node with its values; NotFound, InvalidGraph for its problems, BadInput for an input that is missing.

        The rest of the draft may be as unfinished as it likes.
        """
        plan = single_plan(compile_plan(_reduced(draft.graph, node_id), self._registry.node, root_id=node_id), node_id)
        await self._variables.declare(app.id, draft.conversation_variables)
        run = RunInfo(
            run_id=new_id(),
            tenant_id=app.tenant_id,
            app_id=app.id,
            workflow_id=draft.id,
            user_id=self._creator.id,
            conversation_id=new_id() if app.mode not in NO_CHAT else None,
            invoke_from="debugger",
        )
        pool = Pool()
        for item in draft.environment_variables:
            pool.set("env", item.name, _declared(item))
        await self._fill(pool, plan, run, inputs)
        shown = {name: value.data for name, value in pool.node(node_id).items()}
        return Step(plan=plan, pool=pool, run=run, shown=shown)

    async def run(self, step: Step, sink: Callable[[Event], None] | None = None) -> str:
        """Run it and return its execution id, by which its record is found, however it ended.

        What its nodes gave is recorded as `single-step`, and kept for the next try.
        """
        events: list[Event] = []

        def take(event: Event) -> None:
            events.append(event)
            if sink is not None:
                sink(event)

        engine = Engine(
            step.plan,
            step.pool,
            run=step.run,
            ports=self._ports(step.run, self._creator),
            sink=take,
            limits=self._limits,
            run_limits=self._run_limits,
        )
        try:
            await engine.run(step.shown)
        finally:
            ended = _ended(events)
            await self._records.add(step.run, self._creator, ended)
            await self._variables.remember(step.run.app_id, list(remembered(ended)))
        return next(event.execution_id for event in events if isinstance(event, NodeStarted))

    async def stream(self, step: Step, *, idle: float) -> AsyncIterator[list[Event]]:
        """Run it and give its events in batches, an empty one after `idle` seconds of silence.

        Whoever stops listening stops it. The last event comes when the records are there.
        """
        queue: asyncio.Queue[Event] = asyncio.Queue()
        task = asyncio.create_task(self.run(step, queue.put_nowait), name=f"step-{step.run.run_id}")
        try:
            while True:
                event = await _next(queue, idle)
                if isinstance(event, RunFinished | RunPaused):
                    await task
                yield [event] if event is not None else []
                if task.done() and queue.empty():
                    await task
                    return
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # -- values -----------------------------------------------------------------------------------------------

    async def _fill(self, pool: Pool, plan: Plan, run: RunInfo, inputs: StepInputs) -> None:
        node = plan.nodes[plan.root]
        needed = needed_inputs(plan)
        kept = await self._variables.values(run.app_id, {item.selector[0] for item in needed} | set(RESERVED))
        pool.update("sys", _system(run, inputs))
        for (owner, name), value in kept.items():
            if owner == CONVERSATION or (owner == SYSTEM and not getattr(inputs, name, name not in _KEPT)):
                pool.set(owner, name, value)
        if node.node.kind is NodeKind.ROOT:
            form = ROOT_FORMS.get(node.type)
            if form is None:
                variables = getattr(node.node.config, "variables", None) or []
                form = msgspec.convert(variables, list[InputVariable])
            pool.update(node.id, prepare_inputs(form, inputs.values))
        for item in needed:
            owner, name = item.selector[0], item.selector[1]
            if item.given(inputs.values):
                _put(pool, item.selector, item.value(inputs.values))
            elif pool.get(item.selector[:2]) is None and (owner, name) in kept:
                pool.set(owner, name, kept[owner, name])
            if pool.get(item.selector[:2]) is None and node.type not in _TOLERANT:
                raise BadInput(f"Variable key {item.key} not found in user inputs.", variable=item.key)


def _ended(events: Sequence[Event]) -> list[NodeFinished]:
    """How each node ended: one that waits for somebody is `paused`, one that had no time to end is `failed`."""
    last = events[-1] if events else None
    error = last.error if isinstance(last, RunFinished) else ""
    found: dict[str, NodeFinished] = {}
    for event in events:
        if isinstance(event, NodeFinished):
            found[event.execution_id] = event
        elif isinstance(event, NodeStarted):
            found[event.execution_id] = _unfinished(event, "failed", event.at, error=error or "stopped")
        elif isinstance(event, NodePaused):
            started = found.get(event.execution_id)
            at = started.started_at if started else event.at
            found[event.execution_id] = _unfinished(event, "paused", at, outputs=event.data)
    return list(found.values())


def _unfinished(event: NodeStarted | NodePaused, status: str, at: float, **more: Any) -> NodeFinished:
    return NodeFinished(
        execution_id=event.execution_id,
        node_id=event.node_id,
        node_type=event.node_type,
        title=event.title,
        scope=event.scope,
        status=status,
        started_at=at,
        **more,
    )


async def _next(queue: asyncio.Queue[Event], idle: float) -> Event | None:
    try:
        return await asyncio.wait_for(queue.get(), idle)
    except TimeoutError:
        return None


def _system(run: RunInfo, inputs: StepInputs) -> dict[str, Any]:
    system: dict[str, Any] = {"user_id": run.user_id, "app_id": run.app_id, "workflow_id": run.workflow_id}
    system["workflow_run_id"] = run.run_id
    system["files"] = Value(ValueType.ARRAY_FILE, list(inputs.files))
    if run.conversation_id is None:
        return {**system, "timestamp": int(time.time())}
    return {**system, "query": inputs.query, "conversation_id": run.conversation_id, "dialogue_count": 1}


def _put(pool: Pool, selector: Sequence[str], data: Any) -> None:
    """Set a variable; of a deeper reference the object around what was sent."""
    for part in reversed(selector[2:]):
        data = {part: data}
    found = pool.get(selector[:2])
    if len(selector) > 2 and found is not None and isinstance(found.data, dict) and isinstance(data, dict):
        data = {**found.data, **data}
    pool.set(selector[0], selector[1], data)


def _declared(item: Variable) -> Value:
    try:
        return cast(item.value, item.value_type)
    except ValueError:
        return infer(item.value)


# -- the node out of its graph ------------------------------------------------------------------------------------


def _reduced(graph: Mapping[str, Any], node_id: str) -> dict[str, Any]:
    """The graph of this node and those inside it; it stands in no container any more. NotFound."""
    nodes = [item for item in graph.get("nodes") or [] if isinstance(item, dict)]
    mine = next((item for item in nodes if str(item.get("id")) == node_id), None)
    if mine is None:
        raise NotFound(f"The draft has no node {node_id!r}.", node_id=node_id)
    data = {key: value for key, value in (mine.get("data") or {}).items() if key not in _INNER}
    alone = {key: value for key, value in mine.items() if key not in _INNER} | {"data": data}
    inner = list(_inside(nodes, node_id))
    ids = {str(item.get("id")) for item in inner}
    edges = [
        edge
        for edge in graph.get("edges") or []
        if isinstance(edge, dict) and str(edge.get("source")) in ids and str(edge.get("target")) in ids
    ]
    return {"nodes": [alone, *inner], "edges": edges}


def _inside(nodes: Sequence[Mapping[str, Any]], node_id: str) -> Iterator[Mapping[str, Any]]:
    for item in nodes:
        data = item.get("data")
        places = [item.get("parentId"), *((data.get(key) for key in _INNER) if isinstance(data, dict) else ())]
        if node_id in places and str(item.get("id")) != node_id:
            yield item
            yield from _inside([other for other in nodes if other is not item], str(item.get("id")))
