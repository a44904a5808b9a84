"""Compiles a DSL graph to an immutable plan; every problem is reported with its node id, not only the first.

The nodes inside a container become a plan of their own, the container's `body`. Nothing that a plan is made of leads
back to where it came from, so its structs are left out of garbage collection (`gc=False`): a plan of thousands of nodes
would be walked through while it is made, and again with every later collection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, Final, Literal

import msgspec

from dify_kernel.contracts.node import ContainerNode, InlineNode, Node, NodeKind
from dify_kernel.errors import BadInput, InvalidGraph, PluginError, PluginNotFound
from dify_kernel.graph.defaults import DefaultValue, RetryConfig, convert_default
from dify_kernel.graph.pool import Selector

__all__ = ["Edge", "Plan", "PlanNode", "Problem", "compile_plan", "inspect_graph"]

RESERVED: Final = frozenset(("sys", "env", "conversation", "rag"))
FAIL_BRANCH: Final = "fail-branch"
DEFAULT_VALUE: Final = "default-value"


class Problem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing that is wrong with a graph. Errors stop it from running, warnings do not."""

    code: str
    message: str
    node_id: str | None = None
    severity: Literal["error", "warning"] = "error"


class Edge(msgspec.Struct, frozen=True, gc=False):
    """One edge between two plan nodes, by their indexes."""

    index: int
    source: int
    target: int
    handle: str


