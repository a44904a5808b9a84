"""One node of a plan alone, as an editor tries it: its plan, and the names under which its inputs may be given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from dify_kernel.contracts.node import NodeKind, VariableSelector
from dify_kernel.errors import NotFound
from dify_kernel.graph.defaults import RetryConfig
from dify_kernel.graph.plan import Plan, PlanNode
from dify_kernel.graph.pool import Selector

__all__ = ["Needed", "needed_inputs", "single_plan"]

#: How a config field that holds one selector ends; what stands before is the name of the input.
_SUFFIX = "variable_selector"
#: Fields that clients know by another name.
_KNOWN = {"iterator_selector": "input_selector"}


class Needed(msgspec.Struct, frozen=True):
    """A variable that a node reads. `name` is the node's own name for it, or `#a.b#` for a reference."""

    node_id: str
    name: str
    selector: Selector

    @property
    def key(self) -> str:
        """The name with the node in front, which is unique in a container."""
        return f"{self.node_id}.{self.name}"

    def given(self, inputs: Mapping[str, Any]) -> bool:
        """Whether a value was sent, under any of its names."""
        return any(name in inputs for name in self._names())

    def value(self, inputs: Mapping[str, Any]) -> Any:
        """The value that was sent; None for none."""
        return next((inputs[name] for name in self._names() if name in inputs), None)

    def _names(self) -> Iterator[str]:
        plain = ".".join(self.selector)
        yield from (self.key, self.name, f"{self.node_id}.#{plain}#", f"#{plain}#")


def single_plan(plan: Plan, node_id: str) -> Plan:
    """A plan of that node alone, of whatever depth; NotFound.

    Its error strategy, defaults and body stay. It is not tried again: whoever looks at a node wants the first answer.
    """
    found = _find(plan, node_id)
    if found is None:
        raise NotFound(f"The graph has no node {node_id!r}.", node_id=node_id)
    node = msgspec.structs.replace(found, index=0, incoming=(), outgoing=(), retry=RetryConfig())
    responses = (0,) if found.node.kind is NodeKind.RESPONSE else ()
    return Plan(nodes=(node,), edges=(), root=0, order=(0,), responses=responses)


def needed_inputs(plan: Plan) -> list[Needed]:
    """What the nodes of a plan read from outside of it, each variable once per name.

    Values that the nodes make themselves, and those a container sets for its rounds, are left out.
    """
    inside = set(plan.inner_ids())
    found: dict[tuple[str, str], Needed] = {}
    for node in _all(plan):
        named = dict(_named(node.node.config))
        for selector in node.node.selectors():
            names = [name for name, at in named.items() if at == selector[:2]] or [f"#{'.'.join(selector)}#"]
            for name in names:
                if len(selector) > 1 and selector[0] not in inside:
                    found.setdefault((node.id, name), Needed(node.id, name, selector))
    return list(found.values())


def _find(plan: Plan, node_id: str) -> PlanNode | None:
    return next((node for node in _all(plan) if node.id == node_id), None)


def _all(plan: Plan) -> Iterator[PlanNode]:
    for node in plan.nodes:
        yield node
        if node.body is not None:
            yield from _all(node.body)


def _named(config: Any) -> Iterator[tuple[str, Selector]]:
    """The selectors of a config that have a name of their own: `{variable, value_selector}`, `x_variable_selector`."""
    if isinstance(config, VariableSelector):
        yield config.variable, tuple(config.value_selector[:2])
    elif isinstance(config, msgspec.Struct):
        for name in config.__struct_fields__:
            value = getattr(config, name)
            if (name in _KNOWN or name.endswith(f"_{_SUFFIX}")) and isinstance(value, list | tuple):
                yield _KNOWN.get(name, name.removesuffix(f"_{_SUFFIX}")), tuple(value[:2])
            else:
                yield from _inner(name, value)
    elif isinstance(config, list | tuple):
        for item in config:
            yield from _named(item)


def _inner(name: str, value: Any) -> Iterator[tuple[str, Selector]]:
    """Those of one field; a part with a selector of its own, as `context`, is called `#context#`."""
    selector = getattr(value, _SUFFIX, None) if isinstance(value, msgspec.Struct) else None
    if isinstance(selector, list | tuple) and selector:
        yield f"#{name}#", tuple(selector[:2])
    yield from _named(value)
