"""The variable assigner: changes conversation and loop variables, several in one node, in order."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import InlineNode, NodeConfig, NodeContext, NodeResult, NodeStatus
from dify_kernel.graph.pool import Selector
from dify_kernel.graph.values import Value, ValueType

from dify_nodes_core.assignment import (
    ARITHMETIC,
    NULLARY,
    OPERATIONS,
    AssignerError,
    apply,
    check_input_type,
    fits,
    invalid,
    parse_object,
    updated_record,
)

__all__ = ["AssignerConfig", "AssignerItem", "AssignerNode"]


class AssignerItem(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `value` is a selector for a variable input, else the constant."""

    variable_selector: list[str]
    input_type: str = "variable"
    operation: str = "over-write"
    value: Any = None


class NoRetry(msgspec.Struct, frozen=True, kw_only=True):
    """The retry settings as the record shows them; this node is not retried."""

    max_retries: int = 0
    retry_interval: int = 0
    retry_enabled: bool = False


class AssignerConfig(NodeConfig, kw_only=True):
    """The changes in order; the other fields are there because the record shows the whole config."""

    title: str = ""
    desc: str | None = None
    version: str = "2"
    error_strategy: str | None = None
    default_value: Any = None
    retry_config: NoRetry = NoRetry()
    items: list[AssignerItem] | None = None


class AssignerNode(InlineNode):
    """Writes each item's new value; a later item sees what an earlier one wrote.

    A null source leaves its variable alone. One item that cannot be applied fails the node, and nothing is written.
    """

    type = "assigner"
    version = "2"
    Config = AssignerConfig
    config: AssignerConfig

    def __init__(self, node_id: str, config: AssignerConfig) -> None:
        super().__init__(node_id, config)
        self._items = config.items or []
        self._record = msgspec.to_builtins(config)

    def selectors(self) -> list[Selector]:
        """The targets and the sources."""
        found: list[Selector] = []
        for item in self._items:
            found.append(tuple(item.variable_selector))
            if item.input_type == "variable" and isinstance(item.value, list):
                found.append(tuple(item.value))
        return found

    def writes(self) -> list[Selector]:
        """The targets."""
        return [tuple(item.variable_selector[:2]) for item in self._items]

    def problems(self) -> list[str]:
        """Items without a target, unknown operations, and operations that their input cannot have."""
        found = []
        for number, item in enumerate(self._items, 1):
            if len(item.variable_selector) < 2:
                found.append(f"Item {number} names no variable to write.")
            if item.operation not in OPERATIONS:
                found.append(f"Item {number} has the unknown operation {item.operation!r}.")
            elif item.input_type not in ("variable", "constant"):
                found.append(f"Item {number} has the unknown input type {item.input_type!r}.")
            elif item.operation in NULLARY or item.value is None:
                continue
            elif item.input_type == "variable":
                if item.operation in ("set", *ARITHMETIC):
                    found.append(f"Item {number}: {item.operation!r} takes a constant, not a variable.")
                elif not _is_selector(item.value):
                    found.append(f"Item {number} must name a variable as its value.")
            elif item.operation in ("append", "extend"):
                found.append(f"Item {number}: {item.operation!r} takes a variable, not a constant.")
            elif item.operation in ARITHMETIC and not isinstance(item.value, int | float):
                found.append(f"Item {number}: {item.operation!r} takes a number, not {item.value!r}.")
        return found

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """The new values as updates; `process_data` shows them by name."""
        changed: dict[Selector, Value] = {}
        try:
            for item in self._items:
                self._apply(item, ctx, changed)
        except AssignerError as exc:
            return NodeResult(
                status=NodeStatus.FAILED, error=exc.message, error_type=exc.error_type, inputs=self._record
            )
        process_data: dict[str, Any] = {selector[1]: value.data for selector, value in changed.items()}
        process_data["__updated_variables"] = [updated_record(list(key), value) for key, value in changed.items()]
        return NodeResult(inputs=self._record, process_data=process_data, updates=list(changed.items()))

    def _apply(self, item: AssignerItem, ctx: NodeContext, changed: dict[Selector, Value]) -> None:
        target: Selector = tuple(item.variable_selector[:2])
        old = changed.get(target) or ctx.pool.get(target)
        if old is None:
            raise _not_found(item.variable_selector)
        check_input_type(old.type, item.operation, item.input_type)
        data = item.value
        if item.input_type == "variable" and item.operation not in NULLARY and data is not None:
            source = changed.get(tuple(data)) or ctx.pool.get(data)
            if source is None:
                raise _not_found(data)
            if source.type is ValueType.NONE or source.data is None:
                return
            data = source.data
        if item.operation in ("set", "over-write") and old.type is ValueType.OBJECT:
            data = parse_object(data)
        if not fits(old.type, item.operation, data):
            raise invalid(data)
        changed[target] = apply(old, item.operation, data)


def _not_found(selector: list[str]) -> AssignerError:
    return AssignerError(f"Variable {selector} not found", "VariableNotFoundError")


def _is_selector(data: Any) -> bool:
    return isinstance(data, list) and len(data) >= 2 and all(isinstance(part, str) for part in data)
