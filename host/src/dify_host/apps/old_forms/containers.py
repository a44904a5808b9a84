"""Old forms of iterations and loops: how nodes inside name their container, and where a round starts."""

from __future__ import annotations

from typing import Any, Final

from dify_host.apps.old_forms.rule import Mapping, Rule, changed_items, mappings

__all__ = ["CONTAINER_RULES", "container_of", "named_containers", "with_start_nodes"]

_KINDS: Final = {"iteration": ("isInIteration", "iteration_id"), "loop": ("isInLoop", "loop_id")}
_STARTS: Final = ("iteration-start", "loop-start")


def container_of(node: Mapping) -> str:
    """The id of the container that a node names, in whichever way; "" for none."""
    data = node.get("data")
    told = [node.get("parentId")]
    if isinstance(data, dict):
        told += [data.get("iteration_id"), data.get("loop_id")]
    return next((item for item in told if isinstance(item, str) and item), "")


def named_containers(graph: Mapping) -> Mapping:
    """Every node inside a container names it both as its parent on the canvas and in its data."""
    nodes = mappings(graph.get("nodes"))
    kinds = {str(node.get("id")): _kind(node) for node in nodes if _kind(node) in _KINDS}
    guessed = _guessed(graph, nodes, kinds)
    return changed_items(graph, "nodes", lambda node: _with_container(node, kinds, guessed))


def _with_container(node: Mapping, kinds: dict[str, str], guessed: dict[str, str]) -> Mapping:
    container = container_of(node) or guessed.get(str(node.get("id")), "")
    data = node.get("data")
    if container not in kinds or not isinstance(data, dict):
        return node
    flag, key = _KINDS[kinds[container]]
    new: Mapping = {}
    if node.get("parentId") != container:
        new["parentId"] = container
    if _kind(node) not in _STARTS and (data.get(key) != container or data.get(flag) is not True):
        new["data"] = {**data, flag: True, key: container}
    return {**node, **new} if new else node


def _guessed(graph: Mapping, nodes: list[Mapping], kinds: dict[str, str]) -> dict[str, str]:
    """The containers of nodes that only say that they are in one: what names them or leads to them knows it."""
    unsure = {str(node.get("id")) for node in nodes if not container_of(node) and _says_inside(node)}
    if not unsure:
        return {}
    found = {str(node.get("id")): container_of(node) for node in nodes if container_of(node) in kinds}
    for node in nodes:
        start = _data(node).get("start_node_id")
        if str(node.get("id")) in kinds and isinstance(start, str) and start:
            found.setdefault(start, str(node.get("id")))
    beside: dict[str, list[str]] = {}
    for edge in mappings(graph.get("edges")):
        source, target = str(edge.get("source")), str(edge.get("target"))
        beside.setdefault(source, []).append(target)
        beside.setdefault(target, []).append(source)
    known = list(found)
    for node_id in known:  # grows while it is gone through
        for other in beside.get(node_id, ()):
            if other in unsure and other not in found:
                found[other] = found[node_id]
                known.append(other)
    only = next(iter(kinds)) if len(kinds) == 1 else ""
    return {node_id: container for node_id in unsure if (container := found.get(node_id, only))}


def with_start_nodes(graph: Mapping) -> Mapping:
    """A container whose rounds start at one of its nodes gets a start node with an edge to it."""
    nodes = mappings(graph.get("nodes"))
    by_id = {str(node.get("id")): node for node in nodes}
    inside: dict[str, list[Mapping]] = {}
    for node in nodes:
        inside.setdefault(container_of(node), []).append(node)
    reached = _reached_inside(graph, by_id)
    added: list[Mapping] = []
    edges: list[Mapping] = []
    starts: dict[str, str] = {}
    for container_id, container in by_id.items():
        if _kind(container) not in _KINDS:
            continue
        children = inside.get(container_id, [])
        present = next((str(node.get("id")) for node in children if _kind(node) in _STARTS), "")
        named = by_id.get(str(_data(container).get("start_node_id")))
        if named is not None and _kind(named) in _STARTS:
            continue
        if present:
            starts[container_id] = present
            continue
        roots = [node for node in children if str(node.get("id")) not in reached]
        only = roots[0] if len(roots) == 1 else None
        first = named if named is not None and container_of(named) == container_id else only
        start_id = f"{container_id}start"
        if first is None or start_id in by_id:
            continue
        starts[container_id] = start_id
        added.append(_start_node(container_id, _kind(container)))
        edges.append(_start_edge(container_id, _kind(container), first))
    if not starts:
        return graph
    new = changed_items(graph, "nodes", lambda node: _starting_at(node, starts))
    old = graph.get("edges")
    return {**new, "nodes": [*new["nodes"], *added], "edges": [*(old if isinstance(old, list) else []), *edges]}


def _starting_at(node: Mapping, starts: dict[str, str]) -> Mapping:
    start = starts.get(str(node.get("id")))
    return {**node, "data": {**_data(node), "start_node_id": start}} if start else node


def _reached_inside(graph: Mapping, by_id: dict[str, Mapping]) -> set[str]:
    """The ids of the nodes that another node of the same container leads to."""
    found = set()
    for edge in mappings(graph.get("edges")):
        source, target = by_id.get(str(edge.get("source"))), by_id.get(str(edge.get("target")))
        if source is not None and target is not None and container_of(source) == container_of(target):
            found.add(str(edge.get("target")))
    return found


def _start_node(container_id: str, kind: str) -> Mapping:
    flag, _ = _KINDS[kind]
    return {
        "id": f"{container_id}start",
        "type": f"custom-{kind}-start",
        "parentId": container_id,
        "draggable": False,
        "selectable": False,
        "zIndex": 1002,
        "position": {"x": 24, "y": 68},
        "data": {"type": f"{kind}-start", "title": "", "desc": "", flag: True},
    }


def _start_edge(container_id: str, kind: str, first: Mapping) -> Mapping:
    start, target = f"{container_id}start", str(first.get("id"))
    flag, key = _KINDS[kind]
    return {
        "id": f"{start}-source-{target}-target",
        "type": "custom",
        "source": start,
        "sourceHandle": "source",
        "target": target,
        "targetHandle": "target",
        "zIndex": 1002,
        "data": {"sourceType": f"{kind}-start", "targetType": _kind(first), flag: True, key: container_id},
    }


def _data(node: Mapping) -> Mapping:
    data = node.get("data")
    return data if isinstance(data, dict) else {}


def _kind(node: Mapping) -> str:
    kind: Any = _data(node).get("type")
    return kind if isinstance(kind, str) else ""


def _says_inside(node: Mapping) -> bool:
    return any(_data(node).get(flag) is True for flag, _ in _KINDS.values())


CONTAINER_RULES: Final = (
    Rule("container-names", "Nodes inside a container named it in one place only.", named_containers),
    Rule("container-starts", "Rounds of a container had no start node.", with_start_nodes),
)
