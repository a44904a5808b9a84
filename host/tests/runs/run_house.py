"""Programs out of graphs, runs of them on a real database, and fake models that tests can hold back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import redis.asyncio as redis
import sqlalchemy as sa
from dify_host.apps.errors import WorkflowNotFound
from dify_host.apps.records import AppRecord, ModelConfig, Variable, WorkflowRecord
from dify_host.apps.tables import apps
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.db.writer import BatchWriter
from dify_host.runs.context import RunContext
from dify_host.runs.event_log import SqlRunLogStore
from dify_host.runs.memory import ConversationMemory
from dify_host.runs.payloads import Payloads
from dify_host.runs.programs import Program, Programs
from dify_host.runs.recorder import Creator
from dify_host.runs.recovery import Recovery
from dify_host.runs.service import RunRequest, RunService, StartedRun
from dify_host.runs.stops import StopFlags
from dify_kernel.contracts.model import LLMDelta, LLMRequest
from dify_kernel.contracts.node import Limits
from dify_kernel.contracts.ports import Ports
from dify_kernel.graph.engine import RunLimits
from dify_kernel.graph.events import Event
from dify_kernel.registry import Registry
from dify_kernel.testing.fake_models import FakeModels
from dify_kernel.testing.fakes import FakeFiles, FakeKnowledge, FakeTools, fake_ports

__all__ = ["REGISTRY", "GatedModels", "RunHouse", "chat_graph", "edge", "graph", "node"]

MODEL = {"provider": "openai", "name": "gpt-4o-mini", "mode": "chat", "completion_params": {}}
REGISTRY = Registry()


def node(node_id: str, kind: str, **data: Any) -> dict[str, Any]:
    """A node of a graph."""
    return {"id": node_id, "type": "custom", "data": {"type": kind, "title": node_id.title(), **data}}


def edge(source: str, target: str, handle: str = "source") -> dict[str, Any]:
    """An edge of a graph."""
    return {"id": f"{source}-{handle}-{target}", "source": source, "target": target, "sourceHandle": handle}


def graph(*nodes: dict[str, Any], edges: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """These nodes, in a row unless edges are given."""
    row = [edge(a["id"], b["id"]) for a, b in pairwise(nodes)]
    return {"nodes": list(nodes), "edges": row if edges is None else edges}


def chat_graph(prompt: str = "{{#sys.query#}}", answer: str = "{{#llm.text#}}", **data: Any) -> dict[str, Any]:
    """A chat that asks the model and streams its answer."""
    return graph(
        node("start", "start", variables=[]),
        node("llm", "llm", model=MODEL, prompt_template=[{"role": "user", "text": prompt}], **data),
        node("answer", "answer", answer=answer),
    )


class GatedModels(FakeModels):
    """A fake model that gives its first piece, then waits until `gate` is set."""

    def __init__(self, reply: Callable[[str], str] | None = None, *, closed: bool = False) -> None:
        super().__init__(*([reply] if reply else []))
        self.gate = asyncio.Event()
        if not closed:
            self.gate.set()

    async def llm(self, provider: str, request: LLMRequest) -> AsyncIterator[LLMDelta]:
        """The answer of the fake, held back after its first piece."""
        async for delta in super().llm(provider, request):
            yield delta
            await self.gate.wait()


class RunHouse:
    """One workspace with a run service; `knowledge` and `models` are what its nodes reach."""

    def __init__(
        self, db: Database, writer: BatchWriter, *, owner: str = "here", payloads: Payloads | None = None
    ) -> None:
        self.db, self.writer, self.owner, self.payloads = db, writer, owner, payloads
        self.tenant = Tenant(new_id())
        self.models = GatedModels()
        self.knowledge = FakeKnowledge()
        self.files = FakeFiles()
        self.tools = FakeTools()
        self.store = SqlRunLogStore(db, writer, payloads=payloads)
        self.programs = Programs(REGISTRY)
        self.made: dict[str, Program] = {}
        self.service = self.make_service()
        self.creator = Creator(role="end_user", id=new_id(), name="abc-123")

    def make_service(self, *, max_active: int = 0, run_limits: RunLimits | None = None, **options: Any) -> RunService:
        """Another service on the same logs."""
        return RunService(
            log_store=self.store,
            registry=REGISTRY,
            ports=lambda tenant, run, creator: self.ports(tenant),
            memory=lambda tenant: ConversationMemory(self.db, tenant),
            limits=Limits(),
            run_limits=run_limits or RunLimits(),
            owner=self.owner,
            max_active=max_active,
            programs=self.program_of,
            **options,
        )

    async def program_of(self, context: RunContext) -> Program:
        """A program that this house made before."""
        if context.run.workflow_id not in self.made:
            raise WorkflowNotFound("It is gone.")
        return self.made[context.run.workflow_id]

    def neighbour(self, owner: str, *, payloads: Payloads | None = None) -> RunHouse:
        """Another process on the same database and workspace, with the same programs and models of its own."""
        other = RunHouse(self.db, self.writer, owner=owner, payloads=payloads or self.payloads)
        other.tenant, other.creator, other.made = self.tenant, self.creator, self.made
        return other

    def recovery(self, bus: redis.Redis) -> Recovery:
        """What looks for lost runs in this process."""
        return Recovery(self.db, self.store, self.service, StopFlags(bus), owner=self.owner, grace=timedelta())

    def ports(self, tenant: Tenant) -> Ports:
        """The fakes of this house, with the real memory of conversations."""
        memory = ConversationMemory(self.db, tenant)
        return fake_ports(
            models=self.models, knowledge=self.knowledge, files=self.files, tools=self.tools, memory=memory
        )

    async def close(self) -> None:
        """End what is running."""
        await self.service.close(grace=0)
        await self.store.close()

    async def app(self, mode: str = "workflow", **more: Any) -> AppRecord:
        """An app with its row."""
        now = utc_now()
        app_id = new_id()
        row = {"id": app_id, "tenant_id": self.tenant.id, "name": "An app", "mode": mode}
        async with self.db.write() as conn:
            await conn.execute(apps.insert().values(**row, enable_site=False, enable_api=True))
        return AppRecord(**{**row, "mode": mode}, created_at=now, updated_at=now, **more)  # type: ignore[arg-type]

    def workflow(
        self, body: dict[str, Any], *, env: list[Variable] | None = None, conversation: list[Variable] | None = None
    ) -> Program:
        """A compiled graph."""
        record = WorkflowRecord(
            id=new_id(),
            tenant_id=self.tenant.id,
            app_id=new_id(),
            type="workflow",
            version="1",
            graph=body,
            features={},
            environment_variables=env or [],
            conversation_variables=conversation or [],
            created_at=utc_now(),
        )
        return self._made(self.programs.workflow(record))

    def basic(self, mode: str, **config: Any) -> Program:
        """A compiled configuration of a chat or completion app."""
        config = {"id": new_id(), "app_id": new_id(), "model": MODEL, **config}
        return self._made(self.programs.basic(ModelConfig(**config), mode))

    def _made(self, program: Program) -> Program:
        self.made[program.source_id] = program
        return program

    async def start(self, program: Program, app: AppRecord, **request: Any) -> StartedRun:
        """Begin a run."""
        service = request.pop("service", self.service)
        filled = {"tenant": self.tenant, "app": app, "creator": self.creator, "user_id": "abc-123", "inputs": {}}
        return await service.start(program, RunRequest(**{**filled, **request}))

    async def run(self, program: Program, app: AppRecord, **request: Any) -> tuple[StartedRun, list[Event]]:
        """A run from start to end, and all its events."""
        started = await self.start(program, app, **request)
        return started, [event async for batch in started.handle.follow() for event in batch]

    async def rows(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> list[Any]:
        """Rows of a table in the order of their making."""
        order = [table.c[name] for name in ("created_at", "index", "id") if name in table.c]
        async with self.db.read() as conn:
            return list((await conn.execute(sa.select(table).where(*where).order_by(*order))).all())

    async def row(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> Any:
        """The one row of a table."""
        (found,) = await self.rows(table, *where)
        return found

    async def until(self, condition: Callable[[], Any], *, seconds: float = 10.0) -> None:
        """Let other tasks go on until something is true."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come true"
            await asyncio.sleep(0.001)
