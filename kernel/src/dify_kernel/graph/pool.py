"""The variable pool of a run: node id -> name -> value, and the templates that read it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from dify_kernel.graph.values import Value, ValueType, follow, infer, markdown, plain, text

__all__ = ["HIDDEN", "REFERENCE", "Pool", "Selector", "Template", "template_selectors"]

Selector = tuple[str, ...]
"""Node id, name, then optional attributes: ("llm", "usage", "total_tokens")."""

#: `{{#id.name(.attr)*#}}`, without blanks inside.
REFERENCE: Final = re.compile(r"\{\{#([a-zA-Z0-9_]{1,50}(?:\.[a-zA-Z_][a-zA-Z0-9_]{0,29}){1,10})#\}\}")


#: How the name of a secret begins where its value is hidden.
HIDDEN: Final = "[secret:"
_SECRET: Final = ValueType.SECRET


class Template:
    """A text with references, split once: `parts` alternates literal strings and selectors."""

    __slots__ = ("parts", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        pieces = REFERENCE.split(source)
        self.parts: tuple[str | Selector, ...] = tuple(
            tuple(piece.split(".")) if index % 2 else piece for index, piece in enumerate(pieces) if index % 2 or piece
        )

    @property
    def selectors(self) -> list[Selector]:
        """The selectors in order of appearance, repeats included."""
        return [part for part in self.parts if isinstance(part, tuple)]


def template_selectors(source: str) -> list[Selector]:
    """The selectors that a text refers to."""
    return Template(source).selectors


class Pool:
    """Values by node and name. One writer (the run's coordinator); nodes only read.

    `secrets` maps the secret strings that were put in to their names, so that events and logs can mask them.
    """

    __slots__ = ("_nodes", "secrets")

    def __init__(self) -> None:
        self._nodes: dict[str, dict[str, Value]] = {}
        self.secrets: dict[str, str] = {}

    def set(self, node_id: str, name: str, data: Any) -> None:
        """Store one value, inferring its type unless it is a Value already."""
        self.update(node_id, {name: data})

    def update(self, node_id: str, values: Mapping[str, Any]) -> None:
        """Store several values of one node."""
        if not values:
            return
        names = self._nodes.setdefault(node_id, {})
        for name, data in values.items():
            names[name] = value = infer(data)
            if value.type is _SECRET and value.data:
                self.secrets[str(value.data)] = name

    def get(self, selector: Sequence[str]) -> Value | None:
        """The value that a selector of at least two parts names; None when missing.

        Names with dots (`files.0`) do not exist; ("sys", "query") and ("start", "sys.query") both do.
        """
        if len(selector) < 2:
            return None
        names = self._nodes.get(selector[0])
        if names is None:
            return None
        found = names.get(selector[1])
        if found is None:
            return names.get(".".join(selector[1:])) if len(selector) > 2 else None
        return follow(found, tuple(selector[2:])) if len(selector) > 2 else found

    def has(self, selector: Sequence[str]) -> bool:
        """Whether the selector names a value, null included."""
        return self.get(selector) is not None

    def node(self, node_id: str) -> Mapping[str, Value]:
        """All values of a node."""
        return self._nodes.get(node_id, {})

    def remove(self, node_ids: Iterable[str]) -> None:
        """Forget every value of these nodes."""
        for node_id in node_ids:
            self._nodes.pop(node_id, None)

    def render(self, template: str | Template, *, as_markdown: bool = False) -> str:
        """The text with every reference replaced; a missing one stays as its bare inner text (`a.b`)."""
        if isinstance(template, str):
            if "{{#" not in template:
                return template
            template = Template(template)
        shape = markdown if as_markdown else text
        out: list[str] = []
        for part in template.parts:
            if isinstance(part, str):
                out.append(part)
            else:
                value = self.get(part)
                out.append(".".join(part) if value is None else shape(value))
        return "".join(out)

    def mask(self, data: Any) -> Any:
        """Plain data with every secret string replaced by `[secret:NAME]`, wherever it stands."""
        if isinstance(data, str):
            for secret, name in self.secrets.items():
                if secret in data:
                    data = data.replace(secret, f"{HIDDEN}{name}]")
            return data
        if isinstance(data, dict):
            return {key: self.mask(item) for key, item in data.items()}
        if isinstance(data, list | tuple):
            return [self.mask(item) for item in data]
        return data

    def unmask(self, data: Any) -> Any:
        """What `mask` hid, clear again."""
        if isinstance(data, str):
            for secret, name in self.secrets.items():
                data = data.replace(f"{HIDDEN}{name}]", secret)
            return data
        if isinstance(data, dict):
            return {key: self.unmask(item) for key, item in data.items()}
        if isinstance(data, list | tuple):
            return [self.unmask(item) for item in data]
        return data

    def copy(self) -> Pool:
        """A pool of its own: names are copied, values (which are never changed in place) are shared."""
        other = Pool()
        other._nodes = {node_id: dict(names) for node_id, names in self._nodes.items()}
        other.secrets = dict(self.secrets)
        return other

    def dump(self) -> dict[str, dict[str, tuple[str, Any]]]:
        """Everything as plain data with types, for the run log; secrets are masked, whoever loads puts them back."""
        return {
            node_id: {name: (value.type.value, self.mask(plain(value.data))) for name, value in names.items()}
            for node_id, names in self._nodes.items()
        }

    @classmethod
    def load(cls, data: Mapping[str, Mapping[str, Sequence[Any]]]) -> Pool:
        """The pool that `dump` wrote."""
        pool = cls()
        for node_id, names in data.items():
            for name, (kind, raw) in names.items():
                value = infer(raw)
                pool.set(node_id, name, Value(ValueType(kind), value.data))
        return pool

    def __iter__(self) -> Iterator[tuple[str, str, Value]]:
        for node_id, names in self._nodes.items():
            for name, value in names.items():
                yield node_id, name, value
