"""What a small run costs the server: CPU of the API process for start -> template -> end, its rows stored."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from dify_host.runs.tables import workflow_app_logs, workflow_node_executions, workflow_run_leases, workflow_runs

from .figures import environment, show
from .server import Api, await_answer, free_port, import_app, opened, running_api

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

BUDGET_MS = 4.0
CONCURRENCY = 16
RUNS = int(os.environ.get("BENCH_RUNS", "800"))
ROUNDS = 3

SMALL = """
kind: app
version: 0.5.0
app: {name: small, mode: workflow}
workflow:
  graph:
    nodes:
    - {id: start, data: {type: start, title: Start, variables: [{variable: name, label: n, type: text-input}]}}
    - id: greet
      data:
        type: template-transform
        title: Greet
        template: "hello {{ name }}"
        variables: [{variable: name, value_selector: [start, name]}]
    - {id: end, data: {type: end, title: End, outputs: [{variable: out, value_selector: [greet, output]}]}}
    edges: [{source: start, target: greet}, {source: greet, target: end}]
  features: {}
"""

CLIENT = """
import asyncio, sys, httpx
url, key, runs, wide = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
async def main():
    limits = httpx.Limits(max_connections=wide)
    async with httpx.AsyncClient(timeout=120, limits=limits, headers={"Authorization": f"Bearer {key}"}) as client:
        async def work():
            for _ in range(runs // wide):
                body = {"inputs": {"name": "Ada"}, "user": "ada", "response_mode": "blocking"}
                answer = await client.post(url, json=body)
                assert answer.status_code == 200, answer.text
                assert answer.json()["data"]["outputs"] == {"out": "hello Ada"}, answer.text
        await asyncio.gather(*(work() for _ in range(wide)))
asyncio.run(main())
"""

FLOOR = """
import sys
from typing import Any
import msgspec, uvicorn
from litestar import Litestar, get, post
class Body(msgspec.Struct):
    inputs: dict[str, Any]
    user: str
    response_mode: str
@get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
@post("/run", status_code=200)
async def run(data: Body) -> dict[str, Any]:
    return {"data": {"outputs": {"out": f"hello {data.inputs['name']}"}}}
app = Litestar([health, run], openapi_config=None, logging_config=None)
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_config=None)
"""


def load(url: str, key: str) -> None:
    """Send the runs from a process of its own; every answer is checked there."""
    command = [sys.executable, "-c", CLIENT, url, key, str(RUNS), str(CONCURRENCY)]
    subprocess.run(command, env=environment(), check=True)


@contextmanager
def bare_server() -> Iterator[Api]:
    """The floor: the same framework and server answering the same JSON, with nothing behind it."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", FLOOR, str(port)], env=environment()) as process:
        try:
            await_answer(f"http://127.0.0.1:{port}/health", process)
            yield Api(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(60)


def cost(api: Api, path: str, key: str) -> list[float]:
    """Milliseconds of server CPU a request, a figure a round; one more round before warms up."""
    found = []
    for _ in range(ROUNDS + 1):
        before = api.cpu()
        load(api.url + path, key)
        found.append((api.cpu() - before) / (RUNS // CONCURRENCY * CONCURRENCY) * 1000)
    return found[1:]


async def test_a_small_run_over_http(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, workspace, owner):
        key = await import_app(workspace, owner, SMALL)
    with bare_server() as bare:
        floor = min(await asyncio.to_thread(cost, bare, "/run", key))
    with running_api(tmp_path) as api:
        rounds = await asyncio.to_thread(cost, api, "/v1/workflows/run", key)
    done = RUNS // CONCURRENCY * CONCURRENCY * (ROUNDS + 1)
    async with opened(tmp_path) as (platform, _, _), platform.db.read() as conn:
        counts = {
            table.name: (await conn.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
            for table in (workflow_runs, workflow_node_executions, workflow_app_logs, workflow_run_leases)
        }
        ended = (await conn.execute(sa.select(workflow_runs.c.status).distinct())).scalars().all()
    best = min(rounds)
    show(
        f"start -> template -> end, blocking, {CONCURRENCY} at a time, {RUNS} a round",
        ("", "CPU ms a request", "of floor"),
        [
            ("bare framework, same JSON (floor)", f"{floor:.2f}", "1.0"),
            *(
                (f"run with its rows, round {at}", f"{each:.2f}", f"{each / floor:.1f}")
                for at, each in enumerate(rounds, 1)
            ),
            ("budget", f"{BUDGET_MS:.2f}", ""),
        ],
    )
    assert counts == {
        "workflow_runs": done,
        "workflow_node_executions": done * 3,
        "workflow_app_logs": done,
        "workflow_run_leases": 0,
    }
    assert ended == ["succeeded"]
    assert best <= BUDGET_MS, f"a run costs {best:.2f} ms of server CPU, {best / floor:.1f} times a bare request"
