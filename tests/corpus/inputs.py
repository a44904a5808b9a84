"""Makes inputs for an app from the form that its callers see, and from the words that its graph branches on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from dify_host.apps.sharing import node_data

from tests.corpus.sample_files import Sample, sample_file

__all__ = ["Attached", "Inputs", "branch_words", "input_sets"]

#: So many sets at most; a form of many choices has more combinations than are worth a run.
_SETS = 5
_WORDS = 8
_EXACT = ("is", "=", "is not", "≠")
_TEXTS = ("text-input", "paragraph")
_TEXT = "Green tea 绿茶"
_ADDRESS = "https://tea.test/page"
_QUERIES = ("How is the harvest of green tea this year?", "请把上面的内容翻译成日文。")


class Attached(msgspec.Struct, frozen=True):
    """A file that has to be uploaded before it can be an input."""

    kind: str
    sample: Sample


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is given; the queries are turns of one conversation."""

    values: dict[str, Any]
    queries: tuple[str, ...] = _QUERIES
    files: list[Attached] = []


def branch_words(graph: Mapping[str, Any]) -> list[str]:
    """What conditions compare texts with, and what the classes of questions are called, each once."""
    found: list[str] = []
    for _, data in node_data(graph):
        for case in data.get("cases") or []:
            for condition in case.get("conditions") or []:
                found += _word(condition.get("value"), exact=condition.get("comparison_operator") in _EXACT)
        if data.get("type") == "question-classifier":
            for item in data.get("classes") or []:
                found += _word(item.get("name"), exact=False)
    return list(dict.fromkeys(found))


def _word(value: Any, *, exact: bool) -> list[str]:
    """The text that meets a condition; one that only has to hold the value also asks what our knowledge base knows."""
    if not isinstance(value, str) or not value.strip() or "{{" in value:
        return []
    return [value if exact else f"{value} {_TEXT}"]


def input_sets(parameters: dict[str, Any], words: Sequence[str] = ()) -> list[Inputs]:
    """Sets for the `/parameters` of an app: all fields, only those that are required, other choices, each word."""
    fields = [(kind, body) for item in parameters["user_input_form"] for kind, body in item.items()]
    uploads = _uploads(parameters.get("file_upload") or {})
    files = uploads[:1]
    full = {body["variable"]: _value(kind, body, 0) for kind, body in fields}
    sets = [Inputs(values=full, files=files)]
    least = {body["variable"]: full[body["variable"]] for _, body in fields if body.get("required")}
    if least != full or files:
        sets.append(Inputs(values=least, queries=_QUERIES[:1]))
    sets += [Inputs(values=full, queries=_QUERIES[:1], files=[file]) for file in uploads[1:]]
    for turn in range(1, max((_choices(kind, body) for kind, body in fields), default=1)):
        other = {body["variable"]: _value(kind, body, turn) for kind, body in fields}
        sets.append(Inputs(values=other, queries=_QUERIES[:1], files=files))
    sets = sets[:_SETS]
    for word in words[:_WORDS]:
        texts = {body["variable"]: _cut(word, body) for kind, body in fields if kind in _TEXTS}
        sets.append(Inputs(values={**full, **texts}, queries=(word,), files=files))
    return sets


def _choices(kind: str, body: dict[str, Any]) -> int:
    """How many inputs a field has that differ in kind."""
    if kind == "select":
        return len(body.get("options") or ())
    return len(body.get("allowed_file_types") or ()) if kind in ("file", "file-list") else 1


def _value(kind: str, body: dict[str, Any], turn: int) -> Any:
    make: Callable[[dict[str, Any], int], Any] = _MAKE.get(kind, _text)
    return make(body, turn)


def _text(body: dict[str, Any], turn: int) -> str:
    given = body.get("default")
    text = given if isinstance(given, str) and given and turn == 0 else _TEXT
    if "url" in f"{body['variable']} {body.get('label')}".lower():
        text = _ADDRESS
    return _cut(text, body)


def _cut(text: str, body: dict[str, Any]) -> str:
    """The text, not longer than the field allows."""
    return text[: int(body.get("max_length") or 0) or None]


def _select(body: dict[str, Any], turn: int) -> Any:
    options = body.get("options") or [""]
    return options[turn % len(options)]


def _number(body: dict[str, Any], turn: int) -> Any:
    return (3, 0, 250, -1.5)[turn % 4]


def _checkbox(body: dict[str, Any], turn: int) -> bool:
    return turn % 2 == 0


def _file(body: dict[str, Any], turn: int) -> Attached:
    allowed = body.get("allowed_file_types") or ["document"]
    at = turn % len(allowed)
    return Attached(*sample_file([*allowed[at:], *allowed[:at]], body.get("allowed_file_extensions") or ()))


def _files(body: dict[str, Any], turn: int) -> list[Attached]:
    return [_file(body, turn), _file(body, turn)][: int(body.get("max_length") or 2)]


def _object(body: dict[str, Any], turn: int) -> dict[str, Any]:
    return {"name": _TEXT, "amount": turn}


def _uploads(settings: dict[str, Any]) -> list[Attached]:
    """A file of each kind that a message may come with."""
    image = settings.get("image") or {}
    if not (settings.get("enabled") or image.get("enabled")):
        return []
    allowed = settings.get("allowed_file_types") or ["image"]
    return [Attached(*sample_file([kind], settings.get("allowed_file_extensions") or ())) for kind in allowed]


_MAKE: dict[str, Callable[[dict[str, Any], int], Any]] = {
    "select": _select,
    "number": _number,
    "checkbox": _checkbox,
    "file": _file,
    "file-list": _files,
    "json_object": _object,
}
