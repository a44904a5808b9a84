"""Jinja2 in the process, without trust in the template: no attribute tricks, and a budget on everything that grows.

The dialect is Jinja2's default with its lenient undefined. Not there: loaders, `lipsum`, regular expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache, wraps
from typing import Any, cast

from jinja2 import Template as JinjaTemplate
from jinja2 import nodes, pass_context
from jinja2.exceptions import TemplateError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from dify_kernel.errors import NodeFailed
from dify_kernel.templates.budget import CURRENT, JOINED, Budget, TemplateLimit
from dify_kernel.templates.estimates import (
    BYTES_METHODS,
    FILTERS,
    STR_METHODS,
    concatenation,
    percent,
    power,
    product,
)

__all__ = ["CompiledTemplate", "compile_template"]

_CONSUMING = ("join", "sum", "list", "length", "count", "sort", "first", "last", "reverse")


class _Namespace(Namespace):
    """A namespace that does not print what it holds: it may hold itself."""

    def __repr__(self) -> str:
        return "<Namespace>"


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox of Jinja2 with a budget under every call, filter, operator, literal and loop."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(loader=None, optimized=False, finalize=_finalize, cache_size=0)
        self.globals.pop("lipsum")
        self.globals["namespace"] = _Namespace
        self.filters["sum"] = _sum
        self.filters["random"] = _random
        self.filters = {name: _guarded(name, function) for name, function in self.filters.items()}
        self.filters.update({"_step": _step, "_concat": _concat, "_made": _made})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return _instrument(super()._parse(source, name, filename))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call what a template calls: a step, an estimate before, a measurement after."""
        budget = CURRENT.get()
        budget.step()
        target = getattr(__obj, "__wrapped__", __obj)
        owner = getattr(target, "__self__", None)
        if isinstance(owner, str | bytes):
            args = _spent(args) if target.__name__ == "join" else args
            given = {key: value for key, value in kwargs.items() if key not in ("_loop_vars", "_block_vars")}
            table = STR_METHODS if isinstance(owner, str) else BYTES_METHODS
            _estimate(table, target.__name__, budget, owner, args, given)
        elif getattr(target, "__name__", "") == "to_bytes":
            raise TemplateLimit("to_bytes is not available in templates")
        return budget.made(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The intercepted operators."""
        budget = CURRENT.get()
        if operator == "*":
            product(budget, left, right)
        elif operator == "**":
            power(left, right)
        elif operator == "+":
            return _added(budget, left, right)
        elif isinstance(left, str):
            percent(budget, left, right)
        return budget.made(super().call_binop(context, operator, left, right))


# -- what the template may call --------------------------------------------------------------------------------


def _added(budget: Budget, left: Any, right: Any) -> Any:
    """`left + right`; the size of joined lists is known without walking them, so appending in a loop stays cheap."""
    concatenation(budget, left, right)
    result = left + right
    if isinstance(result, list | tuple):
        budget.remember(result, budget.size(left) + budget.size(right))
    return budget.made(result, JOINED)


def _estimate(
    table: Mapping[str, Callable[..., None]], name: str, budget: Budget, value: Any, args: Any, kwargs: Any
) -> None:
    check = table.get(name)
    if check is not None:
        check(budget, value, *args, **kwargs)


def _spent(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with lazy sequences turned into lists, so that they can be measured."""
    return tuple(list(item) if isinstance(item, Iterator) else item for item in args)


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter with a step, an estimate before and a measurement after; its needs (context, environment) stay."""
    leading = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        budget = CURRENT.get()
        budget.step()
        if name in _CONSUMING:
            args = args[:leading] + _spent(args[leading:])
        for item in args[leading:]:
            budget.room(budget.size(item))
        _estimate(FILTERS, name, budget, args[leading] if len(args) > leading else "", args[leading + 1 :], kwargs)
        return budget.made(function(*args, **kwargs))

    return call


def _step(cost: int) -> str:
    """Put at the start of every loop and macro body."""
    CURRENT.get().step(cost if isinstance(cost, int) and cost > 0 else 0)  # a template can name this filter too
    return ""


def _made(value: Any) -> Any:
    """Put around list, tuple and dict literals."""
    return CURRENT.get().made(value)


def _concat(parts: list[Any]) -> Any:
    """The `~` operator."""
    budget = CURRENT.get()
    budget.room(sum(budget.size(part) for part in parts))
    return budget.made("".join(str(part) for part in parts), JOINED)


@pass_context
def _finalize(_: Context, value: Any) -> Any:
    """Every printed value passes here before it becomes text."""
    budget = CURRENT.get()
    size = budget.size(value)
    budget.room(size)
    budget.step(size)
    return value


@pass_context
def _sum(context: Context, iterable: Any, attribute: str | int | None = None, start: Any = 0) -> Any:
    """The sum of numbers, or of lists; Jinja's own takes quadratic time for lists."""
    if attribute is not None:
        iterable = context.environment.call_filter("map", iterable, kwargs={"attribute": attribute}, context=context)
    if isinstance(start, list):
        joined = list(start)
        for item in iterable:
            CURRENT.get().step()
            joined.extend(item)
            CURRENT.get().room(len(joined))
        return joined
    return sum(iterable, start)


@pass_context
def _random(context: Context, sequence: Any) -> Any:
    """A random item, the same one each time this node of this run is replayed."""
    items = list(sequence)
    return CURRENT.get().choose(items) if items else context.environment.undefined("No random item.")


# -- the syntax tree -------------------------------------------------------------------------------------------


def _instrument(template: nodes.Template) -> nodes.Template:
    """Put steps into loop and macro bodies, and measurements around literals and `~`."""
    for body in template.find_all((nodes.For, nodes.Macro, nodes.CallBlock)):
        _add_step(cast(nodes.For | nodes.Macro | nodes.CallBlock, body))
    _wrap(template)
    return template


def _add_step(body: nodes.For | nodes.Macro | nodes.CallBlock) -> None:
    cost = nodes.Const(_text_length(body.body))
    step = nodes.Filter(cost, "_step", [], [], None, None, lineno=body.lineno)
    body.body.insert(0, nodes.ExprStmt(step, lineno=body.lineno))


def _text_length(body: Sequence[nodes.Node]) -> int:
    """Characters of literal text in a body, nested loops apart: those pay for themselves."""
    total = 0
    for node in body:
        if isinstance(node, nodes.TemplateData):
            total += len(node.data)
        elif not isinstance(node, nodes.For | nodes.Macro | nodes.CallBlock):
            total += _text_length(list(node.iter_child_nodes()))
    return total


def _wrap(node: nodes.Node) -> None:
    for field, value in node.iter_fields():
        if isinstance(value, list):
            value[:] = [_wrapped(item) if isinstance(item, nodes.Node) else item for item in value]
        elif isinstance(value, nodes.Node):
            setattr(node, field, _wrapped(value))


def _wrapped(node: nodes.Node) -> nodes.Node:
    _wrap(node)
    if isinstance(node, nodes.Concat):
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "_concat", [], [], None, None, lineno=node.lineno)
    loaded = not isinstance(node, nodes.Tuple) or node.ctx == "load"
    if isinstance(node, nodes.List | nodes.Tuple | nodes.Dict) and loaded:
        return nodes.Filter(node, "_made", [], [], None, None, lineno=node.lineno)
    return node


