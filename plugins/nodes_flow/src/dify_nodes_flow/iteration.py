"""The iteration node: its inside runs once for each item of a list, one after another or side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from dify_kernel.contracts.node import (
    ContainerNode,
    ContainerStarted,
    Delta,
    NodeConfig,
    NodeContext,
    NodeResult,
    NodeStatus,
    Round,
    RoundStarted,
)
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.pool import Selector
from dify_kernel.graph.values import Value, ValueType, plain
from dify_kernel.settings import Doc

from dify_nodes_flow.rounds import costs

__all__ = ["IterationConfig", "IterationNode"]

TERMINATED = "terminated"
REMOVE = "remove-abnormal-output"


class IterationConfig(NodeConfig, kw_only=True):
    """The list, what is collected of each round, and what a failed round means."""

    start_node_id: Annotated[str | None, Doc("The node inside where a round begins.")] = None
    iterator_selector: Annotated[list[str], Doc("The list to go over.")] = []
    output_selector: Annotated[list[str], Doc("The variable inside that each round gives.")] = []
    is_parallel: Annotated[bool | None, Doc("Whether rounds run side by side.")] = False
    parallel_nums: Annotated[int | None, Doc("How many rounds run at a time when they run side by side.")] = 10
    error_handle_mode: Annotated[
        Literal["terminated", "continue-on-error", "remove-abnormal-output"] | None,
        Doc("A failed round fails the node, gives null, or is left out."),
    ] = "terminated"
    flatten_output: Annotated[bool | None, Doc("Whether lists that the rounds give are joined to one.")] = True


class IterationNode(ContainerNode):
    """Gives `output`, the list of what the rounds gave, in the order of the items.

    Inside, `item` and `index` stand under the node's id. A round sees the values outside, and changes none of them but
    variables of the conversation.
    """

    type = "iteration"
    Config = IterationConfig
    config: IterationConfig

    def selectors(self) -> list[Selector]:
        """The list."""
        return [tuple(self.config.iterator_selector)] if self.config.iterator_selector else []

    def start_node_id(self) -> str:
        """Where a round begins."""
        return self.config.start_node_id or ""

    def problems(self) -> list[str]:
        """Selectors that are missing."""
        found = []
        if len(self.config.iterator_selector) < 2:
            found.append("No list is chosen to go over (`iterator_selector`).")
        if len(self.config.output_selector) < 2:
            found.append("No variable is chosen that each round gives (`output_selector`).")
        return found

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """Go over the list; nothing happens, and nobody hears of it, when it is empty."""
        items = self._items(ctx)
        inputs = {"iterator_selector": plain(items)}
        if not items:
            yield NodeResult(outputs={"output": Value(ValueType.ARRAY_ANY, [])}, inputs=inputs)
            return
        yield ContainerStarted(inputs=inputs, metadata={"iteration_length": len(items)})
        rounds: dict[int, Round] = {}
        if self.config.is_parallel:
            for index in range(len(items)):
                yield RoundStarted(index)
            rounds = await ctx.body.run_many(
                [{"item": item, "index": index} for index, item in enumerate(items)],
                at_once=max(self.config.parallel_nums or 10, 1),
                stop_at_failure=self._terminates,
            )
        else:
            for index, item in enumerate(items):
                yield RoundStarted(index)
                rounds[index] = await ctx.body.run(index, {"item": item, "index": index}, isolated=True)
                if self._terminates and rounds[index].status is NodeStatus.FAILED:
                    break
        yield self._result(len(items), rounds, inputs)

    @property
    def _terminates(self) -> bool:
        return (self.config.error_handle_mode or TERMINATED) == TERMINATED

    def _items(self, ctx: NodeContext) -> list[Any]:
        selector = self.config.iterator_selector
        found = ctx.get(selector)
        if found is None:
            raise NodeFailed(
                f"iterator variable {selector} not found", error_type="IteratorVariableNotFoundError", node_id=self.id
            )
        if found.data is None:
            return []
        if not isinstance(found.data, list):
            raise NodeFailed(
                f"invalid iterator value: {plain(found.data)}, please provide a list.",
                error_type="InvalidIteratorValueError",
                node_id=self.id,
            )
        return found.data

    def _result(self, length: int, rounds: dict[int, Round], inputs: dict[str, Any]) -> NodeResult:
        metadata = {**costs("iteration", rounds), "steps": length}
        failed = next((round for _, round in sorted(rounds.items()) if round.status is NodeStatus.FAILED), None)
        if failed is not None and self._terminates:
            given: list[Any] = [None] * length
            if not self.config.is_parallel:
                given = [self._given(round) for round in rounds.values() if round is not failed]
            return NodeResult(
                status=NodeStatus.FAILED,
                error=failed.error,
                error_type="IterationNodeError",
                outputs={"output": given},
                inputs=inputs,
                metadata=metadata,
            )
        removes = self.config.error_handle_mode == REMOVE
        outputs = [
            self._given(rounds[index])
            for index in range(length)
            if not (removes and rounds[index].status is NodeStatus.FAILED)
        ]
        return NodeResult(outputs={"output": self._flat(outputs)}, inputs=inputs, metadata=metadata)

    def _given(self, round: Round) -> Any:
        """What a round gave: null when it failed, or did not come to the variable."""
        if round.status is NodeStatus.FAILED:
            return None
        value = round.pool.get(self.config.output_selector)
        return value.data if value is not None else None

    def _flat(self, outputs: list[Any]) -> list[Any]:
        lists = [item for item in outputs if item is not None]
        if self.config.flatten_output is False or not lists or not all(isinstance(item, list) for item in lists):
            return outputs
        return [item for found in lists for item in found]
