"""One small graph whose run is kept: what it begins with, what its ports answer, and what people answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from dify_kernel.contracts.ports import Ports
from dify_kernel.testing.fakes import fake_ports
from dify_kernel.testing.graph import edges, node

__all__ = ["Case", "chat", "flow", "inside", "start"]


class Case(msgspec.Struct, kw_only=True):
    """A graph and its surroundings. `secrets` are environment variables, `answers` are by the id of the node."""

    graph: dict[str, Any]
    variables: dict[str, dict[str, Any]] = {}
    secrets: dict[str, str] = {}
    ports: Callable[[], Ports] = fake_ports
    answers: dict[str, dict[str, Any]] = {}


def start(**inputs: Any) -> dict[str, dict[str, Any]]:
    """The variables of a run with these inputs."""
    return {"start": inputs, "sys": {"user_id": "u-1", "files": []}}


def inside(container: str, id: str, type: str, **data: Any) -> dict[str, Any]:
    """A node inside a container."""
    return {**node(id, type, **data), "parentId": container}


def flow(*paths: str, nodes: list[dict[str, Any]], gives: dict[str, list[str]], **rest: Any) -> Case:
    """A workflow from `start` to `end`, which gives variables by selectors."""
    outputs = [{"variable": name, "value_selector": selector} for name, selector in gives.items()]
    ends = [node("start", "start", variables=[]), *nodes, node("end", "end", outputs=outputs)]
    return Case(graph={"nodes": ends, "edges": edges(*paths)}, **rest)


def chat(*paths: str, nodes: list[dict[str, Any]], **rest: Any) -> Case:
    """A chatflow from `start` to the answers among the nodes."""
    return Case(graph={"nodes": [node("start", "start", variables=[]), *nodes], "edges": edges(*paths)}, **rest)
