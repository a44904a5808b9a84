"""Settings: frozen structs filled from the environment, secrets that cannot print, and `.env` files."""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec

from dify_kernel.errors import BadInput, SettingsError

__all__ = [
    "Doc",
    "Secret",
    "decode_struct",
    "describe_settings",
    "encode_struct",
    "load_settings",
    "read_env_file",
    "shown_address",
]

T = TypeVar("T", bound=msgspec.Struct)


class Secret:
    """A string that does not print, log or serialise; `reveal()` is the only way out."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        """The clear text."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __repr__(self) -> str:
        return "Secret('********')" if self._value else "Secret('')"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise TypeError("a Secret does not serialise; call reveal() where the clear text is needed")


def shown_address(address: str) -> str:
    """An address as messages may show it: without the user and the password before its host."""
    scheme, mark, rest = address.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


def Doc(text: str, **constraints: Any) -> msgspec.Meta:
    """Documentation (and bounds) of one setting: `Annotated[int, Doc("Port of the server", ge=1)]`."""
    return msgspec.Meta(description=text, **constraints)


class SettingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as people see it: variable, type, default, meaning."""

    variable: str
    type: str
    default: str
    description: str
    secret: bool
    required: bool


def read_env_file(path: Path) -> dict[str, str]:
    """The assignments of a `.env` file: `KEY=value`, optional `export`, quotes, and comments; missing file gives {}."""
    values: dict[str, str] = {}
    if not path.is_file():
        return values
    for line in path.read_text("utf-8").splitlines():
        line = line.strip()
        if not line or line.startswith("#") or "=" not in line:
            continue
        key, _, value = line.removeprefix("export ").partition("=")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        elif " #" in value:
            value = value.split(" #", 1)[0].rstrip()
        values[key.strip()] = value
    return values


def load_settings(struct: type[T], env: Mapping[str, str] | None = None, *, prefix: str = "") -> T:
    """Fill a settings struct: the field `bucket_name` with prefix `S3_` reads `S3_BUCKET_NAME`.

    Empty variables count as unset, unknown ones are ignored. SettingsError names the variable, what it holds (secrets
    excepted) and what is wanted. Booleans: true/false, 1/0, yes/no, on/off. Lists are comma-separated. A field of type
    `dict[str, str]` collects every variable that starts with its own name: `opendal` takes OPENDAL_FS_ROOT as fs_root.
    """
    source = os.environ if env is None else env
    values: dict[str, Any] = {}
    hints = typing.get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        variable = prefix + field.name.upper()
        if get_origin(bare_type(hints[field.name])) is dict:
            values[field.name] = {
                key[len(variable) + 1 :].lower(): value
                for key, value in source.items()
                if key.startswith(variable + "_") and value != ""
            }
            continue
        raw = source.get(variable, "")
        if raw == "":
            if field.required:
                raise SettingsError(f"{variable} is not set.", hint=meaning_of(hints[field.name]), setting=variable)
            continue
        try:
            values[field.name] = _parse(raw, hints[field.name])
        except (ValueError, msgspec.ValidationError) as exc:
            shown = "its value" if _is_secret(hints[field.name]) else repr(raw)
            raise SettingsError(
                f"{variable} is {shown}: {exc}.", hint=meaning_of(hints[field.name]), setting=variable
            ) from exc
    return struct(**values)


def decode_struct(data: Mapping[str, Any], struct: type[T]) -> T:
    """Fill a struct from decoded JSON, as a provider's credentials are: strings become Secret where that is the type.

    Lax like a form: `"5"` is an int and `"true"` a bool. BadInput names the field and never shows a value.
    """
    try:
        return msgspec.convert(data, struct, strict=False, dec_hook=_to_secret)
    except msgspec.ValidationError as exc:
        raise BadInput(f"{struct.__name__}: {exc}.", struct=struct.__name__) from None


def encode_struct(value: msgspec.Struct) -> dict[str, Any]:
    """A struct as JSON-ready values with its secrets revealed: only for what is encrypted next."""
    revealed = msgspec.to_builtins(value, enc_hook=_from_secret)
    return dict(revealed)


def _to_secret(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"Expected `str`, got `{type(value).__name__}`")  # msgspec adds the field


def _from_secret(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} is not a setting")


def describe_settings(struct: type[msgspec.Struct], *, prefix: str = "") -> list[SettingInfo]:
    """Every setting of a struct, in order; defaults of secrets are not shown."""
    hints = typing.get_type_hints(struct, include_extras=True)
    out = []
    for field in msgspec.structs.fields(struct):
        hint = hints[field.name]
        secret = _is_secret(hint)
        default = field.default if field.default is not msgspec.NODEFAULT else None
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        shown = "" if default is None or secret else str(default).lower() if isinstance(default, bool) else str(default)
        out.append(
            SettingInfo(
                variable=prefix + field.name.upper(),
                type=_type_name(hint),
                default=shown,
                description=meaning_of(hint),
                secret=secret,
                required=field.required,
            )
        )
    return out


def bare_type(hint: Any) -> Any:
    """A type without its annotations and without None."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (types.UnionType, typing.Union):
        options = [bare_type(option) for option in get_args(hint) if option is not type(None)]
        return options[0] if options else hint
    return hint


def _is_secret(hint: Any) -> bool:
    return bare_type(hint) is Secret


def meaning_of(hint: Any) -> str:
    """The description that `Doc` gave a type; empty without one."""
    if get_origin(hint) is Annotated:
        for extra in get_args(hint)[1:]:
            if isinstance(extra, msgspec.Meta) and extra.description:
                return extra.description
    return ""


def _type_name(hint: Any) -> str:
    bare = bare_type(hint)
    if get_origin(bare) is typing.Literal:
        return " | ".join(str(option) for option in get_args(bare))
    if get_origin(bare) in (list, tuple):
        return "comma list"
    if get_origin(bare) is dict:
        return "variables"
    return {Secret: "secret", str: "string"}.get(bare, getattr(bare, "__name__", str(bare)))


_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}


def _parse(raw: str, hint: Any) -> Any:
    bare = bare_type(hint)
    if bare is Secret:
        return Secret(raw)
    if bare is bool:
        lowered = raw.strip().lower()
        if lowered not in _TRUE | _FALSE:
            raise ValueError("expected true or false")
        return lowered in _TRUE
    if get_origin(bare) is list:
        items = [item.strip() for item in raw.split(",") if item.strip()]
        return msgspec.convert(items, hint, strict=False)
    return msgspec.convert(raw.strip(), hint, strict=False)
