"""The loop node: its inside runs again and again, on variables of its own, until a condition holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
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
from dify_kernel.graph.conditions import (
    Condition,
    ConditionError,
    condition_problems,
    condition_selectors,
    evaluate,
)
from dify_kernel.graph.pool import Pool, Selector
from dify_kernel.graph.values import Value, plain
from dify_kernel.settings import Doc

from dify_nodes_flow.rounds import costs
from dify_nodes_flow.variables import LoopVariable, first_value, variable_problems

__all__ = ["LoopConfig", "LoopNode"]

END = "loop-end"
BREAK = "loop_break"


class LoopConfig(NodeConfig, kw_only=True):
    """How often at most, what ends it sooner, and the variables that its rounds share."""

    start_node_id: Annotated[str | None, Doc("The node inside where a round begins.")] = None
    loop_count: Annotated[int, Doc("How many rounds there are at most."), msgspec.Meta(ge=0)] = 10
    break_conditions: Annotated[list[Condition] | None, Doc("When they hold before or after a round, it ends.")] = None
    logical_operator: Annotated[str | None, Doc("`and` or `or` between the conditions.")] = "and"
    loop_variables: Annotated[list[LoopVariable] | None, Doc("Variables that rounds change by assigner nodes.")] = None


class LoopNode(ContainerNode):
    """Gives the last value of each loop variable, and `loop_round`, the number of rounds; nothing when there was none.

    Rounds share the values outside, and leave theirs there. A failed round fails the node.
    """

    type = "loop"
    Config = LoopConfig
    config: LoopConfig

    def __init__(self, node_id: str, config: LoopConfig) -> None:
        super().__init__(node_id, config)
        self._variables = config.loop_variables or []
        self._conditions = config.break_conditions or []

    def selectors(self) -> list[Selector]:
        """What variables begin with, and what conditions look at."""
        found = [tuple(item.selector) for item in self._variables if item.selector]
        return found + condition_selectors(self._conditions)

    def writes(self) -> list[Selector]:
        """Its own variables, also when there is no round that could change them."""
        return [(self.id, item.label) for item in self._variables]

    def start_node_id(self) -> str:
        """Where a round begins."""
        return self.config.start_node_id or ""

    def problems(self) -> list[str]:
        """Variables that cannot be, and conditions that nobody could decide."""
        operator = self.config.logical_operator or "and"
        return variable_problems(self._variables) + condition_problems(self._conditions, operator)

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """Run rounds until a condition holds, `loop-end` was reached, or all are done."""
        first = {item.label: first_value(item, ctx) for item in self._variables}
        shown = {name: plain(value.data) for name, value in first.items()}
        inputs = {"loop_count": self.config.loop_count, **shown}
        yield ContainerStarted(inputs=inputs, metadata={"loop_length": self.config.loop_count})
        before = ctx.pool.copy()
        before.update(self.id, first)
        if self._holds(before):
            metadata = {**costs("loop", {}), "loop_variable_map": {}, "completed_reason": BREAK, "steps": 0}
            yield NodeResult(inputs=inputs, metadata=metadata, updates=[((self.id, n), v) for n, v in first.items()])
            return
        rounds: dict[int, Round] = {}
        values: dict[str, dict[str, Any]] = {}
        reason, error = "loop_completed", ""
        for index in range(self.config.loop_count):
            variables = {**(first if index == 0 else {}), "index": index}
            round = rounds[index] = await ctx.body.run(index, variables, isolated=False)
            values[str(index)] = {name: plain(value.data) for name, value in self._values(round.pool).items()}
            if round.status is NodeStatus.FAILED:
                reason, error = "error", round.error
                break
            if END in round.ran:
                break
            if self._holds(round.pool):
                reason = BREAK
                break
            yield RoundStarted(index + 1)
        metadata = {**costs("loop", rounds), "loop_variable_map": values, "completed_reason": reason}
        metadata["steps"] = self.config.loop_count
        if reason == "error":
            yield NodeResult(
                status=NodeStatus.FAILED, error=error, error_type="LoopNodeError", inputs=inputs, metadata=metadata
            )
            return
        outputs: dict[str, Any] = self._values(rounds[len(rounds) - 1].pool) if rounds else {}
        yield NodeResult(outputs={**outputs, "loop_round": len(rounds)}, inputs=inputs, metadata=metadata)

    def _values(self, pool: Pool) -> dict[str, Value]:
        found = {item.label: pool.get((self.id, item.label)) for item in self._variables}
        return {name: value for name, value in found.items() if value is not None}

    def _holds(self, pool: Pool) -> bool:
        """Whether it is time to end. What cannot be decided, as a variable is missing, does not hold."""
        if not self._conditions:
            return False
        try:
            return evaluate(self._conditions, self.config.logical_operator or "and", pool.get, pool.render).final
        except ConditionError:
            return False
