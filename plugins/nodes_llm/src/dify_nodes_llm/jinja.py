"""Renders jinja2 prompts in a sandbox with a budget: no way to Python's insides, bounded steps, numbers and texts.

Imported only when a prompt uses jinja2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import Any

from dify_kernel.errors import NodeFailed
from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

__all__ = ["STEPS", "render"]

#: What one rendering may take: loop rounds, calls, filters, items of ranges, and thousands of characters or items made.
STEPS = 100_000
#: The largest number that a call or filter may be given, and the largest text that one operation may make.
NUMBER = 100_000
TEXT = 10_000_000

_WIDTH = re.compile(r"\d{6}")
_left: ContextVar[int] = ContextVar("_left")


def _spend(steps: int) -> None:
    left = _left.get() - steps
    _left.set(left)
    if left < 0:
        raise SecurityError(f"it takes more than {STEPS} steps")


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple | dict | range) else 1


def _check(subject: Any, values: Iterable[Any]) -> None:
    """Refuse what would make a huge result out of small parts."""
    for value in values:
        if isinstance(value, int) and abs(value) > NUMBER:
            raise SecurityError(f"a number over {NUMBER} is not allowed here")
        if _size(subject) * _size(value) > TEXT:
            raise SecurityError(f"a text over {TEXT} characters is not allowed")


def _check_format(pattern: Any) -> None:
    if isinstance(pattern, str) and _WIDTH.search(pattern):
        raise SecurityError("a format width of six digits is not allowed")


def _charge(result: Any) -> Any:
    _spend(1 + (_size(result) if isinstance(result, range) else _size(result) // 1000))
    return result


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _spend(1)
        yield item


def _charged(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)  # keeps the marks that ask for the environment or the context
    def filtered(*args: Any, **kwargs: Any) -> Any:
        given = args[1:] if hasattr(function, "jinja_pass_arg") else args
        if given:
            _check(given[0], (*given[1:], *kwargs.values()))
            if name == "format":
                _check_format(given[0])
        return _charge(function(*args, **kwargs))

    return filtered


class _Counting(NodeTransformer):
    """Loops draw their items, and `~` its texts, through counting filters."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        node.iter = nodes.Filter(node.iter, "counted", [], [], None, None)
        return self.generic_visit(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return nodes.Filter(nodes.List(node.nodes), "join", [], [], None, None)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__()
        self.filters = {name: _charged(name, function) for name, function in self.filters.items()}
        self.filters["counted"] = _counted

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Counting().visit(super()._parse(source, name, filename))
        return tree

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        subject = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
        _check(subject, (*args, *kwargs.values()))
        if getattr(__obj, "__name__", "") in ("format", "format_map"):
            _check_format(subject)
        return _charge(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            _check(None, (left, right))
            if isinstance(right, int | float) and abs(right) > 64:
                raise SecurityError("an exponent over 64 is not allowed")
        elif operator == "*" and not (isinstance(left, int | float) and isinstance(right, int | float)):
            text, times = (left, right) if isinstance(left, str) else (right, left)
            if not isinstance(text, str) or (isinstance(times, int) and len(text) * times > TEXT):
                raise SecurityError("only numbers and short texts can be multiplied")
        elif operator == "%":
            _check_format(left)
        return _charge(super().call_binop(context, operator, left, right))


_ENVIRONMENT = _Environment()


@lru_cache(maxsize=256)
def _compiled(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)


def render(source: str, variables: Mapping[str, Any], limit: int) -> str:
    """The rendered text; NodeFailed when the template is wrong, costs too much, or is longer than `limit`."""
    size, out = 0, []
    token = _left.set(STEPS)
    try:
        for piece in _compiled(source).generate(variables):
            size += len(piece)
            if size > limit:
                raise SecurityError(f"the text is longer than {limit} characters")
            out.append(piece)
    except (TemplateError, RecursionError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as exc:
        raise NodeFailed(
            f"The jinja2 prompt cannot be rendered: {exc or type(exc).__name__}.", error_type="TemplateTransformError"
        ) from exc
    finally:
        _left.reset(token)
    return "".join(out)
