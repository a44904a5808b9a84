"""Reads and writes one tenant's triggers: the nodes, their addresses, their times, and the log of what they did."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps.tables import app_triggers, workflow_schedule_plans, workflow_webhook_triggers
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.statements import insert_missing
from dify_host.db.types import new_id
from dify_host.runs.tables import workflow_trigger_logs
from dify_host.triggers.errors import TriggerNotFound, WebhookNotFound
from dify_host.triggers.graph import TriggerNode
from dify_host.triggers.records import AppTrigger, SchedulePlan, TriggerLog, WebhookTrigger

__all__ = ["ENABLED", "TriggerRepository", "log_values"]

ENABLED: Final = "enabled"
_WEBHOOK_ID_LENGTH: Final = 24  # characters of 62: more than 140 bits
_ALPHABET: Final = string.ascii_letters + string.digits
_TITLE: Final = 255  # characters of the columns


class TriggerRepository(TenantRepository):
    """The triggers of the tenant's apps. Writes run in the caller's transaction."""

    # -- triggers ---------------------------------------------------------------------------------------------

    async def list(self, app_id: str) -> list[AppTrigger]:
        """The triggers of an app's published workflow, oldest first."""
        order = (app_triggers.c.created_at, app_triggers.c.id)
        query = self.scoped_select(app_triggers).where(app_triggers.c.app_id == app_id).order_by(*order)
        async with self.db.read() as conn:
            return [to_struct(row, AppTrigger) for row in (await conn.execute(query)).all()]

    async def get(self, conn: AsyncConnection, app_id: str, trigger_id: str) -> AppTrigger:
        """One trigger of an app; TriggerNotFound otherwise."""
        mine = (app_triggers.c.id == trigger_id, app_triggers.c.app_id == app_id)
        row = (await conn.execute(self.scoped_select(app_triggers).where(*mine))).one_or_none()
        if row is None:
            raise TriggerNotFound("Trigger not found.", trigger_id=trigger_id)
        return to_struct(row, AppTrigger)

    async def set_status(self, conn: AsyncConnection, trigger_id: str, status: str) -> None:
        """Switch one trigger."""
        statement = self.scoped_update(app_triggers, {"status": status}).where(app_triggers.c.id == trigger_id)
        await conn.execute(statement)

    async def keep_triggers(self, conn: AsyncConnection, app_id: str, nodes: Iterable[TriggerNode]) -> None:
        """Make the app's triggers those of these nodes; one that stays keeps its id and whether it is on."""
        nodes = list(nodes)
        await self._drop_others(conn, app_triggers, app_id, {node.node_id for node in nodes})
        rows = [
            {
                "tenant_id": self.tenant.id,
                "app_id": app_id,
                "node_id": node.node_id,
                "trigger_type": node.type,
                "title": node.title[:_TITLE],
                "provider_name": node.provider[:_TITLE],
                "status": ENABLED,
            }
            for node in nodes
        ]
        await insert_missing(conn, app_triggers, rows, key=["app_id", "node_id"])
        for row in rows:
            values = {name: row[name] for name in ("trigger_type", "title", "provider_name")}
            mine = (app_triggers.c.app_id == app_id, app_triggers.c.node_id == row["node_id"])
            await conn.execute(self.scoped_update(app_triggers, values).where(*mine))

    # -- webhooks ---------------------------------------------------------------------------------------------

    async def webhook(self, app_id: str, node_id: str) -> WebhookTrigger:
        """The address of a webhook node; WebhookNotFound otherwise."""
        table = workflow_webhook_triggers
        query = self.scoped_select(table).where(table.c.app_id == app_id, table.c.node_id == node_id)
        async with self.db.read() as conn:
            row = (await conn.execute(query)).one_or_none()
        if row is None:
            raise WebhookNotFound("Webhook trigger not found for node.", hint="Save the draft first.", node_id=node_id)
        return to_struct(row, WebhookTrigger)

    async def drop_webhooks(self, conn: AsyncConnection, app_id: str, *, keep: set[str]) -> None:
        """Take the addresses of all other nodes of an app away."""
        await self._drop_others(conn, workflow_webhook_triggers, app_id, keep)

    async def add_webhooks(self, conn: AsyncConnection, app_id: str, node_ids: set[str], account_id: str) -> None:
        """Give each of these nodes an address; one that has one keeps it."""
        rows = [
            {
                "tenant_id": self.tenant.id,
                "app_id": app_id,
                "node_id": node_id,
                "webhook_id": "".join(secrets.choice(_ALPHABET) for _ in range(_WEBHOOK_ID_LENGTH)),
                "created_by": account_id,
            }
            for node_id in sorted(node_ids)
        ]
        await insert_missing(conn, workflow_webhook_triggers, rows, key=["app_id", "node_id"])

    # -- schedules --------------------------------------------------------------------------------------------

    async def plans(self, conn: AsyncConnection, app_id: str) -> dict[str, SchedulePlan]:
        """The schedules of an app by node, locked until the transaction ends."""
        table = workflow_schedule_plans
        query = self.scoped_select(table).where(table.c.app_id == app_id).with_for_update()
        return {row.node_id: to_struct(row, SchedulePlan) for row in (await conn.execute(query)).all()}

    async def add_plan(self, conn: AsyncConnection, app_id: str, node_id: str, values: Mapping[str, Any]) -> None:
        """Plan a schedule node."""
        row = {**values, "app_id": app_id, "node_id": node_id}
        await conn.execute(self.scoped_insert(workflow_schedule_plans, row))

    async def update_plan(self, conn: AsyncConnection, plan_id: str, values: Mapping[str, Any]) -> None:
        """Change when a schedule is due."""
        table = workflow_schedule_plans
        await conn.execute(self.scoped_update(table, values).where(table.c.id == plan_id))

    async def drop_plans(self, conn: AsyncConnection, app_id: str, *, keep: set[str]) -> None:
        """Forget the schedules of all other nodes of an app."""
        await self._drop_others(conn, workflow_schedule_plans, app_id, keep)

    # -- log --------------------------------------------------------------------------------------------------

    async def add_log(self, conn: AsyncConnection, values: Mapping[str, Any]) -> None:
        """Write down an event of a trigger."""
        await conn.execute(self.scoped_insert(workflow_trigger_logs, {"id": new_id(), "queue_name": "", **values}))

    async def log(self, log_id: str) -> TriggerLog | None:
        """One event of a trigger; None when there is none, or no longer."""
        table = workflow_trigger_logs
        async with self.db.read() as conn:
            row = (await conn.execute(self.scoped_select(table).where(table.c.id == log_id))).one_or_none()
        return None if row is None else to_struct(row, TriggerLog)

    async def update_log(self, log_id: str, values: Mapping[str, Any], *, unless: Iterable[str] = ()) -> None:
        """Say what came of an event, unless it stands at one of these."""
        table = workflow_trigger_logs
        mine = (table.c.id == log_id, table.c.status.not_in(list(unless)))
        async with self.db.write() as conn:
            await conn.execute(self.scoped_update(table, values).where(*mine))

    # -- inside -----------------------------------------------------------------------------------------------

    async def _drop_others(self, conn: AsyncConnection, table: sa.Table, app_id: str, keep: set[str]) -> None:
        known = self.scoped_select(table, table.c.node_id).where(table.c.app_id == app_id)
        gone = set((await conn.execute(known)).scalars()) - keep
        if gone:
            mine = (table.c.app_id == app_id, table.c.node_id.in_(gone))
            await conn.execute(self.scoped_delete(table).where(*mine))


def log_values(
    *,
    app_id: str,
    workflow_id: str,
    node_id: str,
    trigger_type: str,
    status: str,
    created_by_role: str,
    created_by: str,
    at: datetime,
    **more: Any,
) -> dict[str, Any]:
    """The columns of an event of a trigger."""
    return {
        "app_id": app_id,
        "workflow_id": workflow_id,
        "root_node_id": node_id,
        "trigger_type": trigger_type,
        "status": status,
        "created_by_role": created_by_role,
        "created_by": created_by,
        "triggered_at": at,
        **more,
    }
