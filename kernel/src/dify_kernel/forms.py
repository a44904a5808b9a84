"""Forms from structs: what a plugin asks a person for, as fields to show and as a checked struct to work with.

A provider's credentials, a login form, a tool's settings: each is one msgspec struct whose fields carry `Doc`.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from dify_kernel.errors import BadInput
from dify_kernel.graph.values import mask
from dify_kernel.settings import Secret, bare_type, meaning_of

__all__ = ["HIDDEN", "FormField", "decode_form", "form_fields", "masked", "needs_nothing", "revealed"]

T = TypeVar("T", bound=msgspec.Struct)

#: What a client sends for a secret that it does not change.
HIDDEN = "[__HIDDEN__]"


class FormField(msgspec.Struct, frozen=True, kw_only=True):
    """One field as the console draws it; `type` names are Dify's."""

    variable: str
    label: str
    type: Literal["text-input", "secret-input", "number-input", "switch", "select"]
    required: bool
    default: Any = None
    options: list[str] = []
    help: str = ""


def form_fields(struct: type[msgspec.Struct]) -> list[FormField]:
    """Every field of a struct, in order; a secret's default is not shown."""
    hints = typing.get_type_hints(struct, include_extras=True)
    return [_field(field, hints[field.name]) for field in msgspec.structs.fields(struct)]


def needs_nothing(struct: type[msgspec.Struct]) -> bool:
    """Whether a form may stay empty: no field is required and none is a secret."""
    return not any(field.required or field.type == "secret-input" for field in form_fields(struct))


def decode_form(struct: type[T], values: Mapping[str, Any], *, kept: T | None = None) -> T:
    """The struct of what a person entered; texts become numbers and switches where a field asks for them.

    An empty text counts as not entered. A secret sent as `[__HIDDEN__]` is taken from `kept`. BadInput names an
    unknown field together with the known ones, a missing field, and a value of the wrong type, never a secret's value.
    """
    known = {field.name: field for field in msgspec.structs.fields(struct)}
    unknown = sorted(str(name) for name in values if name not in known)
    if unknown:
        raise BadInput(
            f"Unknown field {', '.join(map(repr, unknown))}.",
            hint=f"Known fields: {', '.join(known) or 'none'}.",
            field=unknown[0],
        )
    given = {name: value for name, value in values.items() if value is not None and value != ""}
    for name, value in given.items():
        if value == HIDDEN:
            if kept is None:
                raise BadInput(f"{name} has to be entered.", field=name)
            given[name] = getattr(kept, name)
    missing = [name for name, field in known.items() if field.required and name not in given]
    if missing:
        raise BadInput(f"{', '.join(missing)} is required.", field=missing[0])
    hints = typing.get_type_hints(struct, include_extras=True)
    return struct(**{name: _convert(name, value, hints[name]) for name, value in given.items()})


def revealed(form: msgspec.Struct) -> dict[str, Any]:
    """The fields as plain data, secrets in clear text: to be encrypted, nothing else."""
    return {
        name: value.reveal() if isinstance(value, Secret) else msgspec.to_builtins(value)
        for name, value in msgspec.structs.asdict(form).items()
    }


def masked(form: msgspec.Struct) -> dict[str, Any]:
    """The fields as a response shows them: of a secret the last four characters, of a short one none."""
    return {
        name: (mask(value.reveal()) if value else "") if isinstance(value, Secret) else msgspec.to_builtins(value)
        for name, value in msgspec.structs.asdict(form).items()
    }


def _field(field: Any, hint: Any) -> FormField:
    bare = bare_type(hint)
    options = [str(option) for option in get_args(bare)] if get_origin(bare) is Literal else []
    kinds = {Secret: "secret-input", bool: "switch", int: "number-input", float: "number-input"}
    kind: Any = "select" if options else kinds.get(bare, "text-input")
    default = None if field.default is msgspec.NODEFAULT or bare is Secret else msgspec.to_builtins(field.default)
    return FormField(
        variable=field.name,
        label=_title(hint) or field.name.replace("_", " ").capitalize(),
        type=kind,
        required=field.required,
        default=default,
        options=options,
        help=meaning_of(hint),
    )


def _title(hint: Any) -> str:
    metas = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((meta.title for meta in metas if isinstance(meta, msgspec.Meta) and meta.title), "")


def _convert(name: str, value: Any, hint: Any) -> Any:
    bare = bare_type(hint)
    if bare is Secret:
        if isinstance(value, Secret):
            return value
        if not isinstance(value, str):
            raise BadInput(f"{name} has to be a text.", field=name)
        return Secret(value)
    try:
        return msgspec.convert(value.strip() if isinstance(value, str) else value, hint, strict=False)
    except msgspec.ValidationError as exc:
        raise BadInput(f"{name}: {exc}.", field=name) from exc
