"""Workflow apps as tools of other workflows, run by a whole platform."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
import yaml
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.accounts import insert_account
from dify_host.identity.workspaces import insert_workspace
from dify_host.platform import Platform
from dify_host.runs.recorder import Creator
from dify_host.runs.request import RunRequest
from dify_host.runs.service import StartedRun
from dify_host.runs.tables import workflow_runs
from dify_host.tools.errors import ToolProviderNotFound
from dify_host.tools.workflow_tools import NewWorkflowTool, WorkflowParameter
from dify_host.workspace import Workspace
from dify_kernel.contracts.node import RunInfo
from dify_kernel.errors import BadInput, Conflict, ToolError
from dify_kernel.graph.events import RunFinished
from dify_kernel.testing.loopback import Answer, Asked, loopback


@pytest.fixture
def env(redis_url: str, sqlite_url: str, tmp_path: Path) -> dict[str, str]:
    redis = urlsplit(redis_url)
    return {
        "DIFY_DATA": str(tmp_path / "data"),
        "DATABASE_URL": sqlite_url,
        "MIGRATION_ENABLED": "false",
        "REDIS_HOST": redis.hostname or "",
        "REDIS_PORT": str(redis.port or 6379),
        "REDIS_DB": redis.path.strip("/") or "0",
        "WORKFLOW_CALL_MAX_DEPTH": "3",
        "SSRF_ALLOWED_HOSTS": "127.0.0.1",
    }


@pytest.fixture
async def platform(env: dict[str, str]) -> AsyncIterator[Platform]:
    async with Platform.opened(env, role="worker") as platform:
        yield platform


class Shop:
    """One workspace with workflow apps."""

    def __init__(self, platform: Platform, workspace: Workspace, owner: str) -> None:
        self.platform, self.workspace, self.owner = platform, workspace, owner

    async def app(self, *nodes: dict[str, Any], name: str = "An app", app_id: str | None = None) -> str:
        """A published workflow of these nodes in a row, new or in place of another."""
        edges = [
            {"id": f"{a['id']}-{b['id']}", "source": a["id"], "target": b["id"], "sourceHandle": _handle(a)}
            for a, b in pairwise(nodes)
        ]
        head = {"name": name, "mode": "workflow", "icon": "", "icon_background": "", "description": ""}
        graph = {"nodes": list(nodes), "edges": edges}
        data = {"version": "0.5.0", "kind": "app", "app": head, "workflow": {"graph": graph, "features": {}}}
        made = await self.workspace.apps.import_dsl(
            yaml.safe_dump(data), account_id=self.owner, publish=True, app_id=app_id
        )
        assert made.app_id, made.error
        return made.app_id

    async def run(self, app_id: str, **inputs: Any) -> RunFinished:
        """The end of one run of the published version."""
        return await (await self.begin(app_id, **inputs)).handle.wait()

    async def begin(self, app_id: str, **inputs: Any) -> StartedRun:
        """One run of the published version."""
        repository = self.workspace.app_repository
        app, record = await repository.get(app_id), await repository.published_workflow(app_id)
        creator = Creator(role="account", id=self.owner, name="Owner")
        request = RunRequest(tenant=self.workspace.tenant, app=app, creator=creator, user_id=self.owner, inputs=inputs)
        return await self.platform.runs.start(self.platform.programs.workflow(record), request)

    async def publish(self, app_id: str, name: str, **rest: Any) -> str:
        """The id of the app as a tool."""
        new = NewWorkflowTool(app_id=app_id, name=name, **rest)
        return (await self.workspace.tools.workflows.add(new, self.owner)).id


async def open_shop(platform: Platform) -> Shop:
    async with platform.db.write() as conn:
        owner = await insert_account(conn, email=f"{new_id()}@example.com", name="Owner", password=None)
        tenant = Tenant(await insert_workspace(conn, platform.keyring, name="Workspace", owner_id=owner))
    return Shop(platform, await platform.workspace(tenant), owner)


@pytest.fixture
async def shop(platform: Platform) -> Shop:
    return await open_shop(platform)


def _handle(node: dict[str, Any]) -> str:
    """The handle that a node leaves by: a button, or the plain one."""
    return (node["data"].get("user_actions") or [{"id": "source"}])[0]["id"]


def node(node_id: str, kind: str, **data: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "custom", "data": {"type": kind, "title": node_id, **data}}


def start(*fields: dict[str, Any]) -> dict[str, Any]:
    return node("start", "start", variables=list(fields))


def field(name: str, kind: str = "paragraph", **more: Any) -> dict[str, Any]:
    return {"variable": name, "label": name.title(), "type": kind, "required": True, **more}


def end(**outputs: list[str]) -> dict[str, Any]:
    listed = [{"variable": name, "value_selector": selector} for name, selector in outputs.items()]
    return node("end", "end", outputs=listed)


def template(text: str) -> dict[str, Any]:
    variables = [{"variable": "name", "value_selector": ["start", "name"]}]
    return node("template", "template-transform", template=text, variables=variables)


def calls(provider: str, tool: str, **parameters: Any) -> dict[str, Any]:
    given = {name: {"type": "mixed", "value": value} for name, value in parameters.items()}
    return node(
        "call",
        "tool",
        provider_id=provider,
        provider_type="workflow",
        provider_name=tool,
        tool_name=tool,
        tool_parameters=given,
        tool_configurations={},
    )


GREETS = (
    start(field("name"), field("n", "number")),
    template("Hello {{ name }}!"),
    end(greeting=["template", "output"]),
)
CALLER_END = end(text=["call", "text"], greeting=["call", "greeting"], json=["call", "json"])


async def test_a_workflow_calls_another_as_a_tool(shop: Shop) -> None:
    tool = await shop.publish(await shop.app(*GREETS, name="Greeter"), "greeter")
    caller = await shop.app(
        start(field("who")), calls(tool, "greeter", name="{{#start.who#}}", n="2"), CALLER_END, name="Caller"
    )
    finished = await shop.run(caller, who="Zoë")
    assert finished.status == "succeeded", finished.error
    assert finished.outputs == {
        "text": '{"greeting":"Hello Zoë!"}',
        "greeting": "Hello Zoë!",
        "json": [{"greeting": "Hello Zoë!"}],
    }


@pytest.mark.parametrize("ensure_ascii", [0, {"type": "constant", "value": 0}], ids=["old", "new"])
async def test_a_plugins_tool_runs_as_apps_have_it(shop: Shop, ensure_ascii: Any) -> None:
    parse = node(
        "parse",
        "tool",
        provider_id="langgenius/json_process/json_process",
        provider_type="builtin",
        provider_name="json_process",
        tool_name="parse",
        tool_configurations={"ensure_ascii": ensure_ascii},
        tool_parameters={
            "content": {"type": "mixed", "value": "{{#start.text#}}"},
            "json_filter": {"type": "mixed", "value": "a"},
        },
    )
    app = await shop.app(start(field("text")), parse, end(text=["parse", "text"], json=["parse", "json"]))
    finished = await shop.run(app, text='{"a": {"b": "é"}}')
    assert finished.outputs == {"text": '{"b": "é"}', "json": [{"data": []}]}


async def test_the_parameters_are_those_of_the_start_form(shop: Shop) -> None:
    fields = [field("name"), field("n", "number", required=False, default=3), field("c", "select", options=["x", "y"])]
    app = await shop.app(start(*fields), template("{{ name }}"), end(o=["template", "output"]))
    told = [WorkflowParameter(name="name", description="Whom"), WorkflowParameter(name="n", form="form")]
    with pytest.raises(BadInput, match="c, n, name"):
        await shop.publish(app, "greeter", parameters=told)
    tool = await shop.publish(app, "greeter", parameters=[*told, WorkflowParameter(name="c")])
    shown = (await shop.workspace.tools.workflows.get(tool)).tool.parameters
    assert [(item.name, item.type, item.form, item.required) for item in shown] == [
        ("name", "string", "llm", True),
        ("n", "number", "form", False),
        ("c", "select", "llm", True),
    ]
    assert (shown[0].description, shown[1].default, shown[2].options) == ("Whom", 3, ["x", "y"])


async def test_a_tool_stays_the_version_it_was_made_of_until_it_is_updated(shop: Shop) -> None:
    app = await shop.app(*GREETS)
    tool = await shop.publish(app, "greeter")
    caller = await shop.app(start(), calls(tool, "greeter", name="a", n="1"), CALLER_END)
    await shop.app(GREETS[0], template("Bye {{ name }}!"), GREETS[2], app_id=app)
    assert (await shop.run(caller)).outputs["greeting"] == "Hello a!"
    workflows = shop.workspace.tools.workflows
    assert (await workflows.get(tool)).outdated
    await workflows.update(tool, NewWorkflowTool(app_id=app, name="greeter"))
    assert not (await workflows.get(tool)).outdated
    assert (await shop.run(caller)).outputs["greeting"] == "Bye a!"


async def test_calls_end_at_their_deepest_level(shop: Shop) -> None:
    app = await shop.app(start(), end(o=["sys", "user_id"]), name="Itself")
    tool = await shop.publish(app, "itself")
    await shop.app(start(), calls(tool, "itself"), end(o=["call", "text"]), app_id=app)
    await shop.workspace.tools.workflows.update(tool, NewWorkflowTool(app_id=app, name="itself"))
    finished = await shop.run(app)
    assert finished.status == "failed"
    assert "Max workflow call depth 3 reached." in finished.error
    async with shop.platform.db.read() as conn:
        runs = (await conn.execute(sa.select(sa.func.count()).select_from(workflow_runs))).scalar_one()
    assert runs == 1 + 3


async def test_a_failed_run_fails_the_call_with_its_error(shop: Shop) -> None:
    app = await shop.app(start(field("name")), calls(new_id(), "gone"), end(o=["call", "text"]))
    tool = await shop.publish(app, "breaks")
    caller = await shop.app(start(), calls(tool, "breaks", name="a"), end(o=["call", "text"]))
    finished = await shop.run(caller)
    assert (finished.status, "has no workflow tool" in finished.error) == ("failed", True)


async def test_a_workflow_that_waits_for_somebody_fails_the_call(shop: Shop) -> None:
    button = {"id": "yes", "title": "Yes", "button_style": "primary"}
    ask = node(
        "ask", "human-input", form_content="Well?", inputs=[], user_actions=[button], timeout=1, timeout_unit="day"
    )
    app = await shop.app(start(), ask, end(o=["sys", "user_id"]), name="Asker")
    tool = await shop.publish(app, "asker")
    finished = await shop.run(await shop.app(start(), calls(tool, "asker"), end(o=["call", "text"])))
    assert (finished.status, "Asker waits for somebody" in finished.error) == ("failed", True)


async def test_a_run_that_is_stopped_stops_what_it_called(platform: Platform, shop: Shop) -> None:
    reached, over = threading.Event(), threading.Event()

    def answer(asked: Asked) -> Answer:
        reached.set()
        over.wait(20)
        return 200, {}, b""

    with loopback(answer) as server:
        asks = node("asks", "http-request", url=server.url, method="get")
        tool = await shop.publish(await shop.app(start(), asks, end(o=["asks", "body"])), "asker")
        started = await shop.begin(await shop.app(start(), calls(tool, "asker"), end(o=["call", "text"])))
        assert await asyncio.to_thread(reached.wait, 20)
        started.handle.stop()
        assert (await started.handle.wait()).status == "stopped"
        over.set()
        await platform.runs.close()
    async with platform.db.read() as conn:
        statuses = (await conn.execute(sa.select(workflow_runs.c.status))).scalars().all()
    assert list(statuses) == ["stopped", "stopped"]


async def asked(platform: Platform, shop: Shop, tool: str, key: str, name: str = "Ada") -> list[Any]:
    """What a node of a run gets that calls the tool under a key."""
    run = RunInfo(run_id=new_id(), tenant_id=shop.workspace.tenant.id, app_id=new_id(), user_id=shop.owner)
    ports = platform.ports(shop.workspace.tenant, run, Creator(role="account", id=shop.owner, name="Owner"))
    parameters = {"name": name, "n": 1}
    return [message async for message in ports.tools.invoke("workflow", tool, "greeter", parameters, key=key)]


async def statuses(platform: Platform) -> list[str]:
    """How all runs stand."""
    async with platform.db.read() as conn:
        return list((await conn.execute(sa.select(workflow_runs.c.status))).scalars())


async def test_a_call_that_is_made_again_finds_the_run_that_it_began(platform: Platform, shop: Shop) -> None:
    tool = await shop.publish(await shop.app(*GREETS), "greeter")
    first = await asked(platform, shop, tool, "k")
    assert await asked(platform, shop, tool, "k") == first
    assert await statuses(platform) == ["succeeded"]
    assert await asked(platform, shop, tool, "other") == first
    assert await asked(platform, shop, tool, "") == first
    assert await statuses(platform) == ["succeeded"] * 3


async def test_a_call_that_is_tried_again_after_a_failure_begins_another_run(platform: Platform, shop: Shop) -> None:
    with loopback((200, {}, b"now")) as server:
        server.queued.append((500, {}, b""))
        retry = {"retry_enabled": True, "max_retries": 0}  # with it a bad status is an error
        asks = node("asks", "http-request", url=server.url, method="get", retry_config=retry)
        tool = await shop.publish(await shop.app(GREETS[0], asks, end(o=["asks", "body"])), "greeter")
        with pytest.raises(ToolError, match="Reached maximum retries"):
            await asked(platform, shop, tool, "k")
        again = await asked(platform, shop, tool, "k")
        assert await asked(platform, shop, tool, "k") == again
        assert len(server.asked) == 2
    assert "now" in repr(again)
    assert sorted(await statuses(platform)) == ["failed", "succeeded"]


async def test_a_call_from_another_process_waits_for_the_run_that_goes_on(
    platform: Platform, shop: Shop, env: dict[str, str]
) -> None:
    reached, over = threading.Event(), threading.Event()

    def answer(_: Asked) -> Answer:
        reached.set()
        over.wait(20)
        return 200, {}, b"done"

    async with Platform.opened(env, role="worker") as other:
        with loopback(answer) as server:
            asks = node("asks", "http-request", url=server.url, method="get")
            tool = await shop.publish(await shop.app(GREETS[0], asks, end(o=["asks", "body"])), "greeter")
            first = asyncio.create_task(asked(platform, shop, tool, "k"))
            assert await asyncio.to_thread(reached.wait, 20)
            second = asyncio.create_task(asked(other, shop, tool, "k"))
            third = asyncio.create_task(asked(platform, shop, tool, "k"))
            done, _ = await asyncio.wait([second, third], timeout=0.2)
            assert not done
            over.set()
            assert await first == await second == await third
            assert len(server.asked) == 1
    assert await statuses(platform) == ["succeeded"]


async def test_what_cannot_be_a_tool_is_refused(platform: Platform, shop: Shop) -> None:
    app = await shop.app(*GREETS)
    with pytest.raises(BadInput, match="underscores"):
        await shop.publish(app, "not a name")
    tool = await shop.publish(app, "greeter")
    with pytest.raises(Conflict):
        await shop.publish(app, "other")
    with pytest.raises(Conflict):
        await shop.publish(await shop.app(*GREETS), "greeter")

    stranger = (await open_shop(platform)).workspace.tools.workflows
    for attempt in (stranger.get(tool), stranger.remove(tool)):
        with pytest.raises(ToolProviderNotFound):
            await attempt
    await shop.workspace.tools.workflows.remove(tool)
    assert await shop.workspace.tools.workflows.list() == []
