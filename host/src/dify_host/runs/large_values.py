"""Takes large values out of plain data and puts them back: what stays is a frame that says what belonged where. Pure.

A column holds its data as it is, a mapping, or a frame: `[what is left, {key: [paths]}]`. A row of the run log holds an
array of events, or a frame: `{"events": what is left of them, "values": {key: [paths]}}`. What users write has neither
form, so that nobody can name a value that is not theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from dify_kernel.errors import LogError
from dify_kernel.graph.events import AnyEvent

__all__ = ["EventFrame", "Packed", "PayloadLost", "Places", "is_frame", "pack_column", "pack_events", "restore"]

_Path = tuple[str | int, ...]
_Taken = tuple[_Path, bytes]
"""Where a value belonged, and itself as JSON."""
Places = dict[str, list[list[str | int]]]
"""Key of a value in the storage -> the paths at which it belongs."""

#: Fields of events that stay: what people look for first, and without what nobody could end a run.
_STAY: Final = frozenset(("context", "error", "scope"))
#: Fields that are lists of pairs, of which only the second part may be left out.
_PAIRS: Final = frozenset(("updates", "said"))
#: Levels below which a value goes as a whole.
_DEEPEST: Final = 8

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class PayloadLost(LogError):
    """A large value of a run is not in the storage any more, or not whole."""

    code = "payload_lost"


class Packed(msgspec.Struct, frozen=True):
    """The events of a row of the log: its payload, the values to keep by key, and columns by (event, field)."""

    payload: str
    values: dict[str, bytes]
    columns: dict[tuple[int, str], list[Any]]


class EventFrame(msgspec.Struct):
    """A row of the log from which values were taken."""

    events: list[dict[str, Any]]
    values: Places

    @classmethod
    def read(cls, payload: str) -> EventFrame:
        """The frame in a payload that begins with a brace."""
        return msgspec.json.decode(payload, type=cls)

    def wanted(self) -> dict[str, dict[str, Any]]:
        """Key of each value -> where it belongs, for whoever has to say that it is lost."""
        first = {key: self.events[int(paths[0][0])] for key, paths in self.values.items()}
        return {key: {"node_id": event["node_id"]} if "node_id" in event else {} for key, event in first.items()}

    def whole(self, values: Mapping[str, bytes] | None) -> list[AnyEvent]:
        """The events; without `values` those that were taken out are empty."""
        if values is not None:
            restore(self.events, self.values, values)
        return msgspec.convert(self.events, list[AnyEvent])


def pack_events(encoded: Sequence[bytes], large: Iterable[int], *, limit: int, name: Callable[[bytes], str]) -> Packed:
    """Take the values over `limit` bytes out of the events that are `large`; `name` gives the key of a value."""
    events: list[Any] = [msgspec.Raw(data) for data in encoded]
    values: dict[str, bytes] = {}
    places: Places = {}
    columns: dict[tuple[int, str], list[Any]] = {}
    for number in large:
        event = events[number] = _decode(encoded[number])
        for field in [field for field in event if field not in _STAY]:
            event[field], taken = (_part_pairs if field in _PAIRS else _part)(event[field], limit)
            if not taken:
                continue
            mine = _named(taken, name, values)
            columns[(number, field)] = [event[field], mine]
            for key, paths in mine.items():
                places.setdefault(key, []).extend([number, field, *path] for path in paths)
    if not places:
        return Packed((b"[" + b",".join(encoded) + b"]").decode(), {}, {})
    return Packed(_encode({"events": events, "values": places}).decode(), values, columns)


def pack_column(data: Any, *, limit: int, name: Callable[[bytes], str], values: dict[str, bytes]) -> Any:
    """Data as a column holds it; what is over `limit` is added to `values` by its key."""
    encoded = _encode(data)
    if len(encoded) <= limit:
        return data
    rest, taken = _part(_decode(encoded), limit)
    return [rest, _named(taken, name, values)] if taken else data


def is_frame(column: Any) -> bool:
    """Whether values were taken out of what a column holds."""
    return isinstance(column, list)


def restore(rest: Any, places: Places, values: Mapping[str, bytes]) -> Any:
    """Put values back in place, and return the whole. Texts are shared between their places, all else is not."""
    for key, paths in places.items():
        shared = _decode(values[key])
        for number, path in enumerate(paths):
            value = shared if number == 0 or isinstance(shared, str) else _decode(values[key])
            if not path:
                return value
            parent = rest
            for step in path[:-1]:
                parent = parent[step]
            parent[path[-1]] = value
    return rest


def _named(taken: Iterable[_Taken], name: Callable[[bytes], str], values: dict[str, bytes]) -> Places:
    places: Places = {}
    for path, data in taken:
        key = name(data)
        values[key] = data
        places.setdefault(key, []).append(list(path))
    return places


def _part(value: Any, limit: int) -> tuple[Any, list[_Taken]]:
    taken: list[_Taken] = []
    return _take(value, (), limit, taken), taken


def _part_pairs(pairs: list[Any], limit: int) -> tuple[Any, list[_Taken]]:
    taken: list[_Taken] = []
    return [[first, _take(second, (at, 1), limit, taken)] for at, (first, second) in enumerate(pairs)], taken


def _take(value: Any, path: _Path, limit: int, taken: list[_Taken]) -> Any:
    """What stays of a value: the smallest large things go, or the whole where many small ones make it large."""
    if not isinstance(value, dict | list | str):
        return value
    data = _encode(value)
    if len(data) <= limit:
        return value
    if not isinstance(value, str) and len(path) < _DEEPEST:
        inner: list[_Taken] = []
        if isinstance(value, dict):
            rest: Any = {key: _take(item, (*path, key), limit, inner) for key, item in value.items()}
        else:
            rest = [_take(item, (*path, index), limit, inner) for index, item in enumerate(value)]
        if inner and len(_encode(rest)) <= limit:
            taken += inner
            return rest
    taken.append((path, data))
    return type(value)()
