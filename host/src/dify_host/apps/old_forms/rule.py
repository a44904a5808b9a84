"""What a change of an old form is: its name, what it says to people, and a pure function over the part it concerns.

A function returns what it was given when there is nothing to change, and a new value otherwise; it never writes into
what it was given, and takes any JSON value for any part, as the text is a stranger's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

__all__ = ["Change", "Mapping", "Rule", "changed_items", "mappings", "texts"]

Mapping = dict[str, Any]
T = TypeVar("T")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One old form that was brought to the form of today; `node_id` is set when it concerned one node."""

    code: str
    message: str
    node_id: str | None = None


class Rule(NamedTuple):
    """One change. `types` are the node types whose `data` it is given; empty for any."""

    code: str
    message: str
    apply: Callable[[Mapping], Mapping]
    types: tuple[str, ...] = ()


def mappings(value: Any) -> list[Mapping]:
    """The mappings in a list; none when the value is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """The texts in a list; none when the value is no list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def changed_items(data: Mapping, key: str, change: Callable[[Mapping], Mapping]) -> Mapping:
    """The mapping with each mapping of its list `key` changed; the same one when none was."""
    items = data.get(key)
    if not isinstance(items, list):
        return data
    new = [change(item) if isinstance(item, dict) else item for item in items]
    return {**data, key: new} if any(a is not b for a, b in zip(items, new, strict=True)) else data
