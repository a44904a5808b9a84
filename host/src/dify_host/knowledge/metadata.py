"""Metadata conditions: which documents of a knowledge base a search may look at.

They are evaluated here, on the metadata of the documents, and not in SQL: the engines disagree on case, on the types
inside JSON and on what a text compared with a number is, and a filter must mean the same on each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from dify_kernel.errors import BadInput

__all__ = ["OPERATORS", "Condition", "Conditions", "built_in_values", "matches", "read_conditions"]

OPERATORS = frozenset(
    (
        *("contains", "not contains", "start with", "end with", "is", "is not", "empty", "not empty", "in", "not in"),
        *("=", "≠", ">", "<", "≥", "≤", "before", "after"),
    )
)
_SOURCES = {"upload_file": "file_upload", "website_crawl": "website", "notion_import": "notion"}


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of a metadata field; `value` is text, number, list or None."""

    name: str
    comparison_operator: str
    value: Any = None


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """Comparisons joined by and or or."""

    logical_operator: Literal["and", "or"] = "and"
    conditions: list[Condition] = []


def read_conditions(value: Mapping[str, Any] | None) -> Conditions | None:
    """Read posted conditions; None when there are none that count, BadInput for an unknown operator.

    A condition without a value does not count, unless it asks for (not) empty.
    """
    if not value or not value.get("conditions"):
        return None
    try:
        given = msgspec.convert({**value, "logical_operator": value.get("logical_operator") or "and"}, Conditions)
    except msgspec.ValidationError as exc:
        raise BadInput(f"metadata_filtering_conditions are not valid: {exc}.") from exc
    for condition in given.conditions:
        if condition.comparison_operator not in OPERATORS:
            raise BadInput(
                f"comparison_operator {condition.comparison_operator!r} is unknown.",
                hint=f"Use one of: {', '.join(sorted(OPERATORS))}.",
                field=condition.name,
            )
    counting = [c for c in given.conditions if c.value is not None or c.comparison_operator in ("empty", "not empty")]
    return msgspec.structs.replace(given, conditions=counting) if counting else None


def matches(conditions: Conditions, values: Mapping[str, Any]) -> bool:
    """Tell whether a document with these metadata values meets the conditions; text compares case-sensitively."""
    results = (_holds(condition, values.get(condition.name)) for condition in conditions.conditions)
    return all(results) if conditions.logical_operator == "and" else any(results)


def built_in_values(
    *, name: str, uploader: str | None, created_at: datetime, updated_at: datetime, source: str
) -> dict[str, Any]:
    """The values of the built-in fields of a document; times are epoch seconds."""
    return {
        "document_name": name,
        "uploader": uploader,
        "upload_date": _epoch(created_at),
        "last_update_date": _epoch(updated_at),
        "source": _SOURCES.get(source, source),
    }


def _holds(condition: Condition, found: Any) -> bool:
    operator, wanted = condition.comparison_operator, condition.value
    if operator in ("empty", "not empty"):
        return (found is None or found == "") == (operator == "empty")
    negative = operator in ("not contains", "is not", "≠", "not in")
    if found is None or found == "":
        return negative
    if operator in (">", "<", "≥", "≤", "before", "after"):
        return _compare(operator, _number(found), _number(wanted))
    return _equal(operator, found, wanted) != negative


def _equal(operator: str, found: Any, wanted: Any) -> bool:
    """The positive form of a comparison of texts, or of equality."""
    text, target = _text(found), _text(wanted)
    if operator in ("contains", "not contains"):
        return target in text
    if operator == "start with":
        return text.startswith(target)
    if operator == "end with":
        return text.endswith(target)
    if operator in ("in", "not in"):
        return text in _listed(wanted)
    left, right = _number(found), _number(wanted)
    return text == target or (left is not None and left == right and not isinstance(found, str))


def _compare(operator: str, left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return False
    if operator in (">", "after"):
        return left > right
    if operator in ("<", "before"):
        return left < right
    return left >= right if operator == "≥" else left <= right


def _listed(wanted: Any) -> list[str]:
    items: Sequence[Any] = wanted if isinstance(wanted, list) else str(wanted).split(",")
    return [_text(item).strip() for item in items]


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else number


def _epoch(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp()
