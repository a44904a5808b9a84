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
from dify_kernel.graph.events import AnyEvent, Event

__all__ = ["EventFrame", "Packed", "PayloadLost", "Places", "is_frame", "pack_column", "pack_events", "restore"]

_Path = tuple[str | int, ...]
_Value = tuple[str, bytes]
"""The key of a value, and itself as JSON."""
_Taken = tuple[_Path, _Value]
"""Where a value belonged, and what it is."""
Places = dict[str, list[list[str | int]]]
"""Key of a value in the storage -> the paths at which it belongs."""

#: Fields of events that stay: what people look for first, and without what nobody could end a run.
_STAY: Final = frozenset(("context", "error", "scope"))
#: Fields that are lists of pairs, of which only the second part may be left out.
_PAIRS: Final = frozenset(("updates", "said"))
#: Levels below which a value goes as a whole.
_DEEPEST: Final = 8
#: Parts up to which a container is looked through without measuring it first.
_FEW: Final = 16
#: Bytes of a character in JSON.
_LONGEST_CHARACTER: Final = 6

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


def pack_events(
    encoded: Sequence[bytes], large: Mapping[int, Event], *, limit: int, name: Callable[[bytes], str]
) -> Packed:
    """The row of events that are encoded, but for the `large` ones by their number; `name` gives the key of a value.

    Of those the values over `limit` bytes are taken out.
    """
    packer = _Packer(limit, name)
    events: list[Any] = [msgspec.Raw(data) for data in encoded]
    places: Places = {}
    columns: dict[tuple[int, str], list[Any]] = {}
    for number, whole in large.items():
        event = events[number] = msgspec.to_builtins(whole, str_keys=True)
        for field in [field for field in event if field not in _STAY]:
            part = packer.pairs if field in _PAIRS else packer.part
            event[field], mine = part(event[field])
            if mine:
                columns[(number, field)] = [event[field], mine]
                for key, paths in mine.items():
                    places.setdefault(key, []).extend([number, field, *path] for path in paths)
    payload = _encode({"events": events, "values": places} if places else events).decode()
    return Packed(payload, packer.values, columns)


def pack_column(data: Any, *, limit: int, name: Callable[[bytes], str], values: dict[str, bytes]) -> Any:
    """Data as a column holds it; what is over `limit` is added to `values` by its key."""
    packer = _Packer(limit, name)
    rest, places = packer.part(msgspec.to_builtins(data, str_keys=True))
    values |= packer.values
    return [rest, places] if places else data


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


class _Packer:
    """Takes values out; all that were taken are in `values`."""

    def __init__(self, limit: int, name: Callable[[bytes], str]) -> None:
        self._limit, self._name = limit, name
        self._texts: dict[str, _Value] = {}
        self.values: dict[str, bytes] = {}

    def part(self, value: Any) -> tuple[Any, Places]:
        """What is left of plain data, and where what was taken belongs."""
        taken: list[_Taken] = []
        rest = self._take(value, (), taken)
        return rest, self._places(taken)

    def pairs(self, pairs: list[Any]) -> tuple[Any, Places]:
        """The same for a list of pairs, of which the first parts stay."""
        taken: list[_Taken] = []
        rest = [[first, self._take(second, (at, 1), taken)] for at, (first, second) in enumerate(pairs)]
        return rest, self._places(taken)

    def _places(self, taken: Iterable[_Taken]) -> Places:
        places: Places = {}
        for path, (key, data) in taken:
            self.values[key] = data
            places.setdefault(key, []).append(list(path))
        return places

    def _take(self, value: Any, path: _Path, taken: list[_Taken]) -> Any:
        """What stays of a value: the smallest large things go, or the whole where many small ones make it large."""
        if isinstance(value, str):
            text = self._large_text(value)
            if text is not None:
                taken.append((path, text))
            return value if text is None else ""
        if not isinstance(value, dict | list | tuple):
            return value
        inner: list[_Taken] = []
        if len(path) < _DEEPEST and (len(value) <= _FEW or len(_encode(value)) > self._limit):
            rest: Any
            if isinstance(value, dict):
                rest = {key: self._take(item, (*path, key), inner) for key, item in value.items()}
            else:
                rest = [self._take(item, (*path, index), inner) for index, item in enumerate(value)]
            if len(_encode(rest)) <= self._limit:
                taken += inner
                return rest
        data = _encode(value)
        if len(data) <= self._limit:
            return value
        taken.append((path, (self._name(data), data)))
        return {} if isinstance(value, dict) else []

    def _large_text(self, text: str) -> _Value | None:
        """A text as it is kept, when it is large; one that is handed on is looked at once."""
        if len(text) * _LONGEST_CHARACTER + 2 <= self._limit:
            return None
        known = self._texts.get(text)
        if known is None:
            data = _encode(text)
            if len(data) <= self._limit:
                return None
            known = self._texts[text] = (self._name(data), data)
        return known