# -- the door --------------------------------------------------------------------------------------------------


class CompiledTemplate:
    """One template, compiled once; `render` may be called by any number of runs."""

    def __init__(self, template: JinjaTemplate) -> None:
        self._render = template.root_render_func
        self._environment = template.environment
        self._blocks = template.blocks

    def render(self, variables: Mapping[str, Any], *, max_length: int, seed: str = "") -> str:
        """The text; NodeFailed when the template fails, goes over its budget, or gives more than `max_length`."""
        budget = Budget(seed=seed, max_output=max_length)
        token = CURRENT.set(budget)
        try:
            pieces: list[str] = []
            left = max_length
            names = {**self._environment.globals, **variables}
            for piece in self._render(Context(self._environment, names, None, self._blocks)):
                pieces.append(piece)
                left -= len(piece)
                if left < 0:
                    raise NodeFailed(
                        f"Output length exceeds {max_length} characters",
                        error_type="TemplateTransformNodeError",
                        hint="Shorten the template, or raise TEMPLATE_TRANSFORM_MAX_LENGTH.",
                    )
            return "".join(pieces)
        except NodeFailed:
            raise
        except Exception as exc:
            raise _failure(exc) from exc
        finally:
            CURRENT.reset(token)


_environment = cache(_Environment)


@lru_cache(maxsize=512)
def compile_template(source: str) -> CompiledTemplate:
    """Compile a template, or give the one compiled before; NodeFailed names the line of a syntax error."""
    token = CURRENT.set(Budget())
    try:
        return CompiledTemplate(_environment().from_string(source))
    except Exception as exc:
        raise _failure(exc) from exc
    finally:
        CURRENT.reset(token)


def _failure(exc: Exception) -> NodeFailed:
    """The failure of the node, in words that a builder can act on."""
    if isinstance(exc, RecursionError):
        return NodeFailed("The template calls itself too deeply", error_type="RecursionError")
    if isinstance(exc, TemplateLimit):
        return NodeFailed(str(exc), error_type="TemplateTransformNodeError")
    line = getattr(exc, "lineno", None)
    where = f" (line {line})" if line and isinstance(exc, TemplateError) else ""
    return NodeFailed(f"{exc}{where}" or type(exc).__name__, error_type=type(exc).__name__)
