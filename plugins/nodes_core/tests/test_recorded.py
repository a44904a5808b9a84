"""Replays what a running Dify recorded, node by node: same inputs, process data, outputs and error texts."""

import json
import os
from pathlib import Path

import msgspec
import pytest
from dify_kernel.contracts.node import NodeStatus
from dify_kernel.graph.values import FILE_IDENTITY, File, ValueType, cast, plain
from dify_kernel.testing.fakes import fake_context, fake_pool
from dify_kernel.testing.node import make_node, run_node
from dify_nodes_core.plugin import NODES

yaml = pytest.importorskip("yaml")
SHARED = Path(os.environ.get("DIFY_SHARED") or Path(__file__).parents[4] / "shared")
CASES = sorted((SHARED / "oracle" / "own").glob("*.json")) if SHARED.is_dir() else []
CLASSES = {(node.type, node.version): node for node in NODES}
#: The values of a container's inside are not in its recorded events.
INSIDE = {("iter-seq-ok", "end"), ("loop-break-at-once", "end"), ("loop-exhaust", "end")}
#: What is done better here on purpose.
BETTER = {("assign-divide", "a"), ("assign-set-text-number", "a")}

pytestmark = pytest.mark.skipif(not CASES, reason="no recordings beside the checkout; set DIFY_SHARED")


def load(text):
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def files(data):
    """Recorded file mappings as File values."""
    if isinstance(data, dict) and data.get("dify_model_identity") == FILE_IDENTITY:
        return msgspec.convert(data, File, strict=False)
    if isinstance(data, dict):
        return {key: files(item) for key, item in data.items()}
    return [files(item) for item in data] if isinstance(data, list) else data


def sort_updates(data):
    """The reference lists updated variables in hash order."""
    data = dict(data)
    if "__updated_variables" in data:
        data["__updated_variables"] = sorted(data["__updated_variables"], key=lambda item: item["name"])
    return data


class Replay:
    def __init__(self, name, dsl, pool):
        self.name, self.pool = name, pool
        self.nodes = {item["id"]: item["data"] for item in dsl["graph"]["nodes"] if not item.get("parentId")}
        if pool.node("conversation") or pool.node("env"):
            return  # a later turn of the same conversation
        for kind in ("conversation", "environment"):
            for item in dsl.get(f"{kind}_variables") or []:
                scope = {"conversation": "conversation", "environment": "env"}[kind]
                self.pool.set(scope, item["name"], cast(item["value"], item["value_type"]))

    async def play(self, run):
        checked = 0
        for event in run["events"]:
            if event["event"] in ("iteration_completed", "loop_completed"):
                self.keep(event, {"type": "container"})
            if event["event"] != "node_finished" or event["node_id"] not in self.nodes:
                continue
            data = self.nodes[event["node_id"]]
            cls = CLASSES.get((data["type"], str(data.get("version", "1")))) or CLASSES.get((data["type"], "2"))
            if data["type"] == "start":
                self.feed(event)
            if cls is not None:
                await self.check(cls, data, event)
                checked += 1
            self.keep(event, data)
        return checked

    def feed(self, event):
        for key, value in event["outputs"].items():
            scope, _, name = key.rpartition(".")
            self.pool.set(scope or event["node_id"], name, files(value))

    def keep(self, event, data):
        declared = data.get("outputs") if data["type"] == "code" else None
        for name, value in (event.get("outputs") or {}).items():
            typed = value == [] and isinstance(declared, dict)
            self.pool.set(event["node_id"], name, cast(value, declared[name]["type"]) if typed else files(value))
        for item in (event.get("process_data") or {}).get("__updated_variables", []):
            old = self.pool.get(item["selector"])
            kind = old.type if old.type not in (ValueType.INTEGER, ValueType.FLOAT) else ValueType.NUMBER
            self.pool.set(*item["selector"], cast(item["new_value"], kind))

    async def check(self, cls, data, event):
        where = (self.name, event["node_id"])
        node = make_node(cls, data, event["node_id"])
        assert node.problems() == [], where
        outcome = await run_node(node, fake_context(event["node_id"], self.pool))
        if event["status"] == "failed":
            assert outcome.failure == event["error"], where
            return
        result = outcome.result
        assert outcome.failure == "", where
        assert result.status is NodeStatus.SUCCEEDED
        if where == ("sys-vars", "t") or where in INSIDE:
            return  # the first prints a time
        assert plain(result.outputs) == (event.get("outputs") or {}), where
        if where in BETTER:
            return
        assert sort_updates(plain(result.process_data)) == sort_updates(event.get("process_data") or {}), where
        if data["type"] not in ("end", "answer"):  # the reference shows wrapped values of groups there
            assert plain(result.inputs) == (event.get("inputs") or {}), where


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
async def test_recorded(path):
    recorded = json.loads(path.read_text())
    dsl = load((path.parents[1] / "cases" / f"{path.stem}.yml").read_text())["workflow"]
    pool, checked = fake_pool({}), 0
    for run in recorded["runs"]:
        if recorded["mode"] == "workflow":
            pool = fake_pool({})
        checked += await Replay(path.stem, dsl, pool).play(run) if run.get("events") else 0
    assert checked
