"""The if-else node: takes the edge of the first case whose conditions hold, else `false`."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import InlineNode, NodeConfig, NodeContext, NodeKind, NodeResult, NodeStatus
from dify_kernel.graph.conditions import (
    Condition,
    ConditionError,
    condition_problems,
    condition_selectors,
    evaluate,
)
from dify_kernel.graph.pool import Selector

__all__ = ["Case", "IfElseConfig", "IfElseNode"]

ELSE = "false"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One branch: its handle and its conditions."""

    case_id: str
    logical_operator: str = "and"
    conditions: list[Condition] | None = None


class IfElseConfig(NodeConfig, kw_only=True):
    """Cases in order. Old exports have one group of `conditions` instead, whose handles are `true` and `false`."""

    cases: list[Case] | None = None
    conditions: list[Condition] | None = None
    logical_operator: str | None = None


class IfElseNode(InlineNode):
    """Chooses a branch; outputs say whether a case held (`result`) and which (`selected_case_id`)."""

    type = "if-else"
    kind = NodeKind.BRANCH
    Config = IfElseConfig
    config: IfElseConfig

    def __init__(self, node_id: str, config: IfElseConfig) -> None:
        super().__init__(node_id, config)
        self._old = not config.cases
        self._cases = config.cases or [
            Case(case_id="true", logical_operator=config.logical_operator or "and", conditions=config.conditions)
        ]
        self._groups = ["default" if self._old else _record(case) for case in self._cases]

    def selectors(self) -> list[Selector]:
        """Every variable that a condition reads."""
        return [selector for case in self._cases for selector in condition_selectors(case.conditions or [])]

    def handles(self) -> list[str]:
        """The ids of the cases, and `false`."""
        return [*dict.fromkeys([case.case_id for case in self._cases] + [ELSE])]

    def problems(self) -> list[str]:
        """Unknown operators, cases without an id or with the id of another."""
        ids = [case.case_id for case in self._cases]
        found = [f"The case id {name!r} is used twice." for name in dict.fromkeys(ids) if ids.count(name) > 1]
        if "" in ids:
            found.append("A case has no `case_id`.")
        if ELSE in ids:
            found.append(f"The case id {ELSE!r} is kept for the branch that is taken when no case holds.")
        for case in self._cases:
            found += condition_problems(case.conditions or [], case.logical_operator)
        return found

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """The branch; a condition that cannot be decided fails the node."""
        compared: list[dict[str, Any]] = []
        verdicts: list[dict[str, Any]] = []
        inputs, process_data = {"conditions": compared}, {"condition_results": verdicts}
        held, chosen = False, ELSE
        for case, group in zip(self._cases, self._groups, strict=True):
            try:
                verdict = evaluate(case.conditions or [], case.logical_operator, ctx.pool.get, ctx.pool.render)
            except ConditionError as exc:
                return NodeResult(
                    status=NodeStatus.FAILED,
                    error=exc.message,
                    error_type=exc.error_type,
                    inputs=inputs,
                    process_data=process_data,
                )
            compared[:] = verdict.compared
            verdicts.append({"group": group, "results": verdict.results, "final_result": verdict.final})
            if verdict.final:
                held, chosen = True, case.case_id
                break
        outputs = {"result": held, "selected_case_id": chosen}
        return NodeResult(outputs=outputs, inputs=inputs, process_data=process_data, handle=chosen)


def _record(case: Case) -> dict[str, Any]:
    """A case as the run's record shows it."""
    return {
        "case_id": case.case_id,
        "logical_operator": case.logical_operator,
        "conditions": msgspec.to_builtins(case.conditions or []),
    }
