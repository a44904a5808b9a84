"""What it costs that runs survive: CPU of runs with the SQL log beside the same runs without one, and runs a second.

The runs go through the run service in this process: start, template, effectful nodes, end. Engines that cannot be had
are left out of the tables.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from dify_host.apps.records import AppRecord, WorkflowRecord
from dify_host.db import engine as database_engine
from dify_host.db.catalog import metadata
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.db.writer import BatchWriter, Group
from dify_host.runs.event_log import SqlRunLogStore
from dify_host.runs.memory import ConversationMemory
from dify_host.runs.programs import Program, Programs
from dify_host.runs.recorder import Creator, Rows
from dify_host.runs.request import RunRequest
from dify_host.runs.service import RunService
from dify_host.runs.tables import workflow_node_executions, workflow_run_leases, workflow_runs
from dify_kernel.contracts.node import Limits, Node
from dify_kernel.graph.engine import RunLimits
from dify_kernel.graph.events import Event
from dify_kernel.registry import Registry
from dify_kernel.testing.fakes import fake_ports
from sqlalchemy.engine import URL

from tests.e2e.servers import new_database

from .figures import show
from .test_engine_speed import FIXED, REGISTRY, NapNode, node

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600), pytest.mark.usefixtures("server_collector")]

MANY, ROUNDS, MOST_TIMES = 500, 5, 2.0
WIDTHS, SECONDS = (1, 64), 3.0
SQLITE_FULL = "sqlite, synchronous=FULL"


class Kept(Enum):
    """What is kept of a run."""

    NOTHING = "nothing (the engine and the run service alone)"
    ROWS = "its rows, without a log (floor)"
    ALL = "its rows and its log"


class NoLog:
    """The log of a run that is not kept; its rows are, as far as there are any."""

    last = 0

    def __init__(self, writer: BatchWriter) -> None:
        self._writer, self.group = writer, Group()
        self._written: asyncio.Future[None] | None = None

    def append(self, event: Event) -> None:
        """Forget it."""

    def push(self) -> asyncio.Future[None] | None:
        """Send the rows on their way."""
        if not self.group.inserts and not self.group.updates:
            return None
        self._written, self.group = self._writer.put(self.group), Group()
        return self._written

    async def flush(self) -> None:
        """Wait for the rows."""
        self.push()
        if self._written is not None:
            await self._written

    def release(self) -> None:
        """Nobody takes it up."""


class NoLogs:
    """Logs that keep nothing."""

    def __init__(self, writer: BatchWriter) -> None:
        self._writer = writer

    def create(self, run_id: str, owner: str, *, ttl: float | None = None, tenant_id: str = "") -> NoLog:
        """One of them."""
        return NoLog(self._writer)

    async def close(self) -> None:
        """There is nothing."""


class Unrecorded(RunService):
    """A run service whose runs leave no rows."""

    def _rows(self, *parts: Any, **more: Any) -> list[Rows]:
        return []


class Napping(Registry):
    """The installed plugins, and a node that sleeps."""

    def node(self, kind: str, version: str = "1") -> type[Node]:
        """A node class."""
        return NapNode if kind == "nap" else super().node(kind, version)


class House:
    """A run service with one app."""

    def __init__(self, db: Database, writer: BatchWriter, *, kept: Kept) -> None:
        self.db = db
        self.tenant, self.creator = Tenant(new_id()), Creator(role="end_user", id=new_id())
        self.store = SqlRunLogStore(db, writer) if kept is Kept.ALL else cast(SqlRunLogStore, NoLogs(writer))
        ports = fake_ports()
        self.service = (Unrecorded if kept is Kept.NOTHING else RunService)(
            log_store=self.store,
            registry=REGISTRY,
            ports=lambda tenant, run, creator: ports,
            memory=lambda tenant: ConversationMemory(db, tenant),
            limits=Limits(),
            run_limits=RunLimits(),
            owner="here",
        )
        now = utc_now()
        names: dict[str, Any] = {"id": new_id(), "tenant_id": self.tenant.id, "name": "app", "mode": "workflow"}
        self.app = AppRecord(**names, created_at=now, updated_at=now)

    def program(self, graph: dict[str, Any]) -> Program:
        """A graph, compiled."""
        ids: dict[str, Any] = {"id": new_id(), "tenant_id": self.tenant.id, "app_id": self.app.id}
        empty: dict[str, Any] = {"features": {}, "environment_variables": [], "conversation_variables": []}
        record = WorkflowRecord(**ids, type="workflow", version="1", graph=graph, **empty, created_at=utc_now())
        return Programs(Napping()).workflow(record)

    async def run(self, program: Program) -> None:
        """One run, to its end."""
        request = RunRequest(tenant=self.tenant, app=self.app, creator=self.creator, user_id="ada", inputs={})
        started = await self.service.start(program, request)
        assert (await started.handle.wait()).status == "succeeded"

    async def close(self) -> None:
        """End it."""
        await self.service.close(grace=1)
        await self.store.close()


def graph(*middle: dict[str, Any]) -> dict[str, Any]:
    """start -> these -> end."""
    outputs = [{"variable": "out", "value_selector": ["greet", "output"]}]
    nodes = [node("start", "start", variables=[]), *middle, node("end", "end", outputs=outputs)]
    edges = [{"source": a["id"], "target": b["id"]} for a, b in itertools.pairwise(nodes)]
    return {"nodes": nodes, "edges": edges}


GREET = node("greet", "template-transform", **FIXED)
FIVE = graph(GREET, node("first", "nap"), node("second", "nap"))
TINY = graph(GREET, node("effect", "nap"))


@asynccontextmanager
async def opened(url: str, *, kept: Kept = Kept.ALL) -> AsyncIterator[House]:
    """A house on a database with every table."""
    db = Database(url)
    try:
        async with db.write() as conn:
            await conn.run_sync(metadata.create_all)
        writer = BatchWriter(db)
        writer.start()
        house = House(db, writer, kept=kept)
        try:
            yield house
        finally:
            await house.close()
            await writer.close()
    finally:
        await db.close()


@pytest.fixture
def urls(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An empty database on each engine that can be had."""
    found = {"sqlite": f"sqlite:///{tmp_path / 'dify.db'}"}
    with ExitStack() as stack:
        for kind in ("postgresql", "mysql"):
            try:
                named = stack.enter_context(new_database(kind, tmp_path))
            except pytest.skip.Exception:
                continue
            parts = {name: named[f"DB_{name.upper()}"] for name in ("username", "password", "host", "database")}
            url = URL.create(kind, **parts, port=int(named["DB_PORT"]))
            found[kind] = url.render_as_string(hide_password=False)
        yield found


