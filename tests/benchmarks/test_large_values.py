"""What a run leaves in database and storage whose thousand nodes hand on the same megabyte."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from dify_host.runs.tables import workflow_node_executions

from .figures import show
from .server import Api, import_app, opened, running_api

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

NODES = 1000
TEXT = "A line that is handed on. " * 40_000
#: Bytes of the database for each node beside its row and its events as they are without the text.
BUDGET = 32 * 1024


def chain() -> str:
    """An app whose nodes hand on the text of its start, one to the next."""
    source = ["start", "text"]
    field = {"variable": "text", "label": "t", "type": "paragraph", "max_length": 2 * len(TEXT)}
    nodes: list[dict[str, Any]] = [{"id": "start", "data": {"type": "start", "title": "Start", "variables": [field]}}]
    for number in range(NODES):
        data = {"type": "variable-aggregator", "title": f"N{number}", "output_type": "string", "variables": [source]}
        nodes.append({"id": f"n{number}", "data": data})
        source = [f"n{number}", "output"]
    outputs = [{"variable": "out", "value_selector": source}]
    nodes.append({"id": "end", "data": {"type": "end", "title": "End", "outputs": outputs}})
    edges = [{"source": a["id"], "target": b["id"]} for a, b in pairwise(nodes)]
    workflow = {"graph": {"nodes": nodes, "edges": edges}, "features": {}}
    app = {"name": "chain", "mode": "workflow"}
    return json.dumps({"kind": "app", "version": "0.5.0", "app": app, "workflow": workflow})


def run(api: Api, key: str) -> tuple[float, float]:
    """Run it once; the seconds that it took, and the CPU seconds of the server."""
    body = {"inputs": {"text": TEXT}, "user": "ada", "response_mode": "blocking"}
    before, began = api.cpu(), time.monotonic()
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.post(f"{api.url}/v1/workflows/run", json=body, headers=headers, timeout=300)
    took = time.monotonic() - began
    assert answer.status_code == 200, answer.text[:500]
    assert answer.json()["data"]["outputs"] == {"out": TEXT}
    return took, api.cpu() - before


def weight(folder: Path, pattern: str) -> int:
    """Bytes of the files of a folder that match."""
    return sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file())


async def test_a_thousand_nodes_hand_on_a_megabyte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKFLOW_MAX_EXECUTION_STEPS", str(2 * NODES))
    async with opened(tmp_path) as (_, workspace, owner):
        key = await import_app(workspace, owner, chain())
    empty = weight(tmp_path, "dify.db*")
    with running_api(tmp_path) as api:
        took, cpu = await asyncio.to_thread(run, api, key)
        peak = api.process.memory_info().rss
    grown, stored = weight(tmp_path, "dify.db*") - empty, weight(tmp_path, "storage/payloads/**/*")
    async with opened(tmp_path) as (platform, _, _), platform.db.read() as conn:
        rows = (await conn.execute(sa.select(sa.func.count()).select_from(workflow_node_executions))).scalar_one()
    show(
        f"{NODES} nodes, {len(TEXT) / 1e6:.1f} MB from one to the next",
        ("", "measured"),
        [
            ("run, seconds", f"{took:.2f}"),
            ("server CPU, seconds", f"{cpu:.2f}"),
            ("server memory afterwards, MB", f"{peak / 1e6:.0f}"),
            ("database grew by, MB", f"{grown / 1e6:.1f}"),
            ("storage holds, MB", f"{stored / 1e6:.1f}"),
        ],
    )
    assert rows == NODES + 2
    assert len(TEXT) < stored < 3 * len(TEXT)
    assert grown < NODES * BUDGET
