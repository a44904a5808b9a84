"""Every published app with tool nodes compiles, whatever tools it names."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from dify_kernel.graph.plan import compile_plan
from dify_kernel.registry import Registry

from .recordings import SHARED


def graphs() -> dict[str, dict[str, Any]]:
    """The graphs with tool nodes, by file."""
    found = {}
    for path in sorted((SHARED / "corpus" / "dsl").glob("*.yml")):
        graph = (yaml.safe_load(path.read_text("utf-8")).get("workflow") or {}).get("graph") or {}
        if any(node["data"].get("type") == "tool" for node in graph.get("nodes", ())):
            found[path.stem] = graph
    return found


GRAPHS = graphs()
if not GRAPHS:
    pytest.skip("no apps beside the checkout; set DIFY_SHARED", allow_module_level=True)


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_it_compiles(name: str) -> None:
    plan = compile_plan(GRAPHS[name], Registry().node)
    known = set(plan.inner_ids())
    unreached = {problem.node_id for problem in plan.warnings}
    for node in GRAPHS[name]["nodes"]:
        if node["data"].get("type") == "tool":
            assert str(node["id"]) in known | unreached
