"""Words and their ranking for stores without a ranked full text of their own: tokens of any script, and BM25."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

__all__ = ["Bm25", "ascii_words", "bm25", "query_terms", "runs", "text_terms"]

_K1, _B = 1.2, 0.75
_LONGEST_WORD = 64
_ASCII_WORD = re.compile(r"[a-z0-9]+")

#: First and last code point of the scripts that are written without spaces between words.
_UNSPACED = (
    (0x0E00, 0x0E7F),  # thai
    (0x0E80, 0x0EFF),  # lao
    (0x1000, 0x109F),  # burmese
    (0x1780, 0x17FF),  # khmer
    (0x19E0, 0x19FF),  # khmer symbols
    (0xA9E0, 0xA9FF),  # burmese, extension B
    (0xAA60, 0xAA7F),  # burmese, extension A
    (0x3040, 0x30FF),  # hiragana, katakana
    (0x31F0, 0x31FF),  # katakana extensions
    (0x3400, 0x4DBF),  # han, extension A
    (0x4E00, 0x9FFF),  # han
    (0xAC00, 0xD7AF),  # hangul
    (0xF900, 0xFAFF),  # han, compatibility
    (0x20000, 0x323AF),  # han, extensions B to H
)


_CLASS = "".join(f"{chr(first)}-{chr(last)}" for first, last in _UNSPACED)
_HOLDS_UNSPACED = re.compile(f"[{_CLASS}]").search
_IS_UNSPACED = re.compile(f"[{_CLASS}]+").fullmatch


class _Separated(dict[int, int]):
    """For `str.translate`: letters, digits and marks as they are, everything else a space; filled as texts need it."""

    def __missing__(self, code: int) -> int:
        found = code if unicodedata.category(chr(code))[0] in "LNM" else 0x20
        if len(self) < _MOST_SEEN:
            self[code] = found
        return found


_MOST_SEEN = 20_000  # code points, more than a language has; what comes after them is looked up each time
_SEPARATED = _Separated()


def ascii_words(text: str) -> list[str] | None:
    """The runs of a text that is all ASCII, which `runs` gives one by one; None of any other."""
    return _ASCII_WORD.findall(text.lower()) if text.isascii() else None


def runs(text: str) -> Iterator[tuple[str, bool]]:
    """The maximal runs of letters, digits and marks, folded (NFKC, no case); True marks a run of Chinese, Japanese,
    Korean, Thai, Lao, Burmese or Khmer: one or more characters of which any two in sequence count as a word."""
    words = ascii_words(text)
    if words is not None:
        yield from ((word, False) for word in words)
        return
    for piece in unicodedata.normalize("NFKC", text).casefold().translate(_SEPARATED).split():
        if not _HOLDS_UNSPACED(piece):
            yield piece, False
        elif _IS_UNSPACED(piece):
            yield piece, True
        else:
            yield from _mixed(piece)


def _mixed(piece: str) -> Iterator[tuple[str, bool]]:
    """The runs of letters, digits and marks without a separator; a mark belongs to what it stands on."""
    run, unspaced = "", False
    for char in piece:
        kind = _HOLDS_UNSPACED(char) is not None
        if run and kind is not unspaced and not unicodedata.combining(char):
            yield run, unspaced
            run = ""
        if not run:
            unspaced = kind
        run += char
    yield run, unspaced


def text_terms(text: str) -> list[str]:
    """What a stored text can be found by: its words, and single and paired characters of unspaced scripts.

    No term holds a space or is over 64 characters, so they may be joined by spaces for an engine that splits there.
    """
    words = ascii_words(text)
    if words is not None and max(map(len, words), default=0) <= _LONGEST_WORD:
        return words
    terms: list[str] = []
    for run, unspaced in runs(text):
        if not unspaced:
            terms.append(_word(run))
            continue
        terms.extend(run)
        terms.extend(a + b for a, b in pairwise(run))
    return terms


def query_terms(text: str) -> list[str]:
    """What a query looks for, each once: its words, and pairs of unspaced characters (a lone one stands for itself)."""
    terms: dict[str, None] = {}
    for run, unspaced in runs(text):
        found = [a + b for a, b in pairwise(run)] if unspaced and len(run) > 1 else [_word(run)]
        terms.update(dict.fromkeys(found))
    return list(terms)


class Bm25:
    """Ranks documents for one query while they pass by; keeps only what the query's words need of each."""

    def __init__(self, query: str) -> None:
        self._wanted = query_terms(query)
        self._documents = 0
        self._length = 0
        self._holding: Counter[str] = Counter()
        self._found: dict[str, tuple[int, dict[str, int]]] = {}

    def add(self, documents: Iterable[tuple[str, str]]) -> set[str]:
        """Take documents (id and text); the ids of those that share a word with the query."""
        sharing = set()
        for id, text in documents:
            counts = Counter(text_terms(text))
            if self.add_counted(id, counts.total(), counts):
                sharing.add(id)
        return sharing

    def add_counted(self, id: str, length: int, counts: Mapping[str, int]) -> bool:
        """Take a document by how many words it has and how often each of the query's; whether it shares one."""
        self._documents += 1
        self._length += length
        shared = {term: counts[term] for term in self._wanted if counts.get(term)}
        if shared:
            self._holding.update(shared.keys())
            self._found[id] = (length, shared)
        return bool(shared)

    def ranked(self, documents: int | None = None) -> list[tuple[str, float]]:
        """Ids and scores, best first, ties by id; `documents` is how many there are when only some were added."""
        total = max(documents or 0, self._documents)
        mean = self._length / self._documents if self._documents else 0.0
        weight = {term: math.log(1 + (total - n + 0.5) / (n + 0.5)) for term, n in self._holding.items()}
        scores = {
            id: sum(
                weight[term] * count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * length / mean))
                for term, count in shared.items()
            )
            for id, (length, shared) in self._found.items()
        }
        return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def bm25(query: str, documents: Mapping[str, str]) -> list[tuple[str, float]]:
    """The documents (text by id) that share a word with the query and their score, best first, ties by id."""
    words = Bm25(query)
    words.add(documents.items())
    return words.ranked()


def _word(run: str) -> str:
    """A word, or of one that no engine would take whole its beginning with a hash."""
    if len(run) <= _LONGEST_WORD:
        return run
    return run[: _LONGEST_WORD - 16] + hashlib.blake2b(run.encode(errors="replace"), digest_size=8).hexdigest()
