"""Words and their ranking for stores without a ranked full text of their own: tokens of any script, and BM25."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

__all__ = ["bm25", "query_terms", "runs", "text_terms"]

_K1, _B = 1.2, 0.75
_ASCII_WORD = re.compile(r"[a-z0-9]+")

#: First and last code point of the scripts that are written without spaces between words.
_UNSPACED = (
    (0x3040, 0x30FF),  # hiragana, katakana
    (0x31F0, 0x31FF),  # katakana extensions
    (0x3400, 0x4DBF),  # han, extension A
    (0x4E00, 0x9FFF),  # han
    (0xAC00, 0xD7AF),  # hangul
    (0xF900, 0xFAFF),  # han, compatibility
    (0x20000, 0x323AF),  # han, extensions B to H
)


def runs(text: str) -> Iterator[tuple[str, bool]]:
    """The maximal runs of letters, digits and marks, folded (NFKC, no case); True marks a run of Chinese, Japanese or
    Korean, which is one or more characters of which any two in sequence count as a word."""
    if text.isascii():
        yield from ((word, False) for word in _ASCII_WORD.findall(text.lower()))
        return
    run, unspaced = "", False
    for char in unicodedata.normalize("NFKC", text).casefold():
        if unicodedata.category(char)[0] not in "LNM":
            if run:
                yield run, unspaced
            run = ""
            continue
        kind = _is_unspaced(char)
        if run and kind is not unspaced and not unicodedata.combining(char):
            yield run, unspaced
            run = ""
        if not run:
            unspaced = kind
        run += char
    if run:
        yield run, unspaced


def text_terms(text: str) -> list[str]:
    """What a stored text can be found by: its words, and single and paired characters of unspaced scripts."""
    terms: list[str] = []
    for run, unspaced in runs(text):
        if not unspaced:
            terms.append(run)
            continue
        terms.extend(run)
        terms.extend(a + b for a, b in pairwise(run))
    return terms


def query_terms(text: str) -> list[str]:
    """What a query looks for, each once: its words, and pairs of unspaced characters (a lone one stands for itself)."""
    terms: dict[str, None] = {}
    for run, unspaced in runs(text):
        found = [a + b for a, b in pairwise(run)] if unspaced and len(run) > 1 else [run]
        terms.update(dict.fromkeys(found))
    return list(terms)


def bm25(query: str, documents: Mapping[str, str]) -> list[tuple[str, float]]:
    """The documents (text by id) that share a word with the query and their score, best first, ties by id."""
    wanted = query_terms(query)
    counts = {id: Counter(text_terms(text)) for id, text in documents.items()}
    lengths = {id: sum(count.values()) for id, count in counts.items()}
    mean = sum(lengths.values()) / len(lengths) if lengths else 0.0
    weight = {term: _rarity(term, list(counts.values())) for term in wanted}
    scores = {}
    for id, count in counts.items():
        score = sum(
            weight[term] * count[term] * (_K1 + 1) / (count[term] + _K1 * (1 - _B + _B * lengths[id] / mean))
            for term in wanted
            if count[term]
        )
        if score > 0:
            scores[id] = score
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def _rarity(term: str, counts: Sequence[Counter[str]]) -> float:
    holding = sum(1 for count in counts if term in count)
    return math.log(1 + (len(counts) - holding + 0.5) / (holding + 0.5))


def _is_unspaced(char: str) -> bool:
    code = ord(char)
    return code >= 0x3040 and any(first <= code <= last for first, last in _UNSPACED)
