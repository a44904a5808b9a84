"""Words of a text for keyword search, the same for every language without a dictionary.

Runs of letters and digits are words, without case; scripts without blanks give pairs of neighbouring characters, which
finds any phrase of two or more. They are cut as full-text search cuts them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from dify_kernel.contracts.lexical import runs

__all__ = ["MAX_KEYWORD", "keyword_scores", "keywords", "words"]

MAX_KEYWORD = 64

_COMMON = (
    "a an and are as at be but by for from had has have he her his if in into is it its no not of on or our s she so "
    "such t that the their them then there these they this to was we were what when where which who will with you your "
    "can could do does did how i me my than too very would should about also any been being because before after "
    "的 了 是 在 和 与 及 或"
)
_STOPWORDS = frozenset(_COMMON.split())


def words(text: str) -> list[str]:
    """Return the words of a text in order, repetitions included, stop words left out."""
    out: list[str] = []
    for run, unspaced in runs(text):
        if unspaced and len(run) > 1:
            out.extend(a + b for a, b in pairwise(run))
        elif run not in _STOPWORDS:
            out.append(run[:MAX_KEYWORD])
    return out


def keywords(text: str, limit: int) -> list[str]:
    """Return the words that stand out: the most frequent first, longer before shorter."""
    counts = Counter(word for word in words(text) if len(word) > 1 and not word.isdigit())
    return sorted(counts, key=lambda word: (-counts[word], -len(word), word))[:limit]


def keyword_scores(query: str, texts: Sequence[str]) -> list[float]:
    """Score each text against the query: the cosine of their TF-IDF vectors, in [0, 1], in the order of the texts.

    The weight of a word is ln((1 + N) / (1 + df)) + 1 over these texts, N of them.
    """
    documents = [Counter(words(text)) for text in texts]
    frequency = Counter(word for document in documents for word in document)
    total = len(documents)

    def weigh(counts: Counter[str]) -> dict[str, float]:
        return {w: n * (math.log((1 + total) / (1 + frequency[w])) + 1) for w, n in counts.items()}

    wanted = weigh(Counter(words(query)))
    wanted_norm = math.sqrt(sum(weight * weight for weight in wanted.values()))
    scores = []
    for document in map(weigh, documents):
        norm = math.sqrt(sum(weight * weight for weight in document.values()))
        dot = sum(weight * document.get(word, 0.0) for word, weight in wanted.items())
        scores.append(min(dot / (norm * wanted_norm), 1.0) if norm and wanted_norm else 0.0)
    return scores
