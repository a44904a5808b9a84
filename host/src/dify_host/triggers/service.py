"""What the editors of an app may do with its triggers: see them, switch them, learn addresses, wait for events."""

from __future__ import annotations

from collections.abc import Sequence

from dify_host.db.engine import Database, database_now
from dify_host.db.tenant import Tenant
from dify_host.triggers.cron import Schedule
from dify_host.triggers.debug import DebugEvent, DebugInbox
from dify_host.triggers.graph import SCHEDULE
from dify_host.triggers.records import AppTrigger, WebhookTrigger
from dify_host.triggers.repository import ENABLED, TriggerRepository
from dify_host.triggers.sync import planned

__all__ = ["TriggerService"]


class TriggerService:
    """The triggers of one tenant's apps. `base_url` is the public base of their addresses, where a setting says it."""

    def __init__(self, db: Database, tenant: Tenant, *, inbox: DebugInbox, base_url: str = "") -> None:
        self._repository = TriggerRepository(db, tenant)
        self._db, self._tenant = db, tenant
        self._inbox, self._base = inbox, base_url

    async def list(self, app_id: str) -> list[AppTrigger]:
        """The triggers of an app's published workflow; empty for an app of somebody else."""
        return await self._repository.list(app_id)

    async def enable(self, app_id: str, trigger_id: str, enabled: bool) -> AppTrigger:
        """Switch a trigger; TriggerNotFound. A schedule that is switched on begins with its next time."""
        async with self._db.write() as conn:
            trigger = await self._repository.get(conn, app_id, trigger_id)
            await self._repository.set_status(conn, trigger_id, ENABLED if enabled else "disabled")
            if enabled and trigger.status != ENABLED and trigger.trigger_type == SCHEDULE:
                plan = (await self._repository.plans(conn, app_id)).get(trigger.node_id)
                if plan is not None:
                    schedule = Schedule(plan.cron_expression, plan.timezone)
                    await self._repository.update_plan(conn, plan.id, planned(schedule, await database_now(conn)))
            return await self._repository.get(conn, app_id, trigger_id)

    async def webhook(self, app_id: str, node_id: str) -> WebhookTrigger:
        """The address of a webhook node of an app's draft or published workflow; WebhookNotFound."""
        return await self._repository.webhook(app_id, node_id)

    def url(self, webhook: WebhookTrigger, origin: str, *, debug: bool = False) -> str:
        """Where a webhook is called; `origin` is the base at which the API was asked, for want of a setting."""
        base = (self._base or origin).rstrip("/")
        return f"{base}/triggers/webhook{'-debug' if debug else ''}/{webhook.webhook_id}"

    async def wait_for_event(self, app_id: str, node_ids: Sequence[str], account_id: str) -> DebugEvent | None:
        """The event of one of these draft nodes that came since the last call; None means: wait, and call again.

        The run that follows is one of the draft with `event.node_id` as its root and `event.inputs` as its inputs.
        """
        return await self._inbox.poll(self._tenant, app_id, node_ids, account_id)
