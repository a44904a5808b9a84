"""Checks the environment and conversation variables of a workflow: names, types and sizes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec

from dify_host.apps.errors import InvalidDsl
from dify_host.apps.records import Variable

__all__ = ["HIDDEN", "MAX_VARIABLE_SIZE", "keep_secrets", "read_variables"]

#: What an editor sees of a secret, and sends back to leave it as it is.
HIDDEN: Final = "[__HIDDEN__]"
MAX_VARIABLE_SIZE: Final = 200 * 1024  # bytes of the value as JSON

Scope = Literal["env", "conversation"]
# A dot would end the name in a reference, and braces the reference itself.
_NAME: Final = re.compile(r"[^\s.#{}]{1,255}")
_NUMBERS: Final = ("number", "integer", "float")
_TYPES: Final = {
    "env": ("string", *_NUMBERS, "secret"),
    "conversation": (
        *("string", *_NUMBERS, "boolean", "object"),
        *("array[string]", "array[number]", "array[object]", "array[boolean]"),
    ),
}
_PYTHON: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "secret": (str,),
    "boolean": (bool,),
    "object": (dict,),
    **dict.fromkeys(_NUMBERS, (int, float)),
}


def read_variables(items: Any, scope: Scope, *, max_size: int = MAX_VARIABLE_SIZE) -> list[Variable]:
    """The variables of a list of mappings, in its order; a missing id and selector are filled in.

    Raises InvalidDsl that names the variable.
    """
    if not isinstance(items or [], list):
        raise InvalidDsl(f"The {scope} variables must be a list.")
    found = [_read(item, scope, max_size) for item in items or []]
    names = [item.name for item in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidDsl(f"The {scope} variable {twice[0]!r} is declared twice.", variable=twice[0])
    return found


def keep_secrets(
    variables: Iterable[Variable], stored: Sequence[Variable], *, also_empty: bool = False
) -> list[Variable]:
    """The variables with hidden secrets (and empty ones, if asked) taken from what is stored, by id, then by name."""
    known = {key: item.value for item in stored if item.value_type == "secret" for key in (item.name, item.id)}
    kept = []
    for item in variables:
        hidden = item.value_type == "secret" and (item.value == HIDDEN or (also_empty and not item.value))
        if hidden:
            item = msgspec.structs.replace(item, value=known.get(item.id, known.get(item.name, "")))
        kept.append(item)
    return kept


def _read(item: Any, scope: Scope, max_size: int) -> Variable:
    if not isinstance(item, dict):
        raise InvalidDsl(f"A {scope} variable must be a mapping.")
    name, kind, value = item.get("name"), item.get("value_type"), item.get("value")
    if not isinstance(name, str) or not name:
        raise InvalidDsl(f"A {scope} variable has no name (missing name).")
    if not _NAME.fullmatch(name):
        raise InvalidDsl(
            f"The {scope} variable {name[:64]!r} cannot be referred to.",
            hint="A name has 1 to 255 characters, without spaces, dots, # and braces.",
            variable=name,
        )
    if kind not in _TYPES[scope]:
        given = "missing value type" if kind is None else f"not supported value type {kind}"
        raise InvalidDsl(f"The {scope} variable {name!r}: {given}.", variable=name)
    if value is None:
        raise InvalidDsl(f"The {scope} variable {name!r}: missing value.", variable=name)
    if not _fits(kind, value):
        raise InvalidDsl(f"The {scope} variable {name!r}: its value is no {kind}.", variable=name)
    size = len(msgspec.json.encode(value))
    if size > max_size:
        raise InvalidDsl(f"The {scope} variable {name!r}: size {size} exceeds limit {max_size}.", variable=name)
    selector = item.get("selector")
    right = isinstance(selector, list) and len(selector) > 1 and all(isinstance(part, str) for part in selector)
    return Variable(
        id=_id_of(item.get("id"), scope, name),
        name=name,
        value_type=kind,
        value=value,
        description=str(item.get("description") or ""),
        selector=selector if right and isinstance(selector, list) else [scope, name],
    )


def _fits(kind: str, value: Any) -> bool:
    if kind.startswith("array["):
        return isinstance(value, list) and all(_fits(kind[6:-1], each) for each in value)
    return isinstance(value, _PYTHON[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _id_of(given: Any, scope: Scope, name: str) -> str:
    """The id as given, or one that is the same whenever the same text is read.

    That of a conversation variable becomes a key of its rows: what is no UUID, as people write by hand, cannot stay.
    """
    if given and (scope == "env" or _is_uuid(str(given))):
        return str(given)
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{scope}.{name}"))


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
