"""What a code node costs: CPU of the engine, the sandbox's helper and its children, for the first run and a later."""

from __future__ import annotations

import asyncio
import resource
import sys
import time

import pytest
from dify_host.sandbox import SandboxPool
from dify_kernel.contracts.node import RunInfo
from dify_kernel.graph.engine import Engine
from dify_kernel.graph.events import Event, RunFinished
from dify_kernel.graph.plan import Plan, compile_plan
from dify_kernel.graph.pool import Pool
from dify_kernel.registry import Registry
from dify_kernel.testing.fakes import fake_ports

from .figures import command_cpu, percentile, show

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

COLD_MS, WARM_MS = 40.0, 10.0
COLD_STARTS, WARM_RUNS, ROUNDS = 20, 100, 3
CODE = {
    "python3": "def main(x):\n    return {'r': x * 2}\n",
    "javascript": "function main({ x }) { return { r: x * 2 } }",
}


def graph(language: str) -> Plan:
    """start -> code -> end."""
    code = {
        "type": "code", "title": "code", "code_language": language, "code": CODE[language],
        "variables": [{"variable": "x", "value_selector": ["given", "x"]}],
        "outputs": {"r": {"type": "number", "children": None}},
    }  # fmt: skip
    start = {"type": "start", "title": "start", "variables": []}
    end = {"type": "end", "title": "end", "outputs": [{"variable": "r", "value_selector": ["code", "r"]}]}
    nodes = [{"id": data["type"], "data": data} for data in (start, code, end)]
    edges = [{"source": "start", "target": "code"}, {"source": "code", "target": "end"}]
    return compile_plan({"nodes": nodes, "edges": edges}, Registry().node)


async def run(plan: Plan, sandbox: SandboxPool) -> float:
    """Run the graph and check its output; the seconds it took."""
    info = RunInfo(run_id="run", tenant_id="t", app_id="a", workflow_id="w", user_id="u")
    events: list[Event] = []
    began = time.perf_counter()
    pool = Pool()
    pool.set("given", "x", 21)
    engine = Engine(plan, pool, run=info, ports=fake_ports(sandbox=sandbox), sink=events.append)
    outcome = await engine.run()
    took = time.perf_counter() - began
    assert isinstance(outcome.event, RunFinished)
    assert outcome.event.outputs == {"r": 42}
    return took


def cpu() -> float:
    """CPU milliseconds of this process and of all children that have ended, theirs included."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both) * 1000


async def milliseconds(plan: Plan, runs: int) -> float:
    """CPU of a sandbox that starts, does that many runs and ends."""
    before = cpu()
    sandbox = SandboxPool()
    for _ in range(runs):
        await run(plan, sandbox)
    await sandbox.close()  # waits for the helper, which is what makes its figures count
    return cpu() - before


async def latencies(plan: Plan, wide: int) -> list[float]:
    """Milliseconds of each run with that many at a time, on a sandbox that is warm."""
    sandbox = SandboxPool()
    await asyncio.gather(*(run(plan, sandbox) for _ in range(wide)))

    async def work() -> list[float]:
        return [await run(plan, sandbox) * 1000 for _ in range(WARM_RUNS // wide)]

    found = await asyncio.gather(*(work() for _ in range(wide)))
    await sandbox.close()
    return [each for part in found for each in part]


async def test_a_code_node() -> None:
    bare = command_cpu([sys.executable, "-I", "-S", "-c", "pass"], times=5) * 1000
    figures, times = [("a bare interpreter (floor)", f"{bare:.1f}", "1.0", "")], []
    costs = {}
    for language in CODE:
        plan = graph(language)
        await milliseconds(plan, 1)  # what is imported here once is no cost of a run
        cold = min([await milliseconds(plan, 1) for _ in range(COLD_STARTS)])
        warm = min([(await milliseconds(plan, WARM_RUNS + 1) - cold) / WARM_RUNS for _ in range(ROUNDS)])
        costs[language] = (cold, warm)
        figures.append((f"{language}, cold", f"{cold:.1f}", f"{cold / bare:.1f}", f"{COLD_MS:g}"))
        figures.append((f"{language}, warm", f"{warm:.1f}", f"{warm / bare:.1f}", f"{WARM_MS:g}"))
        for wide in (1, 4):
            seen = await latencies(plan, wide)
            times.append((f"{language}, {wide} at a time", *(f"{percentile(seen, part):.1f}" for part in (0.5, 0.95))))
    show("start -> code -> end, CPU of all processes", ("", "CPU ms", "of floor", "budget"), figures)
    show("the same, warm, on the clock", ("", "p50 ms", "p95 ms"), times)
    for language, (cold, warm) in costs.items():
        assert cold <= COLD_MS, f"the first run of {language} costs {cold:.1f} ms of CPU"
        assert warm < WARM_MS, f"a run of {language} costs {warm:.1f} ms of CPU"
