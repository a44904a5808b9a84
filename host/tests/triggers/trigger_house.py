"""A workspace whose apps are started by triggers, and a worker's end of the queue that tests drive by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import sqlalchemy as sa
import yaml
from dify_host.apps.tables import workflow_schedule_plans, workflow_webhook_triggers
from dify_host.db.outbox import Job, claim_batch, mark_sent
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.identity.accounts import insert_account
from dify_host.identity.workspaces import insert_workspace
from dify_host.jobs.actors import ACTORS
from dify_host.platform import Platform
from dify_host.runs.tables import workflow_runs, workflow_trigger_logs
from dify_host.workspace import Workspace

__all__ = ["TriggerHouse", "end", "graph", "node", "schedule", "webhook"]


def node(node_id: str, kind: str, **data: Any) -> dict[str, Any]:
    """A node of a graph."""
    return {"id": node_id, "type": "custom", "data": {"type": kind, "title": node_id.title(), **data}}


def webhook(node_id: str = "hook", **data: Any) -> dict[str, Any]:
    """A webhook that takes POSTs of JSON, unless told otherwise."""
    return node(node_id, "trigger-webhook", **{"method": "post", "content_type": "application/json", **data})


def schedule(node_id: str = "clock", cron: str = "0 9 * * *", timezone: str = "UTC") -> dict[str, Any]:
    """A schedule of a cron expression."""
    return node(node_id, "trigger-schedule", mode="cron", cron_expression=cron, timezone=timezone)


def end(node_id: str, **outputs: tuple[str, ...]) -> dict[str, Any]:
    """An end that gives these variables."""
    listed = [{"variable": name, "value_selector": list(selector)} for name, selector in outputs.items()]
    return node(node_id, "end", outputs=listed)


def graph(*paths: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """Paths of nodes, each in a row; a node of several paths is given by the same object."""
    nodes = {item["id"]: item for path in paths for item in path}
    edges = [
        {"id": f"{a['id']}-{b['id']}", "source": a["id"], "target": b["id"], "sourceHandle": "source"}
        for path in paths
        for a, b in pairwise(path)
    ]
    return {"nodes": list(nodes.values()), "edges": edges}


class TriggerHouse:
    """One workspace."""

    def __init__(self, platform: Platform, web: httpx.AsyncClient, workspace: Workspace, owner_id: str) -> None:
        self.platform, self.web = platform, web
        self.workspace, self.owner_id = workspace, owner_id

    @classmethod
    async def open(cls, platform: Platform, web: httpx.AsyncClient) -> TriggerHouse:
        """A workspace with an owner."""
        async with platform.db.write() as conn:
            owner = await insert_account(conn, email=f"{new_id()}@example.com", name="Owner", password=None)
            tenant_id = await insert_workspace(conn, platform.keyring, name="House", owner_id=owner)
        return cls(platform, web, await platform.workspace(Tenant(tenant_id)), owner)

    async def app(self, body: dict[str, Any], *, publish: bool = True, app_id: str | None = None) -> str:
        """Import a workflow app and return its id."""
        head = {"name": "Triggered", "mode": "workflow", "icon": "🤖", "icon_background": "#FFEAD5", "description": ""}
        data = {"version": "0.5.0", "kind": "app", "app": head, "workflow": {"graph": body, "features": {}}}
        text = yaml.safe_dump(data, allow_unicode=True)
        made = await self.workspace.apps.import_dsl(text, account_id=self.owner_id, publish=publish, app_id=app_id)
        assert made.app_id, made.error
        return made.app_id

    async def webhook_id(self, app_id: str, node_id: str = "hook") -> str:
        """The secret in the address of a node."""
        return (await self.workspace.triggers.webhook(app_id, node_id)).webhook_id

    async def call(self, webhook_id: str, method: str = "POST", *, debug: bool = False, **more: Any) -> httpx.Response:
        """Call a webhook."""
        return await self.web.request(method, f"/triggers/webhook{'-debug' if debug else ''}/{webhook_id}", **more)

    async def jobs(self, actor: str = "run_trigger") -> list[Job]:
        """Take the jobs of one kind out of the outbox."""
        found = [job for job in await claim_batch(self.platform.db) if job.actor == actor]
        await mark_sent(self.platform.db, [job.id for job in found])
        return found

    async def work(self) -> list[Job]:
        """Do every triggered run that waits, as a worker does, and return the jobs."""
        jobs = await self.jobs()
        for job in jobs:
            await ACTORS[job.actor].run(self.platform, **job.args)
        return jobs

    async def runs(self) -> list[Any]:
        """The rows of all runs, oldest first."""
        return await self.rows(workflow_runs)

    async def logs(self) -> list[Any]:
        """The rows of the trigger log, oldest first."""
        return await self.rows(workflow_trigger_logs)

    async def age_logs(self, by: timedelta) -> None:
        """Make all events of triggers older; a little more, as the clock of the database is another."""
        table = workflow_trigger_logs
        at = utc_now() - by - timedelta(seconds=5)
        async with self.platform.db.write() as conn:
            await conn.execute(table.update().values(triggered_at=at))

    async def plan(self, app_id: str) -> Any:
        """The row of an app's one schedule."""
        (row,) = await self.rows(workflow_schedule_plans, workflow_schedule_plans.c.app_id == app_id)
        return row

    async def set_due(self, app_id: str, at: datetime) -> None:
        """Make an app's schedule due at a time."""
        table = workflow_schedule_plans
        async with self.platform.db.write() as conn:
            await conn.execute(table.update().where(table.c.app_id == app_id).values(next_run_at=at))

    async def hooks(self, app_id: str) -> dict[str, str]:
        """The webhook ids of an app by node."""
        rows = await self.rows(workflow_webhook_triggers, workflow_webhook_triggers.c.app_id == app_id)
        return {row.node_id: row.webhook_id for row in rows}

    async def rows(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> list[Any]:
        """Rows of a table in the order of their making."""
        async with self.platform.db.read() as conn:
            return list(
                (await conn.execute(sa.select(table).where(*where).order_by(table.c.created_at, table.c.id))).all()
            )
