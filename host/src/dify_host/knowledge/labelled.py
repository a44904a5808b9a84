"""Labelled sets: passages, questions, and which passage answers which question how well. Read from a folder.

The files are `passages.jsonl` (id, text, and title or not), `queries.jsonl` (id, text), one JSON object a line, and
`qrels.tsv` (query, passage, grade; a first line of names is passed over).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from dify_kernel.errors import BadInput

__all__ = ["Grades", "LabelledSet", "Passage", "Question", "read_labelled"]

Grades = Literal["gain", "rank"]
T = TypeVar("T")

_RANKS = {1: 4.0, 2: 3.0, 3: 2.0, 4: 1.0}


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A text that may be found."""

    id: str
    text: str
    title: str = ""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question with judgements."""

    id: str
    text: str


class LabelledSet(msgspec.Struct, frozen=True, kw_only=True):
    """`gains` are positive, by question and passage; only questions that some passage answers are in it."""

    passages: list[Passage]
    questions: list[Question]
    gains: dict[str, dict[str, float]]


def read_labelled(folder: Path, *, grades: Grades = "gain") -> LabelledSet:
    """Read a set. By `gain`, a grade is how good it is, 0 or less not at all; by `rank`, 1 is best and 4 the least.

    Passages without text are left out. BadInput names the file and the line of what cannot be read.
    """
    passages = [item for item in _records(folder / "passages.jsonl", Passage) if item.text.strip()]
    questions = list(_records(folder / "queries.jsonl", Question))
    for name, ids in (("passages.jsonl", [p.id for p in passages]), ("queries.jsonl", [q.id for q in questions])):
        if len(set(ids)) != len(ids):
            twice = next(id for number, id in enumerate(ids) if id in ids[:number])
            raise BadInput(f"{folder / name} has the id {twice!r} twice.")
    gains = _gains(folder / "qrels.tsv", grades, {passage.id for passage in passages})
    judged = [question for question in questions if gains.get(question.id) and question.text.strip()]
    if not judged:
        raise BadInput(
            f"No question of {folder} has a passage that answers it.",
            hint="Check that the ids of qrels.tsv are those of the other files, and the meaning of its grades.",
        )
    return LabelledSet(passages=passages, questions=judged, gains=gains)


def _records(path: Path, kind: type[T]) -> Iterator[T]:
    decoder = msgspec.json.Decoder(kind)
    for number, line in _lines(path):
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError as exc:
            raise BadInput(f"{path}, line {number}: {exc}.") from exc


def _gains(path: Path, grades: Grades, passages: set[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for number, line in _lines(path):
        parts = line.split("\t")
        try:
            query, passage, grade = parts[0].strip(), parts[1].strip(), _finite(parts[2])
        except (IndexError, ValueError) as exc:
            if number == 1:
                continue  # the names of the columns
            raise BadInput(f"{path}, line {number}: it is not query, passage and grade, split by tabs.") from exc
        gain = grade if grades == "gain" else _RANKS.get(int(grade), 0.0)
        if gain > 0 and passage in passages:
            found.setdefault(query, {})[passage] = gain
    return found


def _finite(text: str) -> float:
    """A grade; ValueError for what is none, and for one that no other can be compared with."""
    grade = float(text)
    if not math.isfinite(grade):
        raise ValueError(f"{text!r} is no grade")
    return grade


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"{path} cannot be read: {exc}.", hint="See docs/retrieval-quality.md for the files.") from exc
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line