async def cpu(url: str, *, kept: Kept) -> float:
    """CPU milliseconds a run of this process, many at a time; the best of several rounds."""
    async with opened(url, kept=kept) as house:
        program, best = house.program(FIVE), float("inf")
        for _ in range(ROUNDS):
            began = time.process_time()
            await asyncio.gather(*(asyncio.create_task(house.run(program)) for _ in range(MANY)))
            best = min(best, (time.process_time() - began) / MANY * 1000)
        await check(house, 0 if kept is Kept.NOTHING else MANY * ROUNDS, nodes=5)
    return best


async def check(house: House, runs: int, *, nodes: int) -> None:
    """Every run of the house has its rows, and no lease is left."""
    wanted = ((workflow_runs, runs), (workflow_node_executions, runs * nodes))
    async with house.db.read() as conn:
        for table, count in wanted:
            query = sa.select(sa.func.count()).where(table.c.app_id == house.app.id)
            assert (await conn.execute(query)).scalar_one() == count, table.name
        assert (await conn.execute(sa.select(sa.func.count()).select_from(workflow_run_leases))).scalar_one() == 0


async def throughput(url: str, width: int) -> float:
    """Runs a second, so many at a time; each waits until the result of its effect is durable, and until its end is."""
    async with opened(url) as house:
        program, done = house.program(TINY), 0
        await house.run(program)
        ends = time.monotonic() + SECONDS

        async def work() -> None:
            nonlocal done
            while time.monotonic() < ends:
                await house.run(program)
                done += 1

        began = time.monotonic()
        await asyncio.gather(*(work() for _ in range(width)))
        return done / (time.monotonic() - began)


def measure(work: Callable[[], Coroutine[Any, Any, float]]) -> float:
    """What it gives, on a loop of its own."""
    return asyncio.run(work())


def test_cpu_of_durable_runs(urls: dict[str, str]) -> None:
    rows: list[tuple[str, ...]] = []
    times: dict[str, float] = {}
    for name, url in urls.items():
        found = {kept: measure(partial(cpu, url, kept=kept)) for kept in Kept}
        floor = found[Kept.ROWS]
        rows += [(f"{name}: {kept.value}", f"{each:.3f}", f"{each / floor:.2f}") for kept, each in found.items()]
        times[name] = found[Kept.ALL] / floor
    show(
        f"start, template, two effectful nodes, end; {MANY} runs at a time through the run service; kept of a run is",
        ("", "CPU ms a run", "of floor"),
        [*rows, ("budget on SQLite", "", f"{MOST_TIMES:g}")],
    )
    assert times["sqlite"] <= MOST_TIMES, (
        f"a durable run costs {times['sqlite']:.1f} times the CPU of one without a log"
    )


def test_runs_a_second(urls: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, list[float]] = {}
    for name, url in urls.items():
        found[name] = [measure(partial(throughput, url, width)) for width in WIDTHS]
    pragmas = tuple(each.replace("NORMAL", "FULL") for each in database_engine._SQLITE_PRAGMAS)
    monkeypatch.setattr(database_engine, "_SQLITE_PRAGMAS", pragmas)
    found[SQLITE_FULL] = [measure(partial(throughput, urls["sqlite"], width)) for width in WIDTHS]
    show(
        "start, template, one effectful node, end: runs a second, each durable after its effect and at its end",
        ("", *(f"{width} at a time" for width in WIDTHS)),
        [(name, *(f"{each:,.0f}" for each in speeds)) for name, speeds in found.items()],
    )
    for name, (alone, many) in found.items():
        assert many > alone > 0, f"{name}: many runs at a time do not share transactions"
