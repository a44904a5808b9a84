"""What a node ended with: made from its code or its failure, and told as an event."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dify_kernel.contracts.node import InlineNode, NodeContext, NodeResult, NodeStatus
from dify_kernel.errors import DifyError
from dify_kernel.graph.events import NodeFinished
from dify_kernel.graph.plan import PlanNode
from dify_kernel.graph.replay import update_name
from dify_kernel.graph.values import Value, plain

if TYPE_CHECKING:
    from dify_kernel.graph.frame import Frame

__all__ = ["evaluate", "failure", "finished_event"]

_SUCCEEDED: Final = NodeStatus.SUCCEEDED


def finished_event(
    frame: Frame, node: PlanNode, ctx: NodeContext, number: int, result: NodeResult, started: float
) -> NodeFinished:
    """The event of a settled node, with all that a replay needs to settle it again."""
    now, outputs = time.time(), result.outputs
    show = frame.run.show if frame.pool.secrets else plain
    # What is seldom there is put in afterwards: most nodes are small, and a run has many.
    event = NodeFinished(
        execution_id=ctx.execution_id,
        node_id=node.id,
        node_type=node.type,
        title=node.title,
        index=number,
        outputs=show(outputs) if outputs else outputs,
        handle=result.handle,
        started_at=started,
        at=now,
        elapsed_time=now - started,
    )
    if result.inputs:
        event.inputs = show(result.inputs)
    if result.process_data:
        event.process_data = show(result.process_data)
    if result.status is not _SUCCEEDED or result.usage is not None or frame.place:
        _tell_how(event, frame, node, result)
    elif result.metadata:
        event.metadata = result.metadata
    if frame.scope:
        event.scope = frame.scope
    if ctx.attempt:
        event.retries = ctx.attempt
    if result.updates or (outputs and Value in map(type, outputs.values())):
        event.updates = [(selector, show(value)) for selector, value in result.updates]
        event.types = _types(result)
    if node.body is not None or frame.shared or frame.pool.secrets:
        _tell_values(event, frame, node, result)
    return event


def _tell_how(event: NodeFinished, frame: Frame, node: PlanNode, result: NodeResult) -> None:
    """Status, error, usage, and what is told beside them."""
    event.status = result.status.value
    event.metadata = _metadata(frame, result, node)
    if result.error or result.error_type:
        event.error, event.error_type = frame.run.show(result.error), result.error_type
    if result.usage is not None:
        event.usage = msgspec.to_builtins(result.usage)


def _tell_values(event: NodeFinished, frame: Frame, node: PlanNode, result: NodeResult) -> None:
    """What a container said and left, and whether secrets are hidden in the values."""
    if node.body is not None:
        event.said = frame.output.said(node.index)
    left: dict[str, Any] = {}
    if node.index in frame.shared:
        named = frame.pool.node(node.id)
        left = {name: value.data for name, value in named.items() if name not in result.outputs}
        event.left = frame.run.show(left)
    if frame.pool.secrets:
        event.masked = frame.run.masking([result.outputs, [value for _, value in result.updates], left])


def _metadata(frame: Frame, result: NodeResult, node: PlanNode) -> dict[str, Any]:
    metadata = {**result.metadata, **frame.place}
    if result.usage is not None:
        metadata["total_tokens"] = result.usage.total_tokens
        metadata["total_price"] = result.usage.total_price
        metadata["currency"] = result.usage.currency
    if result.status is NodeStatus.EXCEPTION and node.strategy:
        metadata["error_strategy"] = node.strategy
    return metadata


def _types(result: NodeResult) -> dict[str, str]:
    """The types of values whose data alone would be taken for another."""
    found = {}
    for name, value in result.outputs.items():
        if isinstance(value, Value):
            found[name] = value.type.value
    for selector, value in result.updates:
        if isinstance(value, Value):
            found[update_name(selector)] = value.type.value
    return found


def evaluate(node: Any, ctx: NodeContext) -> NodeResult:
    """The result of an inline node, failed when it raises."""
    inline: InlineNode = node
    try:
        return inline.evaluate(ctx)
    except Exception as exc:
        return failure(exc)


def failure(exc: Exception) -> NodeResult:
    """A failed result; our own errors say what happened, anything else is named by its class."""
    error = exc.description if isinstance(exc, DifyError) else str(exc) or type(exc).__name__
    return NodeResult(status=NodeStatus.FAILED, error=error, error_type=getattr(exc, "error_type", type(exc).__name__))
