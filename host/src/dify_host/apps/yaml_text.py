"""Reads YAML from strangers into plain JSON values, and writes it as Dify does: sorted keys, Unicode kept.

Size, depth and the size after following aliases are checked on the parser's events, before anything is built.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import yaml
from dify_kernel.errors import TooLarge

from dify_host.apps.errors import InvalidDsl

__all__ = ["MAX_BYTES", "read_yaml", "write_yaml"]

MAX_BYTES: Final = 10 * 1024 * 1024
_MAX_DEPTH: Final = 100
#: Values after following aliases; a text counts one more for every 100 characters.
_MAX_VALUES: Final = 300_000
_CHARACTERS_A_VALUE: Final = 100
_LINE_BREAKS: Final = frozenset("\x85\u2028\u2029")
# A date stays the text it is, and a bare `=` is a text: both are JSON strings and no YAML 1.1 types.
_NOT_RESOLVED: Final = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")


class _Loader(yaml.CSafeLoader):
    """The safe loader without the types that JSON does not have."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag not in _NOT_RESOLVED]
        for first, found in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


class _Dumper(yaml.SafeDumper):
    """Writes every value in full: readers of exported apps need not know aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never write an alias."""
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Escape Unicode's own line breaks: written as they are, they would be read back as others."""
        node: yaml.ScalarNode = super().represent_str(data)
        if not _LINE_BREAKS.isdisjoint(data):
            node.style = '"'
        return node

    yaml_representers: ClassVar[Any] = {**yaml.SafeDumper.yaml_representers, str: represent_str}


def read_yaml(text: str | bytes) -> Any:
    """The one document of a text as dicts with text keys, lists, texts, numbers, booleans and None.

    Of a repeated key the last value counts. Raises TooLarge, or InvalidDsl with the line (from 1).
    """
    readable = _decoded(text)
    try:
        _check_shape(readable)
        value = yaml.load(readable, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
    except yaml.YAMLError as exc:
        raise _broken(exc) from exc
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        raise InvalidDsl(f"Invalid YAML format: a value does not fit its tag ({exc}).") from exc
    return _plain(value, "")


def write_yaml(value: Any) -> str:
    """A JSON value as YAML text, the same for equal values."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=True)


def _decoded(text: str | bytes) -> str:
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise TooLarge(f"The app's text has {size} bytes; at most {MAX_BYTES} are read.")
    try:
        readable = text.decode() if isinstance(text, bytes) else text.encode().decode()
    except UnicodeError as exc:
        raise InvalidDsl(f"Invalid YAML format: the text is not UTF-8 ({exc}).") from exc
    return readable.removeprefix("\ufeff")


class _Open:
    """A collection while it is read: how many values it holds, and how many levels."""

    __slots__ = ("anchor", "levels", "values")

    def __init__(self, anchor: str | None) -> None:
        self.anchor = anchor
        self.values, self.levels = 1, 1


def _check_shape(text: str) -> None:
    """Refuse what is too deep, too large once aliases are followed, or holds itself."""
    stack = [_Open(None)]
    anchors: dict[str | None, tuple[int, int]] = {}
    event: Any
    for event in yaml.parse(text, Loader=_Loader):
        values, levels = 0, 0
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append(_Open(event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = stack.pop()
            values, levels = done.values, done.levels
            if done.anchor:
                anchors[done.anchor] = (values, levels)
        elif isinstance(event, yaml.ScalarEvent):
            values = 1 + len(event.value) // _CHARACTERS_A_VALUE
            if event.anchor:
                anchors[event.anchor] = (values, levels)
        elif isinstance(event, yaml.AliasEvent):
            if any(item.anchor == event.anchor for item in stack):
                raise InvalidDsl("Invalid YAML format: an alias stands inside what it names.", line=_line(event))
            values, levels = anchors.get(event.anchor, (1, 0))
        holder = stack[-1]
        holder.values += values
        holder.levels = max(holder.levels, levels + 1)
        if holder.values > _MAX_VALUES:
            raise TooLarge(f"The app's text holds more than {_MAX_VALUES} values.", line=_line(event))
        if len(stack) - 1 + levels > _MAX_DEPTH:
            raise InvalidDsl(f"Invalid YAML format: nested deeper than {_MAX_DEPTH} levels.", line=_line(event))


def _plain(value: Any, path: str) -> Any:
    """A copy with text keys and without shared parts; other than JSON's types are refused."""
    if isinstance(value, dict):
        return {_key(key): _plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, str | int | float):
        return value
    raise InvalidDsl(f"Invalid YAML format: {path.lstrip('.')} is a {type(value).__name__}, which JSON does not have.")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def _broken(exc: yaml.YAMLError) -> InvalidDsl:
    mark = getattr(exc, "problem_mark", None)
    problem = getattr(exc, "problem", None) or str(exc).splitlines()[0]
    if mark is None:
        return InvalidDsl(f"Invalid YAML format: {problem}.")
    place = f"line {mark.line + 1}, column {mark.column + 1}"
    return InvalidDsl(f"Invalid YAML format: {problem} ({place}).", line=mark.line + 1)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
