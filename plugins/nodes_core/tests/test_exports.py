"""Real exports of Dify decode: what is refused is known and really cannot run."""

import os
from pathlib import Path

import msgspec
import pytest
from dify_kernel.testing.node import make_node
from dify_nodes_core.plugin import NODES

yaml = pytest.importorskip("yaml")
SHARED = Path(os.environ.get("DIFY_SHARED") or Path(__file__).parents[4] / "shared")
EXPORTS = sorted((SHARED / "corpus" / "dsl").glob("*.yml")) if SHARED.is_dir() else []
CLASSES = {(node.type, node.version): node for node in NODES}
#: Hand-made files that Dify refuses too, by the number of the file and the id of the node.
REFUSED = {
    ("045", "hl-node-phase-check"),
    ("045", "hl-node-assign-slots"),
    ("094", "mp-node-assign-slots"),
    ("147", "1735820000010"),
    ("147", "1735820000041"),
    ("147", "1735820000043"),
    ("147", "1735820000052"),
    ("147", "1735820000130"),
    ("173", "mc-node-assign-slots"),
}

pytestmark = pytest.mark.skipif(not EXPORTS, reason="no exports beside the checkout; set DIFY_SHARED")


def core_nodes(path):
    graph = (
        yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)).get("workflow") or {}
    ).get("graph") or {}
    for item in graph.get("nodes") or []:
        data = item["data"]
        cls = CLASSES.get((data.get("type"), str(data.get("version") or "1")))
        if cls is not None:
            yield item["id"], cls, data


def test_exports_decode():
    refused, seen = {}, 0
    for path in EXPORTS:
        for node_id, cls, data in core_nodes(path):
            seen += 1
            try:
                problems = make_node(cls, data, node_id).problems()
            except msgspec.ValidationError as exc:
                problems = [str(exc)]
            if problems:
                refused[path.name[:3], node_id] = problems

    assert seen > 500
    assert {key: text for key, text in refused.items() if key not in REFUSED} == {}
    assert refused.keys() == REFUSED
