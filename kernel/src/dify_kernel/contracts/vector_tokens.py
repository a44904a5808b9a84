"""Filters as exact tokens, for an engine whose own filters know one kind a field, fold case, or cut long values.

Each field of a record's metadata becomes tokens: one that it is there, one for the kind and value it has, one for each
member of a list. A token is 32 hexadecimal digits, so it fits every engine that has a list of keywords (or a text split
at spaces), no matter what a user wrote. `in` and `exists` then are "has one of these tokens", exactly as `matches`
defines them; and with `numbers`, so that an engine may compare these itself, order needs nothing else.
"""

from __future__ import annotations

import hashlib
from typing import Any

from dify_kernel.contracts.vector import Compare, Exists, Metadata
from dify_kernel.contracts.vector_exact import Leaf

__all__ = ["leaf_tokens", "metadata_tokens", "said_by_tokens"]


def metadata_tokens(metadata: Metadata) -> list[str]:
    """The tokens of a record, to be stored with it."""
    tokens: dict[str, None] = {}
    for field, value in metadata.items():
        tokens[_token(field, "exists", "")] = None
        if isinstance(value, list):
            tokens.update(dict.fromkeys(_token(field, "member", item) for item in value))
        else:
            tokens[_token(field, *_kind_and_value(value))] = None
    return list(tokens)


def said_by_tokens(leaf: Leaf) -> bool:
    """Whether `leaf_tokens` says a leaf of a `plain` filter; for `narrow`."""
    return isinstance(leaf, Exists) or leaf.op == "in"


def leaf_tokens(leaf: Leaf) -> list[str]:
    """A record matches the leaf when it has any of these tokens; no tokens match nothing."""
    match leaf:
        case Exists(field):
            return [_token(field, "exists", "")]
        case Compare("in", field, values):
            return list(dict.fromkeys(_token(field, *_kind_and_value(value)) for value in values))
    raise ValueError(f"{leaf} is not said by tokens; narrow the filter first.")


def _kind_and_value(value: Any) -> tuple[str, str]:
    if isinstance(value, str):
        return "text", value
    if isinstance(value, bool):
        return "truth", str(value)
    whole = isinstance(value, int) or value.is_integer()
    return "number", str(int(value)) if whole else repr(value)  # 2 and 2.0 are one number


def _token(field: str, kind: str, value: str) -> str:
    return hashlib.blake2b(f"{field}\0{kind}\0{value}".encode(), digest_size=16).hexdigest()
