"""How large the result of a string method or filter will be, asked before it is made.

Each function takes the budget and the arguments, and raises TemplateLimit. Operations that are not listed give at most
a few times what they are given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from dify_kernel.templates.budget import MAX_VALUE, Budget, TemplateLimit

__all__ = ["BYTES_METHODS", "FILTERS", "STR_METHODS", "concatenation", "percent", "power", "product"]

MAX_WIDTH: Final = 100_000
#: The longest input of filters that are slow per character.
SLOW: Final = 100_000
_DIGITS: Final = re.compile(r"\d{5,}")
_NESTED: Final = re.compile(r"\{[^{}]*\{")

Estimate = Callable[..., None]


def _number(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _width(position: int, name: str = "width") -> Estimate:
    """A limit on one numeric argument."""

    def check(budget: Budget, _: Any, *args: Any, **kwargs: Any) -> None:
        budget.room(abs(_number(kwargs.get(name, args[position] if len(args) > position else 0))), MAX_WIDTH)

    return check


def _expand_tabs(budget: Budget, text: Any, *args: Any, **kwargs: Any) -> None:
    width = _number(kwargs.get("tabsize", args[0] if args else 8))
    budget.room(len(text) + text.count("\t") * max(width, 0))


def _replace(budget: Budget, text: Any, old: Any = "", new: Any = "", *_: Any, **__: Any) -> None:
    source, before, after = str(text), str(old), str(new)
    growth = max(len(after) - len(before), 0)
    budget.room(len(source) + source.count(before) * growth)


def _join(budget: Budget, separator: Any, parts: Any = (), *_: Any) -> None:
    budget.room(budget.size(parts) + len(separator) * len(parts))


def _translate(budget: Budget, text: Any, table: Any = None, *_: Any) -> None:
    values = table.values() if isinstance(table, dict) else [table]
    budget.room(len(text) * max((budget.size(value) for value in values), default=1))


def _format(budget: Budget, text: Any, *args: Any, **kwargs: Any) -> None:
    _format_text(budget, str(text), text.count("{"), [*args, *kwargs.values()])
    if _NESTED.search(str(text)):
        _small_numbers([*args, *kwargs.values()])


def _format_map(budget: Budget, text: Any, mapping: Any = None, *_: Any) -> None:
    _format(budget, text, **{str(key): value for key, value in (mapping or {}).items()})


def percent(budget: Budget, text: Any, args: Any) -> None:
    """`text % args`, of a string."""
    values = list(args.values()) if isinstance(args, dict) else list(args) if isinstance(args, tuple) else [args]
    _format_text(budget, str(text), text.count("%"), values)
    if "*" in text:
        _small_numbers(values)


def _format_text(budget: Budget, text: str, places: int, values: list[Any]) -> None:
    if _DIGITS.search(text):
        raise TemplateLimit("A format in the template is too wide")
    budget.room(len(text) + places * (max((budget.size(value) for value in values), default=0) + 10_000))


def _small_numbers(values: list[Any]) -> None:
    if any(isinstance(value, int) and abs(value) > 10_000 for value in values):
        raise TemplateLimit("A format in the template is too wide")


def _encode(_: Budget, __: Any, *args: Any, **kwargs: Any) -> None:
    name = str(kwargs.get("encoding", args[0] if args else "utf-8")).lower().replace("_", "-")
    if name not in ("utf-8", "utf8", "ascii", "latin-1"):
        raise TemplateLimit(f"The encoding {name!r} is not available in templates")


def _no(*_: Any, **__: Any) -> None:
    raise TemplateLimit("This method is not available in templates")


STR_METHODS: Final[Mapping[str, Estimate]] = {
    "center": _width(0),
    "ljust": _width(0),
    "rjust": _width(0),
    "zfill": _width(0),
    "expandtabs": _expand_tabs,
    "replace": _replace,
    "join": _join,
    "translate": _translate,
    "format": _format,
    "format_map": _format_map,
    "encode": _encode,
}
BYTES_METHODS: Final[Mapping[str, Estimate]] = {
    **dict.fromkeys(("center", "ljust", "rjust", "zfill", "expandtabs", "join", "translate", "hex"), _no),
    "decode": _encode,
    "replace": _no,
}


# -- operators -------------------------------------------------------------------------------------------------


def product(budget: Budget, left: Any, right: Any) -> None:
    """`left * right`."""
    for value, times in ((left, right), (right, left)):
        if isinstance(value, str | bytes | list | tuple) and isinstance(times, int):
            budget.room(budget.size(value) * max(times, 0))
            budget.room(len(value) * max(times, 0))
    _bits(left, right, lambda one, other: one + other)


def power(left: Any, right: Any) -> None:
    """`left ** right`."""
    _bits(left, right, lambda one, _: one * right if right > 0 else 0)


def concatenation(budget: Budget, left: Any, right: Any) -> None:
    """`left + right`."""
    if isinstance(left, str | bytes | list | tuple):
        budget.room(budget.size(left) + budget.size(right))


def _bits(left: Any, right: Any, count: Callable[[int, int], int]) -> None:
    if isinstance(left, int) and isinstance(right, int) and count(left.bit_length(), right.bit_length()) > 20_000:
        raise TemplateLimit("A number in the template is too large")


# -- filters ---------------------------------------------------------------------------------------------------


def _slow(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> None:
    budget.room(sum(budget.size(item) for item in (value, *args, *kwargs.values())), SLOW)


def _indent(budget: Budget, text: Any, width: Any = 4, *_: Any, **__: Any) -> None:
    step = len(width) if isinstance(width, str) else _number(width)
    budget.room(abs(step), MAX_WIDTH)
    budget.room(budget.size(text) + (str(text).count("\n") + 1) * abs(step))


def _json(budget: Budget, value: Any, indent: Any = None, *_: Any, **__: Any) -> None:
    budget.room(abs(_number(indent)), 16)
    budget.room(budget.size(value) * (1 + abs(_number(indent))), 16 * MAX_VALUE)


def _format_filter(budget: Budget, text: Any, *args: Any, **kwargs: Any) -> None:
    percent(budget, str(text), kwargs or args)


def _join_filter(budget: Budget, parts: Any, separator: Any = "", *_: Any, **__: Any) -> None:
    budget.room(budget.size(parts) + budget.size(separator) * len(parts))


def _word_wrap(budget: Budget, text: Any, *args: Any, **kwargs: Any) -> None:
    _slow(budget, text)
    wrap = kwargs.get("wrapstring", args[2] if len(args) > 2 else "\n")
    budget.room(budget.size(text) * (budget.size(wrap or "\n") + 1))


def _truncate(budget: Budget, text: Any, *args: Any, **kwargs: Any) -> None:
    budget.room(sum(budget.size(item) for item in (text, *args, *kwargs.values())))


FILTERS: Final[Mapping[str, Estimate]] = {
    "center": _width(0),
    "indent": _indent,
    "format": _format_filter,
    "replace": _replace,
    "join": _join_filter,
    "wordwrap": _word_wrap,
    "truncate": _truncate,
    "batch": _width(0, "linecount"),
    "slice": _width(0, "slices"),
    "round": _width(0, "precision"),
    "tojson": _json,
    "pprint": _slow,
    "striptags": _slow,
    "urlize": _slow,
}
