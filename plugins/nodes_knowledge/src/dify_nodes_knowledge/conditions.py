"""Metadata conditions: the values that they compare with may be templates."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from dify_kernel.contracts.node import NodeContext
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.pool import Selector, Template, template_selectors
from dify_kernel.graph.values import ValueType

__all__ = ["MetadataCondition", "MetadataConditions", "condition_selectors", "fill_in"]

_NUMBERS = (ValueType.INTEGER, ValueType.FLOAT, ValueType.NUMBER)


class MetadataCondition(msgspec.Struct, frozen=True):
    """One comparison with a metadata field."""

    name: str = ""
    comparison_operator: str = "is"
    value: str | int | float | list[str] | None = None


class MetadataConditions(msgspec.Struct, frozen=True):
    """Comparisons joined by `and` or `or`."""

    logical_operator: str | None = None
    conditions: list[MetadataCondition] | None = None


def condition_selectors(conditions: MetadataConditions | None) -> list[Selector]:
    """The variables that the values refer to."""
    values = [item.value for item in (conditions.conditions or ())] if conditions else []
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return [selector for text in texts if isinstance(text, str) for selector in template_selectors(text)]


def fill_in(conditions: MetadataConditions | None, ctx: NodeContext) -> dict[str, Any] | None:
    """The conditions as the mapping of the DSL, every value filled in; None when there are none."""
    if conditions is None or not conditions.conditions:
        return None
    return {
        "logical_operator": conditions.logical_operator or "and",
        "conditions": [
            {"name": item.name, "comparison_operator": item.comparison_operator, "value": _value(item.value, ctx)}
            for item in conditions.conditions
        ],
    }


def _value(value: Any, ctx: NodeContext) -> Any:
    if isinstance(value, list):
        return [_value(item, ctx) for item in value]
    return _filled(value, ctx) if isinstance(value, str) else value


def _filled(text: str, ctx: NodeContext) -> str | int | float:
    """A number when the text is one reference to a number, else the text on one line."""
    parts = Template(text.strip()).parts
    if len(parts) == 1 and isinstance(parts[0], tuple):
        found = ctx.get(parts[0])
        if found is not None and found.type in _NUMBERS and found.data is not None:
            number: int | float = found.data
            return number
        if found is not None and found.type not in (ValueType.STRING, ValueType.SECRET, ValueType.NONE):
            raise NodeFailed(
                f"The metadata condition compares with {'.'.join(parts[0])}, which is {found.type.exposed}.",
                error_type="KnowledgeRetrievalNodeError",
                hint="Use a text or a number.",
                node_id=ctx.node_id,
            )
    return re.sub(r"[\r\n\t]+", " ", ctx.render(text)).strip()
