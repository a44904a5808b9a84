"""What is wrong with a graph beyond what compiling it tells: edges of branches, variables, containers, ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from dify_kernel.contracts.node import Node, NodeKind
from dify_kernel.errors import BadInput, PluginError
from dify_kernel.graph.plan import Problem
from dify_kernel.registry import Registry

from dify_host.apps.node_outputs import outputs_of
from dify_host.apps.old_forms.containers import container_of
from dify_host.apps.old_forms.rule import mappings

__all__ = ["MODEL_MISSING", "check_graph"]

MODEL_MISSING: Final = "model_missing"
_CONTAINERS: Final = ("iteration", "loop")
_ASKING: Final = ("llm", "question-classifier", "parameter-extractor")
_FAIL_BRANCH: Final = "fail-branch"
_DEEPEST: Final = 50  # containers inside each other, as far as is looked
#: Owners of variables that are no nodes.
_NO_NODES: Final = ("env", "conversation", "rag")
#: What only a conversation has.
_CHAT_ONLY: Final = ("query", "conversation_id", "dialogue_count")


def check_graph(
    graph: Mapping[str, Any], mode: str, registry: Registry, variables: Mapping[str, frozenset[str]] | None = None
) -> list[Problem]:
    """Every such problem. `variables` are the declared names by scope (`env`, `conversation`), if they are known."""
    view = _View(graph, registry)
    return [
        *view.check_containers(),
        *view.check_edges(),
        *view.check_variables(mode, variables or {}),
        *view.check_models(),
        *view.check_ends(mode),
    ]


class _View:
    """A graph with its nodes by id, those that can be built as the engine has them."""

    def __init__(self, graph: Mapping[str, Any], registry: Registry) -> None:
        self.nodes = {
            str(node.get("id") or ""): node
            for node in mappings(graph.get("nodes"))
            if isinstance(node.get("data"), dict) and node.get("type") != "custom-note"
        }
        self.data = {node_id: node["data"] for node_id, node in self.nodes.items()}
        self.kinds = {node_id: str(data.get("type") or "") for node_id, data in self.data.items()}
        self.parents = {node_id: container_of(node) for node_id, node in self.nodes.items()}
        self.inside: dict[str, set[str]] = {}
        for node_id, parent in self.parents.items():
            self.inside.setdefault(parent, set()).add(node_id)
        self.edges = [
            (str(edge.get("source") or ""), str(edge.get("sourceHandle") or "source"), str(edge.get("target") or ""))
            for edge in mappings(graph.get("edges"))
        ]
        self.built = {node_id: node for node_id, data in self.data.items() if (node := _built(node_id, data, registry))}

    # -- containers -------------------------------------------------------------------------------------------

    def check_containers(self) -> Iterator[Problem]:
        """Containers without nodes or outputs, and nodes whose container does not exist."""
        for node_id, parent in self.parents.items():
            if parent and self.kinds.get(parent) not in _CONTAINERS:
                message = f"The node is said to be inside {parent!r}, which is no iteration and no loop."
                yield _warning("missing_container", message, node_id)
        for node_id, kind in self.kinds.items():
            if kind in _CONTAINERS:
                yield from self._check_container(node_id, kind)

    def _check_container(self, node_id: str, kind: str) -> Iterator[Problem]:
        inside = self.inside.get(node_id, set())
        data = self.data[node_id]
        if not inside:
            yield _error("empty_container", f"The {kind} has no node inside.", node_id)
            return
        start = data.get("start_node_id")
        if start and start not in inside:
            yield _error("missing_start", f"The {kind} starts at {str(start)!r}, which is not inside it.", node_id)
        if kind == "iteration":
            selector = data.get("output_selector")
            if not isinstance(selector, list) or len(selector) < 2:
                yield _error("missing_output", "The iteration does not say what it collects.", node_id)
            elif selector[0] not in inside and selector[0] != node_id:
                message = f"The iteration collects {_dotted(selector)}, which is not inside it."
                yield _error("missing_output", message, node_id)

    # -- edges ------------------------------------------------------------------------------------------------

    def check_edges(self) -> Iterator[Problem]:
        """Edges through a container's wall, branches that lead nowhere, and handles that no branch has."""
        taken: dict[str, list[str]] = {}
        for source, handle, target in self.edges:
            if source not in self.nodes or target not in self.nodes:
                continue
            taken.setdefault(source, []).append(handle)
            if self.parents[source] != self.parents[target]:
                message = f"The edge to {target!r} leads into or out of a container; it does not count."
                yield _warning("crossing_edge", message, source)
        for node_id, node in self.built.items():
            yield from self._check_handles(node_id, node, taken.get(node_id, []))

    def _check_handles(self, node_id: str, node: Node, taken: list[str]) -> Iterator[Problem]:
        caught = self.data[node_id].get("error_strategy") == _FAIL_BRANCH
        handles = [*node.handles(), *([_FAIL_BRANCH] if caught else [])]
        for handle in dict.fromkeys(taken):
            if handle not in handles:
                message = f"No branch of the node is called {handle!r}; there are {', '.join(handles)}."
                yield _warning("unknown_handle", message, node_id)
        if node.kind is NodeKind.BRANCH or caught:
            for handle in handles:
                if handle not in taken and (node.kind is NodeKind.BRANCH or taken):
                    message = f"No edge leads from the branch {handle!r}; a run that takes it goes no further there."
                    yield _warning("branch_without_edge", message, node_id)

    # -- variables --------------------------------------------------------------------------------------------

    def check_variables(self, mode: str, declared: Mapping[str, frozenset[str]]) -> Iterator[Problem]:
        """References to variables that their node, or the app, does not have."""
        for node_id, node in self.built.items():
            for selector in dict.fromkeys(node.selectors()):
                if len(selector) < 2:
                    continue
                if told := self._wrong(node_id, selector[0], selector[1], mode, declared):
                    yield _warning("missing_variable", f"Refers to {_dotted(selector)}; {told}", node_id)

    def _wrong(self, node_id: str, owner: str, name: str, mode: str, declared: Mapping[str, frozenset[str]]) -> str:
        if owner in declared:
            return "" if name in declared[owner] else f"the app declares no such {owner} variable."
        if owner == "sys":
            return "only chats have that." if mode == "workflow" and name in _CHAT_ONLY else ""
        if owner not in self.data:
            return "" if owner in _NO_NODES else f"no node has the id {owner!r}."
        if self.kinds.get(self.parents[owner]) == "iteration" and not self._sees(node_id, self.parents[owner]):
            return "nodes inside an iteration are seen inside it alone."
        names = outputs_of(self.data[owner])
        if names is None or name in names or name.startswith("sys."):
            return ""
        return f"the node gives {', '.join(sorted(names)) or 'nothing'}."

    def _sees(self, node_id: str, container: str) -> bool:
        """Whether a node is inside a container, however deep, or is the container."""
        for _ in range(_DEEPEST):
            if not node_id or node_id == container:
                return node_id == container
            node_id = self.parents.get(node_id, "")
        return True

    # -- models -----------------------------------------------------------------------------------------------

    def check_models(self) -> Iterator[Problem]:
        """Nodes that ask the workspace's default model, or one without its provider; agents without a strategy."""
        for node_id, kind in self.kinds.items():
            data = self.data[node_id]
            if kind in _ASKING:
                chosen, name = data.get("model"), "name"
            elif kind == "agent":
                if not data.get("agent_strategy_name"):
                    yield _error("missing_strategy", "No strategy of the agent is chosen.", node_id)
                chosen, name = _parameter(data, "model"), "model"
            else:
                continue
            given = chosen if isinstance(chosen, dict) else {}
            if given.get(name) and not given.get("provider"):
                yield _warning(MODEL_MISSING, "The model has no provider; the node cannot run.", node_id)
            elif not given.get(name):
                yield _warning("default_model", "No model is chosen; the workspace's default is asked.", node_id)

    # -- ends -------------------------------------------------------------------------------------------------

    def check_ends(self, mode: str) -> Iterator[Problem]:
        """Answers in workflows, ends in chats, and apps that say nothing."""
        kinds = set(self.kinds.values())
        wrong, right = ("answer", "end") if mode == "workflow" else ("end", "answer")
        for node_id, kind in self.kinds.items():
            if kind == wrong:
                yield _warning(f"{wrong}_in_{mode}", f"A {mode} app ends with {right} nodes.", node_id)
        if mode == "advanced-chat" and "answer" not in kinds:
            yield _warning("no_answer", "A chat without an answer node says nothing.", None)
        if mode == "workflow" and "end" not in kinds and not any(kind.startswith("trigger-") for kind in kinds):
            yield _warning("no_end", "A workflow without an end node gives no outputs.", None)


def _built(node_id: str, data: dict[str, Any], registry: Registry) -> Node | None:
    """The node as the engine has it; None for what compiling refuses and tells."""
    kind, version = data.get("type"), data.get("version") or "1"
    if not isinstance(kind, str) or not kind:
        return None
    try:
        cls = registry.node(kind, str(version))
        node: Node = cls(node_id, msgspec.convert(data, cls.Config, strict=False))
    except (PluginError, BadInput, msgspec.ValidationError):
        return None
    return node


def _parameter(data: Mapping[str, Any], name: str) -> Any:
    """The value of a parameter of an agent."""
    given = data.get("agent_parameters")
    item = given.get(name) if isinstance(given, dict) else None
    return item.get("value") if isinstance(item, dict) else None


def _dotted(selector: Iterable[Any]) -> str:
    return ".".join(str(part) for part in selector)


def _error(code: str, message: str, node_id: str | None) -> Problem:
    return Problem(code=code, message=message, node_id=node_id)


def _warning(code: str, message: str, node_id: str | None) -> Problem:
    return Problem(code=code, message=message, node_id=node_id, severity="warning")
