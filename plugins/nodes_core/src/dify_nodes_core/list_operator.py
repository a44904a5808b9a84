"""The list operator: filters, picks, sorts and shortens a list, in this order."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import InlineNode, NodeConfig, NodeContext, NodeResult, NodeStatus
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.pool import Selector, template_selectors
from dify_kernel.graph.values import Value, ValueType

from dify_nodes_core.list_filter import FILE_KEYS, FILTER_OPERATORS, FilterCondition, ListOperatorError, attribute, keep

__all__ = ["ListOperatorConfig", "ListOperatorNode"]

_LISTS = (ValueType.ARRAY_STRING, ValueType.ARRAY_NUMBER, ValueType.ARRAY_BOOLEAN, ValueType.ARRAY_FILE)


class FilterBy(msgspec.Struct, frozen=True, kw_only=True):
    """Every condition must hold."""

    enabled: bool = False
    conditions: list[FilterCondition] | None = None


class ExtractBy(msgspec.Struct, frozen=True, kw_only=True):
    """Keep one item; `serial` counts from 1 and may be a template."""

    enabled: bool = False
    serial: str = "1"


class OrderBy(msgspec.Struct, frozen=True, kw_only=True):
    """Sort; files by the attribute `key`."""

    enabled: bool = False
    key: str | None = ""
    value: str = "asc"


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """Keep the first items; a negative size leaves so many off the end."""

    enabled: bool = False
    size: int = -1


class ListOperatorConfig(NodeConfig, kw_only=True):
    """The list and what is done with it."""

    variable: list[str] = []
    filter_by: FilterBy = FilterBy()
    extract_by: ExtractBy = ExtractBy()
    order_by: OrderBy = OrderBy()
    limit: Limit = Limit()


class ListOperatorNode(InlineNode):
    """Gives what is left of the list (`result`), its first and its last item; both are null for an empty list."""

    type = "list-operator"
    Config = ListOperatorConfig
    config: ListOperatorConfig

    def selectors(self) -> list[Selector]:
        """The list, and what the templates of conditions and of the serial number refer to."""
        found: list[Selector] = [tuple(self.config.variable)]
        for condition in self._conditions():
            found += template_selectors(condition.value) if isinstance(condition.value, str) else []
        return found + (template_selectors(self.config.extract_by.serial) if self.config.extract_by.enabled else [])

    def problems(self) -> list[str]:
        """No list, unknown operators, an unknown direction."""
        found = [] if len(self.config.variable) >= 2 else ["No list is chosen."]
        for condition in self._conditions():
            if condition.comparison_operator not in FILTER_OPERATORS:
                known = ", ".join(FILTER_OPERATORS)
                found.append(f"Unknown comparison operator {condition.comparison_operator!r}; there are {known}.")
        if self.config.order_by.enabled and self.config.order_by.value not in ("asc", "desc"):
            found.append(f"The order {self.config.order_by.value!r} is neither asc nor desc.")
        return found

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """The list after all that is enabled; an empty one is not looked at."""
        selector = self.config.variable
        value = ctx.get(selector)
        if value is None:
            raise NodeFailed(f"Variable not found for selector: {selector}", error_type="VariableNotFoundError")
        if not value.data:
            shown: dict[str, Any] = {"variable": []}
            kind = value.type if value.type.is_array else ValueType.ARRAY_ANY
            return NodeResult(outputs=_outputs(kind, []), inputs=shown, process_data=shown)
        if value.type not in _LISTS:
            raise NodeFailed(
                f"Variable {selector} is not an array type, actual type: {value.type.exposed}",
                error_type="InvalidVariableTypeError",
                hint="The list operator takes array[string], array[number], array[boolean] and array[file].",
            )
        shown = {"variable": value.data}
        try:
            items = self._operate(value.type, value.data, ctx)
        except ListOperatorError as exc:
            return NodeResult(
                status=NodeStatus.FAILED,
                error=exc.message,
                error_type=exc.error_type,
                inputs=shown,
                process_data=shown,
            )
        return NodeResult(outputs=_outputs(value.type, items), inputs=shown, process_data=shown)

    def _conditions(self) -> list[FilterCondition]:
        return (self.config.filter_by.conditions or []) if self.config.filter_by.enabled else []

    def _operate(self, kind: ValueType, items: list[Any], ctx: NodeContext) -> list[Any]:
        config = self.config
        for condition in self._conditions():
            items = keep(kind, items, condition, ctx.render)
        if config.extract_by.enabled:
            items = [items[_place(ctx.render(config.extract_by.serial), len(items))]]
        if config.order_by.enabled:
            items = _ordered(kind, items, config.order_by)
        return items[: config.limit.size] if config.limit.enabled else items


def _outputs(kind: ValueType, items: list[Any]) -> dict[str, Any]:
    return {
        "result": Value(kind, items),
        "first_record": items[0] if items else None,
        "last_record": items[-1] if items else None,
    }


def _place(serial: str, length: int) -> int:
    """The index that a number counted from 1 stands for."""
    try:
        number = int(serial)
    except ValueError as exc:
        raise NodeFailed(
            str(exc), error_type="ValueError", hint="The serial number of an item is a whole number."
        ) from exc
    if number < 1:
        raise NodeFailed(f"Invalid serial index: must be >= 1, got {number}", error_type="ValueError")
    if number > length:
        raise ListOperatorError(f"Invalid serial index: must be <= {length}, got {number}", "InvalidKeyError")
    return number - 1


def _ordered(kind: ValueType, items: list[Any], order: OrderBy) -> list[Any]:
    backwards = order.value == "desc"
    if kind is not ValueType.ARRAY_FILE:
        return sorted(items, reverse=backwards)
    key = order.key or ""
    if key not in FILE_KEYS:
        raise ListOperatorError(f"Invalid order key: {key}", "InvalidKeyError")
    return sorted(items, key=lambda file: attribute(file, key), reverse=backwards)