class PlanNode(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One node of a plan with everything the engine asks for at run time."""

    index: int
    id: str
    type: str
    title: str
    node: Node
    inline: bool
    branching: bool
    strategy: str | None
    retry: RetryConfig
    defaults: dict[str, Any]
    incoming: tuple[int, ...]
    outgoing: tuple[int, ...]
    body: Plan | None = None
    extras: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A compiled graph, shared by all its runs. `nodes` is in document order, `order` topological."""

    nodes: tuple[PlanNode, ...]
    edges: tuple[Edge, ...]
    root: int
    order: tuple[int, ...]
    responses: tuple[int, ...]
    warnings: tuple[Problem, ...] = ()

    def inner_ids(self) -> list[str]:
        """The ids of all its nodes, and of those inside its containers."""
        found = []
        for node in self.nodes:
            found.append(node.id)
            found += node.body.inner_ids() if node.body else []
        return found

    def find(self, node_id: str) -> PlanNode | None:
        """The node with that id."""
        return next((node for node in self.nodes if node.id == node_id), None)


Resolve = Callable[[str, str], type[Node]]
"""Gives the node class of a type and version; PluginNotFound when nothing offers it."""


class _Envelope(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    type: str = ""
    title: str = ""
    version: str | float = "1"
    error_strategy: str | None = None
    default_value: list[DefaultValue] | None = None
    retry_config: RetryConfig | None = None


_UNREAD: Final = _Envelope()
_NO_RETRY: Final = RetryConfig()
#: Of most nodes; nothing is put into it.
_NOTHING: Final[dict[str, Any]] = {}


def inspect_graph(graph: Mapping[str, Any], resolve: Resolve, *, root_id: str | None = None) -> list[Problem]:
    """Every problem of a graph, errors first; an empty list means that it compiles cleanly."""
    try:
        return list(compile_plan(graph, resolve, root_id=root_id).warnings)
    except InvalidGraph as exc:
        return list(exc.problems)


def compile_plan(graph: Mapping[str, Any], resolve: Resolve, *, root_id: str | None = None) -> Plan:
    """The plan of a graph `{nodes, edges}`; InvalidGraph carries every problem.

    Notes are left out; edges from nodes that the root does not reach do not count.
    """
    reader = _Reader(resolve)
    reader.read_nodes(graph.get("nodes") or [])
    reader.read_edges(graph.get("edges") or [])
    plan = _Compiler(reader, "").plan(root_id)
    errors = [problem for problem in reader.problems if problem.severity == "error"]
    if plan is None or errors:
        lines = "; ".join(f"{p.node_id}: {p.message}" if p.node_id else p.message for p in errors[:5])
        more = f" (and {len(errors) - 5} more)" if len(errors) > 5 else ""
        ordered = errors + [problem for problem in reader.problems if problem.severity != "error"]
        raise InvalidGraph(f"The graph cannot run: {lines}{more}", problems=ordered)
    return msgspec.structs.replace(plan, warnings=tuple(reader.problems))


class _Draft(msgspec.Struct, gc=False, eq=False):
    """A node while the plan is being made.

    What its node says is asked for at once, while that is in the processor's cache: of thousands it would have to be
    fetched again.
    """

    id: str
    parent: str
    envelope: _Envelope = _UNREAD
    node: Node | None = None
    kind: NodeKind | None = None
    refers: list[Selector] | None = None
    extras: dict[str, Any] | None = None
    defaults: dict[str, Any] | None = None


class _Reader:
    """Reads a graph: its nodes by the container they are in ("" for none), its edges, and what is wrong with either."""

    def __init__(self, resolve: Resolve) -> None:
        self.resolve = resolve
        self.classes: dict[tuple[str, str | float], type[Node]] = {}
        self.problems: list[Problem] = []
        self.drafts: dict[str, _Draft] = {}
        self.groups: dict[str, list[str]] = {}
        self.edges: dict[str, list[tuple[str, str, str]]] = {}

    def problem(self, code: str, message: str, node_id: str | None = None, *, warning: bool = False) -> None:
        """Note what is wrong."""
        self.problems.append(
            Problem(code=code, message=message, node_id=node_id, severity="warning" if warning else "error")
        )

    # -- nodes ------------------------------------------------------------------------------------------------

    def read_nodes(self, nodes: Any) -> None:
        """Read every node, then find out which container each is in."""
        if not isinstance(nodes, list):
            self.problem("invalid_graph", "`nodes` must be a list.")
            return
        for item in nodes:
            if not isinstance(item, dict):
                self.problem("invalid_node", "A node must be a mapping with `id` and `data`.")
            elif item.get("type") != "custom-note":
                self._read_node(item)
        for draft in self.drafts.values():
            if draft.parent:
                parent = self.drafts.get(draft.parent)
                inside = parent is not None and (parent.node is None or parent.node.kind is NodeKind.CONTAINER)
                draft.parent = draft.parent if inside else ""
        for draft in self.drafts.values():
            if draft.parent and self._contains_itself(draft):
                self.problem("invalid_node", "The container is inside itself.", draft.id)
                draft.parent = ""
            self.groups.setdefault(draft.parent, []).append(draft.id)

    def _contains_itself(self, draft: _Draft) -> bool:
        seen, parent = {draft.id}, draft.parent
        while parent:
            if parent in seen:
                return True
            seen.add(parent)
            parent = self.drafts[parent].parent
        return False

    def _read_node(self, item: Mapping[str, Any]) -> None:
        node_id = str(item.get("id") or "")
        data = item.get("data", {})
        if not node_id:
            self.problem("invalid_node", "A node has no `id`.")
        elif node_id in self.drafts:
            self.problem("duplicate_node", f"The node id {node_id!r} is used twice.", node_id)
        elif not isinstance(data, dict):
            self.problem("invalid_node", "`data` must be a mapping.", node_id)
            self.drafts[node_id] = _Draft(node_id, str(item.get("parentId") or ""))
        else:
            parent = item.get("parentId") or data.get("loop_id") or data.get("iteration_id") or ""
            self.drafts[node_id] = draft = _Draft(node_id, str(parent))
            self._read_data(draft, data)

    def _read_data(self, draft: _Draft, data: Mapping[str, Any]) -> None:
        try:
            draft.envelope = msgspec.convert(data, _Envelope, strict=False)
        except msgspec.ValidationError as exc:
            self.problem("invalid_node", f"{exc}.", draft.id)
            return
        kind, version = draft.envelope.type, draft.envelope.version
        if not kind:
            self.problem("invalid_node", "`data.type` is missing.", draft.id)
            return
        try:
            cls = self.classes.get((kind, version)) or self.resolve(kind, str(version))
        except PluginNotFound:
            self.problem("unknown_node", f"No installed plugin offers the node type {kind!r}.", draft.id)
            return
        except PluginError as exc:
            self.problem("unknown_node", f"The node type {kind!r} cannot be used: {exc.message}", draft.id)
            return
        self.classes[(kind, version)] = cls
        try:
            draft.node = node = cls(draft.id, msgspec.convert(data, cls.Config, strict=False))
        except msgspec.ValidationError as exc:
            self.problem("invalid_node", f"{exc}.", draft.id)
            return
        except BadInput as exc:
            self.problem("invalid_node", exc.description, draft.id)
            return
        for text in node.problems():
            self.problem("invalid_node", text, draft.id)
        draft.kind, draft.refers, draft.extras = cls.kind, node.selectors() or None, node.extras() or None
        self._read_strategy(draft)

    def _read_strategy(self, draft: _Draft) -> None:
        strategy = draft.envelope.error_strategy
        if strategy not in (None, "", FAIL_BRANCH, DEFAULT_VALUE):
            self.problem("invalid_node", f"Unknown error strategy {strategy!r}.", draft.id)
        if draft.envelope.default_value:
            draft.defaults = {}
            for item in draft.envelope.default_value:
                try:
                    draft.defaults[item.key] = convert_default(item)
                except ValueError as exc:
                    self.problem("invalid_node", f"Default value {item.key!r}: {exc}.", draft.id)

    # -- edges ------------------------------------------------------------------------------------------------

    def read_edges(self, edges: Any) -> None:
        """Read every edge; one that leads into or out of a container does not count."""
        if not isinstance(edges, list):
            self.problem("invalid_graph", "`edges` must be a list.")
            return
        seen = set()
        for item in edges:
            if not isinstance(item, dict):
                self.problem("invalid_edge", "An edge must be a mapping with `source` and `target`.")
                continue
            source, target = str(item.get("source") or ""), str(item.get("target") or "")
            edge = (source, target, str(item.get("sourceHandle") or "source"))
            if edge in seen:
                continue
            seen.add(edge)
            begin, end = self.drafts.get(source), self.drafts.get(target)
            if begin is None or end is None:
                self.problem(
                    "missing_node",
                    f"An edge names the node {source if begin is None else target!r}, which does not exist.",
                    source if begin is not None else target or None,
                )
            elif begin.parent == end.parent:
                self.edges.setdefault(begin.parent, []).append(edge)


class _Compiler:
    """Makes the plan of the nodes inside one container, or of those that are in none."""

    def __init__(self, reader: _Reader, parent: str) -> None:
        self.parent = parent
        self.reader = reader
        self.problem = reader.problem
        self.drafts = {node_id: reader.drafts[node_id] for node_id in reader.groups.get(parent, [])}
        self.edges = reader.edges.get(parent, [])

    def plan(self, root_id: str | None) -> Plan | None:
        """The plan; None when it has no root. Problems are with the reader."""
        root = self._inner_root(root_id) if self.parent else self._root(root_id)
        return self._build(root) if root is not None else None

    def _root(self, root_id: str | None) -> str | None:
        if root_id is not None:
            named = self.drafts.get(root_id)
            if named is not None and named.node is not None:
                return root_id
            self.problem("invalid_root", f"The root node {root_id!r} does not exist.", root_id)
            return None
        starts = {node_id for node_id, draft in self.drafts.items() if draft.kind is NodeKind.ROOT}
        starts.difference_update([target for _, target, _ in self.edges])
        roots = [node_id for node_id in self.drafts if node_id in starts]
        types = {self.drafts[node_id].envelope.type for node_id in roots}
        if "start" in types and len(types) > 1:
            self.problem(
                "trigger_start_node_conflict",
                "Start node and trigger nodes cannot coexist in the same workflow.",
                roots[0],
            )
        if not roots and not any(problem.severity == "error" for problem in self.reader.problems):
            self.problem("invalid_root", "The graph has no start node without incoming edges.")
        return roots[0] if roots else None

    def _inner_root(self, named: str | None) -> str | None:
        """The start that the container names; else its start node, else whatever nothing leads to."""
        if named and named in self.drafts:
            return named
        targets = {target for _, target, _ in self.edges}
        free = [node_id for node_id in self.drafts if node_id not in targets]
        roots = [node_id for node_id in free if (node := self.drafts[node_id].node) and node.kind is NodeKind.ROOT]
        if not free:
            self.problem(
                "empty_container", "The container has no node inside from which a round can begin.", self.parent
            )
            return None
        return (roots or free)[0]

    def _build(self, root: str) -> Plan:
        ids = self._reached(root)
        position = {node_id: index for index, node_id in enumerate(ids)}
        edges = [edge for edge in self.edges if edge[0] in position]
        wires = tuple(Edge(i, position[s], position[t], h) for i, (s, t, h) in enumerate(edges))
        incoming = _grouped([wire.target for wire in wires], len(ids))
        outgoing = _grouped([wire.source for wire in wires], len(ids))
        order = self._sort(ids, wires, [len(edges_to) for edges_to in incoming], outgoing)
        self._check_references(ids)
        nodes = tuple(
            self._plan_node(index, self.drafts[node_id], incoming[index], outgoing[index])
            for index, node_id in enumerate(ids)
            if self.drafts[node_id].node is not None
        )
        if len(nodes) != len(ids):
            nodes = ()
        return Plan(
            nodes=nodes,
            edges=wires,
            root=position[root],
            order=order,
            responses=tuple(i for i, node_id in enumerate(ids) if self.drafts[node_id].kind is NodeKind.RESPONSE),
        )

    def _reached(self, root: str) -> list[str]:
        """The nodes to which a path leads from the root, in document order; a warning for each other."""
        outgoing: dict[str, list[str]] = {}
        for source, target, _ in self.edges:
            outgoing.setdefault(source, []).append(target)
        alive, stack = {root}, [root]
        while stack:
            for target in outgoing.get(stack.pop(), ()):
                if target not in alive:
                    alive.add(target)
                    stack.append(target)
        for node_id in self.drafts:
            if node_id not in alive:
                self.problem(
                    "unreachable_node", "No path leads here from the start; the node never runs.", node_id, warning=True
                )
        return [node_id for node_id in self.drafts if node_id in alive]

    def _sort(
        self, ids: Sequence[str], edges: Sequence[Edge], waiting: list[int], outgoing: Sequence[Sequence[int]]
    ) -> tuple[int, ...]:
        """Topological order; what is left over is a cycle, and every node on one is named.

        `waiting` is how many edges lead to each node; it is used up.
        """
        order, ready = [], [index for index, count in enumerate(waiting) if count == 0]
        while ready:
            index = ready.pop()
            order.append(index)
            for edge in outgoing[index]:
                target = edges[edge].target
                waiting[target] -= 1
                if waiting[target] == 0:
                    ready.append(target)
        if len(order) < len(ids):
            targets = [[edges[edge].target for edge in leaving] for leaving in outgoing]
            for index in _on_cycles(targets, set(range(len(ids))) - set(order)):
                self.problem(
                    "cycle", "The node lies on a cycle; a path may not lead back to where it came from.", ids[index]
                )
        return tuple(order)

    def _check_references(self, ids: Iterable[str]) -> None:
        known = self.reader.drafts
        for node_id in ids:
            for selector in self.drafts[node_id].refers or ():
                if selector and selector[0] not in known and selector[0] not in RESERVED:
                    self.problem(
                        "missing_variable",
                        f"Refers to {'.'.join(selector)}; no node has the id {selector[0]!r}.",
                        node_id,
                        warning=True,
                    )

    def _plan_node(self, index: int, draft: _Draft, incoming: tuple[int, ...], outgoing: tuple[int, ...]) -> PlanNode:
        node, envelope = draft.node, draft.envelope
        if node is None:
            raise InvalidGraph("a node without a class reached the plan", problems=self.reader.problems)
        strategy = envelope.error_strategy or None
        retry = envelope.retry_config if node.retryable and envelope.retry_config else _NO_RETRY
        inline, container = _shape(type(node))
        body = None
        if container and isinstance(node, ContainerNode):
            body = _Compiler(self.reader, draft.id).plan(node.start_node_id())
        return PlanNode(
            index=index,
            id=draft.id,
            type=envelope.type,
            title=envelope.title,
            node=node,
            inline=inline,
            strategy=strategy,
            retry=retry,
            defaults=draft.defaults or _NOTHING,
            branching=draft.kind is NodeKind.BRANCH or strategy == FAIL_BRANCH,
            incoming=incoming,
            outgoing=outgoing,
            body=body,
            extras=draft.extras or _NOTHING,
        )


def _grouped(keys: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """Where each of the keys 0 to `count` - 1 stands, in order."""
    found: list[tuple[int, ...]] = [()] * count
    of = keys.__getitem__
    for key, places in groupby(sorted(range(len(keys)), key=of), of):
        found[key] = tuple(places)
    return found


@lru_cache(1024)
def _shape(kind: type[Node]) -> tuple[bool, bool]:
    """Whether nodes of a class are inline, and whether they are containers; asked of each node of a large graph."""
    return issubclass(kind, InlineNode), issubclass(kind, ContainerNode)


def _on_cycles(outgoing: Sequence[Sequence[int]], left: set[int]) -> list[int]:
    """Those of the left-over nodes from which a path leads back to themselves (trimming dead ends is enough)."""
    sources: dict[int, set[int]] = {index: set() for index in left}
    remaining = {index: {t for t in outgoing[index] if t in left} for index in left}
    for index, targets in remaining.items():
        for target in targets:
            sources[target].add(index)
    dead = [index for index, targets in remaining.items() if not targets]
    while dead:
        index = dead.pop()
        left = left - {index}
        for source in sources[index]:
            remaining[source].discard(index)
            if not remaining[source]:
                dead.append(source)
    return sorted(left)
