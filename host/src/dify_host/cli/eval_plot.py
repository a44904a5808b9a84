"""Draws a comparison of settings as SVG: bars of the means, and the questions that got better or worse. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from dify_host.cli.knowledge_eval import MEASURES
from dify_host.knowledge.evaluation import mean

if TYPE_CHECKING:
    from dify_host.knowledge.evaluation import Scores

__all__ = ["draw"]

_COLOURS = ("#64748b", "#2563eb", "#16a34a", "#d97706", "#9333ea", "#dc2626")
_WIDTH, _BARS, _ROW = 760, 200, 110


def draw(title: str, names: Sequence[str], scores: Sequence[Sequence[Scores]], top_k: int) -> str:
    """The SVG text; the first setting is the one that the others are compared with."""
    height = 90 + _BARS + 40 + _ROW * (len(names) - 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(20, 28, title, size=16),
        *_legend(names),
        *_means(scores, top_k),
    ]
    for number in range(1, len(names)):
        top = 90 + _BARS + 40 + _ROW * (number - 1)
        parts += _differences(top, names[0], names[number], scores[0], scores[number], _colour(number), top_k)
    return "\n".join([*parts, "</svg>\n"])


def _legend(names: Sequence[str]) -> list[str]:
    parts, left = [], 20.0
    for number, name in enumerate(names):
        shown = name if len(name) <= 40 else name[:39] + "…"
        parts.append(f'<rect x="{left:.0f}" y="44" width="12" height="12" fill="{_colour(number)}"/>')
        parts.append(_text(left + 18, 55, shown))
        left += 40 + 7.5 * len(shown)
    return parts


def _means(scores: Sequence[Sequence[Scores]], top_k: int) -> list[str]:
    """A group of bars for each measure."""
    bottom, group = 80 + _BARS, (_WIDTH - 40) / len(MEASURES)
    width = min(48.0, (group - 40) / len(scores))
    parts = [f'<line x1="20" y1="{bottom}" x2="{_WIDTH - 20}" y2="{bottom}" stroke="#94a3b8"/>']
    for place, (measure, label) in enumerate(MEASURES.items()):
        left = 40 + group * place
        parts.append(_text(left, bottom + 20, label.format(k=top_k)))
        for number, found in enumerate(scores):
            value = mean([getattr(item, measure) for item in found])
            x, tall = left + number * width, value * (_BARS - 20)
            parts.append(
                f'<rect x="{x:.1f}" y="{bottom - tall:.1f}" width="{width - 4:.1f}" height="{tall:.1f}" '
                f'fill="{_colour(number)}"/>'
            )
            parts.append(_text(x, bottom - tall - 5, f"{value:.3f}", size=11))
    return parts


def _differences(
    top: float, base: str, other: str, before: Sequence[Scores], after: Sequence[Scores], colour: str, top_k: int
) -> list[str]:
    """The differences in nDCG question by question, from the worst to the best."""
    found = sorted(b.ndcg - a.ndcg for a, b in zip(before, after, strict=True))
    middle, width = top + 60, (_WIDTH - 40) / max(1, len(found))
    parts = [
        _text(20, top + 12, f"nDCG@{top_k} of {other} minus {base}, question by question"),
        f'<line x1="20" y1="{middle}" x2="{_WIDTH - 20}" y2="{middle}" stroke="#94a3b8"/>',
    ]
    for number, value in enumerate(found):
        tall = abs(value) * 40
        y = middle - tall if value > 0 else middle
        parts.append(
            f'<rect x="{20 + number * width:.2f}" y="{y:.1f}" width="{max(width, 0.5):.2f}" height="{tall:.1f}" '
            f'fill="{colour}"/>'
        )
    return parts


def _text(x: float, y: float, text: str, *, size: int = 13) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="#0f172a">{escape(text)}</text>'


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]
