"""Graphs that ask people, and houses whose runs keep their forms as those of a platform do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.outbox import Job, claim_batch, mark_sent
from dify_host.db.tenant import Tenant
from dify_host.db.writer import BatchWriter
from dify_host.human.answers import Submission
from dify_host.human.records import Form
from dify_host.human.rows import FormRows
from dify_host.human.runner import FormRunner
from dify_host.human.service import FormService
from dify_host.human.tables import human_input_forms
from dify_host.runs.memory import ConversationMemory
from dify_host.runs.recovery import Recovery
from dify_host.runs.service import RunService
from dify_host.runs.stops import StopFlags
from dify_kernel.contracts.node import Limits
from dify_kernel.graph.engine import RunLimits
from dify_kernel.graph.events import AnyEvent, RunResumed
from redis.asyncio import Redis

from ..runs.run_house import REGISTRY, RunHouse, edge, graph, node

__all__ = ["APPROVAL", "FormHouse", "approval", "ask", "each", "jobs_of", "side_by_side"]


def ask(node_id: str = "ask", **data: Any) -> dict[str, Any]:
    """A node that asks whether a draft is fine."""
    form = {
        "form_content": "Is {{#start.draft#}} fine? {{#$output.comment#}}",
        "inputs": [{"type": "paragraph", "output_variable_name": "comment"}],
        "user_actions": [
            {"id": "approve", "title": "Approve", "button_style": "primary"},
            {"id": "reject", "title": "Reject"},
        ],
        "timeout": 3,
        "timeout_unit": "day",
    }
    return node(node_id, "human-input", **{**form, **data})


def approval(**data: Any) -> dict[str, Any]:
    """start -> ask -> one end a button, and one for time that is up."""
    text = [{"variable": "draft", "type": "text-input", "required": True}]
    ends = {"approve": "yes", "reject": "no", "__timeout": "late"}
    return graph(
        node("start", "start", variables=text),
        ask(**data),
        *(node(name, "end", outputs=[_output("comment", "ask", "comment")]) for name in ends.values()),
        edges=[edge("start", "ask"), *(edge("ask", name, handle) for handle, name in ends.items())],
    )


#: What starts and answers `approval`.
APPROVAL = {"draft": "the text"}


def side_by_side(*first: dict[str, Any]) -> dict[str, Any]:
    """start -> these nodes, each of which leads to the one end on its own."""
    edges = [edge("start", item["id"]) for item in first]
    for item in first:
        handles = [action["id"] for action in item["data"].get("user_actions", [])] or ["source"]
        edges += [edge(item["id"], "end", handle) for handle in handles]
    outputs = [_output(item["id"], item["id"], _said(item)) for item in first]
    return graph(node("start", "start", variables=[]), *first, node("end", "end", outputs=outputs), edges=edges)


def each(parallel: bool = False) -> dict[str, Any]:
    """An iteration over the words `{"all": [...]}` of the start; each round asks about its word."""
    place = {"isInIteration": True, "iteration_id": "each"}
    inner = ask("ask", form_content="{{#each.item#}}?", **place)
    container = node(
        "each",
        "iteration",
        start_node_id="eachstart",
        iterator_selector=["start", "words", "all"],
        output_selector=["ask", "comment"],
        is_parallel=parallel,
    )
    return graph(
        node("start", "start", variables=[{"variable": "words", "type": "json_object", "required": False}]),
        container,
        {**node("eachstart", "iteration-start", **place), "parentId": "each"},
        {**inner, "parentId": "each"},
        node("end", "end", outputs=[_output("all", "each", "output")]),
        edges=[edge("start", "each"), edge("eachstart", "ask"), edge("each", "end")],
    )


def _output(name: str, *selector: str) -> dict[str, Any]:
    return {"variable": name, "value_selector": list(selector)}


def _said(item: dict[str, Any]) -> str:
    return "comment" if item["data"]["type"] == "human-input" else "text"


async def jobs_of(db: Database, actor: str) -> list[Job]:
    """Take the jobs of one kind out of the outbox."""
    found = [job for job in await claim_batch(db) if job.actor == actor]
    await mark_sent(db, [job.id for job in found])
    return found


class _Uploads:
    """A workspace that has no files."""

    async def resolve(self, mapping: Mapping[str, Any]) -> Any:
        raise AssertionError(f"no form of these asks for files: {mapping}")


class FormHouse(RunHouse):
    """A process whose runs keep their forms; answers go through the service, and runs on in the runner."""

    def __init__(self, db: Database, writer: BatchWriter, bus: Redis, *, owner: str = "here") -> None:
        super().__init__(db, writer, owner=owner)
        self.bus = bus

    def make_service(self, *, max_active: int = 0, run_limits: RunLimits | None = None) -> RunService:
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
            more_rows=lambda context: [FormRows(context)],
            form_token=lambda form_id: f"token of {form_id}",
        )

    def neighbour(self, owner: str) -> FormHouse:
        other = FormHouse(self.db, self.writer, self.bus, owner=owner)
        other.tenant, other.creator, other.made = self.tenant, self.creator, self.made
        return other

    def recovery(self, bus: Redis) -> Recovery:
        more = lambda context: [FormRows(context)]  # noqa: E731
        flags = StopFlags(bus)
        return Recovery(self.db, self.store, self.service, flags, owner=self.owner, more_rows=more)

    @property
    def forms(self) -> FormService:
        files: Any = _Uploads()
        return FormService(self.db, Tenant(self.tenant.id), files, longest=1000)

    @property
    def runner(self) -> FormRunner:
        return FormRunner(self.forms, self.service, self.recovery(self.bus), patience=30)

    async def asked(self, body: dict[str, Any], *, mode: str = "workflow", **request: Any) -> str:
        """The id of a run that waits for somebody."""
        program = self.workflow(body)
        started, _ = await self.run(program, await self.app(mode), **request)
        run_id = started.handle.run.run_id
        assert (await started.handle.wait()).status == "paused"
        return run_id

    async def open_forms(self, run_id: str) -> list[Form]:
        """The forms of a run that are open."""
        table = human_input_forms
        (app_id,) = {row.app_id for row in await self.rows(table, table.c.workflow_run_id == run_id)}
        return [form for form in await self.forms.of_run(app_id, run_id) if form.status == "waiting"]

    async def answer(self, form: Form, comment: str, action: str = "approve") -> None:
        """Fill in a form."""
        await self.forms.submit(form, Submission(action=action, inputs={"comment": comment}))

    async def work(self) -> int:
        """Do the jobs of answered runs that are there, as a worker does, and return how many there were."""
        jobs = await jobs_of(self.db, "resume_run")
        for job in jobs:
            await self.runner.resume(job.args["run_id"])
        return len(jobs)

    async def log(self, run_id: str) -> list[AnyEvent]:
        """The log of a run, numbered without gaps."""
        events = await self.store.load(run_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        return events

    async def resumed(self, run_id: str) -> int:
        """How often the run was taken up."""
        return sum(isinstance(event, RunResumed) for event in await self.log(run_id))

    async def status(self, table: sa.Table, row_id: str) -> str:
        """The status of a row."""
        return str((await self.row(table, table.c.id == row_id)).status)
