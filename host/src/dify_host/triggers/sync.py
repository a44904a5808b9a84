"""Brings an app's triggers in line with its graph, in the transaction that saves or publishes the graph."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from dify_kernel.errors import BadInput
from dify_kernel.graph.plan import Problem
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database, database_now
from dify_host.db.tenant import Tenant
from dify_host.triggers.cron import Schedule, cron_expression
from dify_host.triggers.errors import TooManyWebhooks
from dify_host.triggers.graph import SCHEDULE, WEBHOOK, TriggerNode, trigger_nodes
from dify_host.triggers.repository import TriggerRepository

__all__ = ["MAX_WEBHOOKS", "TriggerSync", "schedule_of", "trigger_problems"]

MAX_WEBHOOKS: Final = 5


def schedule_of(node: TriggerNode) -> Schedule:
    """The times of a schedule node; BadInput or InvalidSchedule when it has none."""
    config = node.schedule()
    return Schedule(cron_expression(config), config.timezone)


def trigger_problems(graph: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the triggers of a graph beside what their nodes say: times, and the number of webhooks."""
    nodes = trigger_nodes(graph)
    found = []
    for node in nodes:
        if node.type != SCHEDULE:
            continue
        try:
            schedule_of(node)
        except BadInput as exc:
            found.append(Problem(code="invalid_schedule", message=exc.description, node_id=node.node_id))
    webhooks = [node for node in nodes if node.type == WEBHOOK]
    if len(webhooks) > MAX_WEBHOOKS:
        found.append(Problem(code=TooManyWebhooks.code, message=_too_many(webhooks), node_id=webhooks[-1].node_id))
    return found


class TriggerSync:
    """The triggers of one tenant's workflow apps follow their graphs."""

    def __init__(self, db: Database, tenant: Tenant) -> None:
        self._repository = TriggerRepository(db, tenant)

    async def drafted(self, conn: AsyncConnection, app_id: str, graph: Mapping[str, Any], account_id: str) -> None:
        """Give the webhooks of a draft their addresses; those of what is published stay. Raises TooManyWebhooks."""
        await self._repository.add_webhooks(conn, app_id, self._webhooks(graph), account_id)

    async def published(self, conn: AsyncConnection, app_id: str, graph: Mapping[str, Any], account_id: str) -> None:
        """Make the triggers those of a graph that runs from now on: switches, addresses and times."""
        webhooks = self._webhooks(graph)
        await self._repository.drop_webhooks(conn, app_id, keep=webhooks)
        await self._repository.add_webhooks(conn, app_id, webhooks, account_id)
        nodes = trigger_nodes(graph)
        await self._repository.keep_triggers(conn, app_id, nodes)
        await self._plan(conn, app_id, [node for node in nodes if node.type == SCHEDULE])

    def _webhooks(self, graph: Mapping[str, Any]) -> set[str]:
        webhooks = [node for node in trigger_nodes(graph) if node.type == WEBHOOK]
        if len(webhooks) > MAX_WEBHOOKS:
            raise TooManyWebhooks(_too_many(webhooks), node_id=webhooks[-1].node_id)
        return {node.node_id for node in webhooks}

    async def _plan(self, conn: AsyncConnection, app_id: str, nodes: list[TriggerNode]) -> None:
        """A schedule that says what it said keeps its next time: publishing skips no slot."""
        await self._repository.drop_plans(conn, app_id, keep={node.node_id for node in nodes})
        known = await self._repository.plans(conn, app_id)
        now = await database_now(conn)
        for node in nodes:
            schedule = schedule_of(node)
            plan = known.get(node.node_id)
            if plan is None:
                await self._repository.add_plan(conn, app_id, node.node_id, planned(schedule, now))
            elif (plan.cron_expression, plan.timezone) != (schedule.expression, schedule.timezone):
                await self._repository.update_plan(conn, plan.id, planned(schedule, now))


def planned(schedule: Schedule, now: datetime) -> dict[str, Any]:
    """The columns of a schedule that begins now."""
    return {
        "cron_expression": schedule.expression,
        "timezone": schedule.timezone,
        "next_run_at": schedule.after(now),
    }


def _too_many(webhooks: list[TriggerNode]) -> str:
    return f"The workflow has {len(webhooks)} webhook triggers; it may have {MAX_WEBHOOKS}."
