"""Translates the neutral filter into an expression of VSIM.

The server answers no for a whole expression when a field is missing, compares numbers with texts, and knows no list. So
each field's value is kept as a token of `dify_kernel.contracts.vector_tokens`, and what all records must have is said:
that a field is there, or that it has one of some values. The store checks the rest itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from dify_kernel.contracts.vector import And, Compare, Exists, Filter, Metadata
from dify_kernel.contracts.vector_exact import plain
from dify_kernel.contracts.vector_tokens import leaf_tokens

__all__ = ["attributes_of", "expression_of"]

MOST = 2_000
"""Values in one expression: each record is compared with one after the other."""


def attributes_of(metadata: Metadata) -> bytes:
    """What a vector carries for expressions: a token for each field."""
    return msgspec.json.encode({field: _token(field, value) for field, value in metadata.items()})


def expression_of(filter: Filter | None) -> tuple[str | None, bool]:
    """What the server can say of a filter, and whether that is all; None says nothing."""
    said, whole, size = [], True, 0
    for part in _parts(plain(filter)):
        match part:
            case Exists(field):
                said.append(f'.{field} != ""')
            case Compare("in", field, values) if size + len(values) <= MOST:
                size += len(values)
                tokens = ",".join(f'"{token}"' for token in leaf_tokens(part))
                said.append(f".{field} in [{tokens}]" if tokens else "0")
            case _:
                whole = False
    return " and ".join(f"({part})" for part in said) or None, whole


def _parts(filter: Filter | None) -> Iterator[Filter]:
    """What all has to hold."""
    match filter:
        case None:
            return
        case And(items):
            for item in items:
                yield from _parts(item)
        case _:
            yield filter


def _token(field: str, value: object) -> str:
    return "list" if isinstance(value, list) else leaf_tokens(Compare("in", field, [value]))[0]
