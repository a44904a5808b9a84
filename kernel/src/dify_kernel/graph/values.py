"""Typed values of the variable pool: their types, how plain data becomes one, and how each prints.

Types and text forms are Dify's: a template shows `text`, an answer and its stream show `markdown`, a log shows `log`.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, Final

import msgspec

__all__ = [
    "FILE_IDENTITY",
    "MISSING",
    "NONE",
    "File",
    "FileTransfer",
    "FileType",
    "Value",
    "ValueType",
    "cast",
    "follow",
    "infer",
    "log_text",
    "markdown",
    "plain",
    "text",
]


class ValueType(StrEnum):
    """The segment types."""

    NONE = "none"
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    NUMBER = "number"
    BOOLEAN = "boolean"
    OBJECT = "object"
    SECRET = "secret"  # noqa: S105 - a type name
    FILE = "file"
    ARRAY_ANY = "array[any]"
    ARRAY_STRING = "array[string]"
    ARRAY_NUMBER = "array[number]"
    ARRAY_OBJECT = "array[object]"
    ARRAY_BOOLEAN = "array[boolean]"
    ARRAY_FILE = "array[file]"
    GROUP = "group"

    @property
    def exposed(self) -> str:
        """The name that clients see: integer and float are both `number`."""
        return "number" if self in (ValueType.INTEGER, ValueType.FLOAT) else self.value

    @property
    def is_array(self) -> bool:
        """Whether values of this type are lists."""
        return self.value.startswith("array")


FILE_IDENTITY: Final = "__dify__file__"


class FileType(StrEnum):
    """What a file holds."""

    IMAGE = "image"
    DOCUMENT = "document"
    AUDIO = "audio"
    VIDEO = "video"
    CUSTOM = "custom"


class FileTransfer(StrEnum):
    """Where the bytes of a file are."""

    REMOTE_URL = "remote_url"
    LOCAL_FILE = "local_file"
    TOOL_FILE = "tool_file"
    DATASOURCE_FILE = "datasource_file"


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file as a value: a description, never the bytes. `extension` has its dot, `size` is -1 when unknown."""

    dify_model_identity: str = FILE_IDENTITY
    id: str | None = None
    tenant_id: str = ""
    type: FileType = FileType.CUSTOM
    transfer_method: FileTransfer = FileTransfer.LOCAL_FILE
    remote_url: str | None = None
    related_id: str | None = None
    filename: str | None = None
    extension: str | None = None
    mime_type: str | None = None
    size: int = -1
    url: str | None = None

    def attribute(self, name: str) -> Any:
        """One of the attributes that templates and conditions may read; MISSING for any other name."""
        return getattr(self, _FILE_ATTRIBUTES[name]) if name in _FILE_ATTRIBUTES else MISSING


_FILE_ATTRIBUTES: Final = {
    "type": "type",
    "size": "size",
    "name": "filename",
    "mime_type": "mime_type",
    "transfer_method": "transfer_method",
    "url": "url",
    "extension": "extension",
    "related_id": "related_id",
}


