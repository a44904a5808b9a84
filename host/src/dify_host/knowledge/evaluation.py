"""Measures of a ranking against judgements, and whether two settings really differ. Pure.

A ranking is passage ids, best first; gains are positive, by passage id.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import msgspec

__all__ = ["Comparison", "Scores", "compare", "mean", "ndcg", "recall", "reciprocal_rank", "score"]

_RESAMPLES = 2000


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """The measures of one question, each in [0, 1]."""

    ndcg: float
    recall: float
    reciprocal_rank: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A paired difference over questions (other minus base), its 95 % interval, and how many got better or worse."""

    difference: float
    low: float
    high: float
    better: int
    same: int
    worse: int

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


def score(ranking: Sequence[str], gains: Mapping[str, float], k: int) -> Scores:
    """All measures of the first `k` of a ranking."""
    return Scores(
        ndcg=ndcg(ranking, gains, k), recall=recall(ranking, gains, k), reciprocal_rank=reciprocal_rank(ranking, gains)
    )


def ndcg(ranking: Sequence[str], gains: Mapping[str, float], k: int) -> float:
    """Normalised discounted cumulative gain: linear gains, discounted by log2(rank + 1), over the best order's."""
    best = _discounted(sorted(gains.values(), reverse=True)[:k])
    return _discounted([gains.get(id, 0.0) for id in ranking[:k]]) / best if best else 0.0


def recall(ranking: Sequence[str], gains: Mapping[str, float], k: int) -> float:
    """The share of the passages with a gain that are among the first `k`."""
    return len(gains.keys() & set(ranking[:k])) / len(gains) if gains else 0.0


def reciprocal_rank(ranking: Sequence[str], gains: Mapping[str, float]) -> float:
    """1 / rank of the first passage with a gain; 0 when there is none."""
    return next((1 / rank for rank, id in enumerate(ranking, 1) if id in gains), 0.0)


def mean(values: Sequence[float]) -> float:
    """The mean; 0 of nothing."""
    return math.fsum(values) / len(values) if values else 0.0


def compare(base: Sequence[float], other: Sequence[float], *, seed: int = 0) -> Comparison:
    """Compare one measure question by question; the interval is a bootstrap over questions, the same for a seed."""
    differences = [b - a for a, b in zip(base, other, strict=True)]
    chosen = random.Random(seed)  # noqa: S311 - nothing secret is drawn
    means = sorted(mean(chosen.choices(differences, k=len(differences))) for _ in range(_RESAMPLES))
    return Comparison(
        difference=mean(differences),
        low=means[int(0.025 * _RESAMPLES)],
        high=means[int(0.975 * _RESAMPLES) - 1],
        better=sum(d > 1e-9 for d in differences),
        same=sum(abs(d) <= 1e-9 for d in differences),
        worse=sum(d < -1e-9 for d in differences),
    )


def _discounted(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