class _Missing:
    """The absent value; falsy, and distinct from None."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


class Value(msgspec.Struct, frozen=True, gc=False):
    """A typed value. `data` is plain: str, int, float, bool, None, dict, list, or File / list[File]."""

    type: ValueType
    data: Any


NONE: Final = Value(ValueType.NONE, None)
#: Looked up for every value of a run.
_OBJECT: Final = ValueType.OBJECT
_STRING: Final = ValueType.STRING

_SCALARS: Final = {
    str: ValueType.STRING,
    bool: ValueType.BOOLEAN,
    int: ValueType.INTEGER,
    float: ValueType.FLOAT,
    dict: ValueType.OBJECT,
    File: ValueType.FILE,
}
_ITEMS: Final = {
    ValueType.STRING: ValueType.ARRAY_STRING,
    ValueType.INTEGER: ValueType.ARRAY_NUMBER,
    ValueType.FLOAT: ValueType.ARRAY_NUMBER,
    ValueType.BOOLEAN: ValueType.ARRAY_BOOLEAN,
    ValueType.OBJECT: ValueType.ARRAY_OBJECT,
    ValueType.FILE: ValueType.ARRAY_FILE,
}


def infer(data: Any) -> Value:
    """The value of plain data: a uniform list gets its item's array type, any other list (and []) is array[any].

    A mapping that carries the file identity becomes a File. Anything unknown becomes its string.
    """
    kind = _SCALARS.get(type(data))
    if kind is not None:
        if kind is _OBJECT and data.get("dify_model_identity") == FILE_IDENTITY:
            return Value(ValueType.FILE, as_file(data))
        return Value(kind, data)
    if isinstance(data, Value):
        return data
    if data is None:
        return NONE
    if isinstance(data, list | tuple):
        return _infer_list(list(data))
    return Value(ValueType.STRING, str(data))


def _infer_list(items: list[Any]) -> Value:
    files = [
        as_file(item) if isinstance(item, dict) and item.get("dify_model_identity") == FILE_IDENTITY else item
        for item in items
    ]
    kinds = {_ITEMS.get(_SCALARS.get(type(item), ValueType.NONE)) for item in files}
    only = kinds.pop() if len(kinds) == 1 else None
    if only is ValueType.ARRAY_FILE:
        return Value(only, files)
    return Value(only or ValueType.ARRAY_ANY, items)


def as_file(data: dict[str, Any]) -> File:
    """The File that a stored mapping describes; unknown keys are ignored."""
    return msgspec.convert(data, File, strict=False)


def cast(data: Any, declared: ValueType | str) -> Value:
    """The value of plain data under a declared type; raises ValueError when it does not fit.

    `number` takes ints and floats, an empty list fits every array type, null fits every type.
    """
    declared = ValueType(declared)
    value = infer(data)
    if value.type is declared or (declared is ValueType.ARRAY_ANY and value.type.is_array):
        return Value(declared, value.data)
    if value.type is ValueType.NONE:
        return Value(declared, _EMPTY.get(declared))
    if declared is ValueType.NUMBER and value.type in (ValueType.INTEGER, ValueType.FLOAT):
        return value
    if declared is ValueType.FLOAT and value.type is ValueType.INTEGER:
        return Value(ValueType.FLOAT, float(value.data))
    if declared is ValueType.SECRET and value.type is ValueType.STRING:
        return Value(ValueType.SECRET, value.data)
    if declared.is_array and value.data == []:
        return Value(declared, [])
    raise ValueError(f"expected {declared.exposed}, got {value.type.exposed}")


_EMPTY: Final[dict[ValueType, Any]] = {}


def follow(value: Value, path: tuple[str, ...]) -> Value | None:
    """Walk into objects by key and into a file by attribute; None when the path leads nowhere. Lists stop it."""
    for part in path:
        data = value.data
        if isinstance(data, File):
            found = data.attribute(part)
            if found is MISSING:
                return None
        elif isinstance(data, dict) and part in data:
            found = data[part]
        else:
            return None
        value = infer(found)
    return value


def plain(data: Any) -> Any:
    """Data as JSON can carry it: files as mappings, everything else as it is (and not copied)."""
    kind = type(data)
    if kind in _ATOMS:
        return data
    if kind is dict:
        for item in data.values():
            if type(item) not in _ATOMS:
                return _plain_dict(data)
        return data
    if kind is list:  # lists may be long: an embedding
        return data if _ATOMS.issuperset(map(type, data)) else [plain(item) for item in data]
    if isinstance(data, Value):
        return plain(data.data)
    if isinstance(data, File):
        return msgspec.to_builtins(data)
    return data


def _plain_dict(data: dict[str, Any]) -> dict[str, Any]:
    changed = {}
    for key, item in data.items():
        if type(item) not in _ATOMS and (clear := plain(item)) is not item:
            changed[key] = clear
    return {**data, **changed} if changed else data


_ATOMS: Final = frozenset((str, int, float, bool, type(None)))


def text(value: Value) -> str:
    """How a value prints in a template."""
    data = value.data
    kind = value.type
    if kind is _STRING or kind is ValueType.SECRET:
        return str(data if data is not None else "")
    if data is None or kind in (ValueType.FILE, ValueType.ARRAY_FILE):
        return ""
    if kind is ValueType.OBJECT:
        return json.dumps(plain(data), ensure_ascii=False)
    if kind.is_array:
        if not data:
            return ""
        return json.dumps(data, ensure_ascii=False) if kind is ValueType.ARRAY_STRING else str(plain(data))
    return str(data)


def markdown(value: Value) -> str:
    """How a value prints in an answer and in its stream."""
    data = value.data
    kind = value.type
    if data is None:
        return ""
    if kind is _STRING:
        return str(data)
    if kind is ValueType.OBJECT:
        return json.dumps(plain(data), ensure_ascii=False, indent=2)
    if kind is ValueType.FILE:
        return file_link(data)
    if kind is ValueType.ARRAY_FILE:
        return "\n".join(file_link(item) for item in data)
    if kind.is_array:
        return "\n".join(f"- {plain(item)}" for item in data)
    return text(value)


def file_link(file: File) -> str:
    """The Markdown link to a file; images show."""
    link = f"[{file.filename or ''}]({file.url or file.remote_url or ''})"
    return f"!{link}" if file.type is FileType.IMAGE else link


def log_text(value: Value) -> str:
    """How a value prints in a log; a secret is masked."""
    if value.type is ValueType.SECRET:
        return mask(str(value.data))
    if value.type is ValueType.OBJECT:
        return markdown(value)
    if value.type in (ValueType.FILE, ValueType.ARRAY_FILE):
        return ""
    return text(value)


def mask(secret: str) -> str:
    """A secret as a log may show it: twelve stars, and the last four characters when it is long enough."""
    return "************" + (secret[-4:] if len(secret) >= 12 else "")
