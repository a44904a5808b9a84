"""Takes what triggers bring: a request to a webhook becomes a trigger log and a job, in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec
import sqlalchemy as sa
from dify_kernel.graph.values import File
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps.errors import WorkflowNotFound
from dify_host.apps.repository import AppRepository
from dify_host.apps.tables import app_triggers, apps, workflow_webhook_triggers
from dify_host.db.engine import Database
from dify_host.db.outbox import enqueue
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.identity.end_users import EndUsers
from dify_host.lru import Lru
from dify_host.triggers.debug import DebugEvent, DebugInbox
from dify_host.triggers.errors import WebhookNotFound
from dify_host.triggers.graph import WEBHOOK, WebhookConfig, trigger_nodes
from dify_host.triggers.repository import ENABLED, TriggerRepository, log_values
from dify_host.triggers.webhook import CheckedCall, Reply, WebhookCall, check, reply

__all__ = ["QUEUE", "RUN_TRIGGER", "Filing", "WebhookIntake", "write_run"]

#: The job of a triggered run, and where it waits.
RUN_TRIGGER: Final = "run_trigger"
QUEUE: Final = "workflow"
#: The input of a webhook node.
REQUEST: Final = "webhook_data"
#: What end users of triggers are called.
END_USER: Final = "trigger"
_REMEMBERED: Final = 512  # configs of published webhooks a process remembers


class Filing(Protocol):
    """Keeps the files of requests."""

    async def save(self, data: bytes, *, filename: str, mime_type: str) -> File:
        """Keep bytes under a name."""
        ...


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a webhook id leads."""

    tenant_id: str
    app_id: str
    node_id: str
    workflow_id: str | None
    app_status: str
    trigger_status: str | None


class WebhookIntake:
    """The webhooks of all tenants. Who knows an id may call: it names the tenant, and nothing else reaches one."""

    def __init__(
        self,
        db: Database,
        *,
        apps_of: Callable[[Tenant], Awaitable[AppRepository]],
        files_of: Callable[[Tenant], Filing],
        works: Callable[[Tenant], Awaitable[bool]],
        debug: DebugInbox,
    ) -> None:
        self._db, self._debug = db, debug
        self._apps_of, self._files_of, self._works = apps_of, files_of, works
        self._configs: Lru[tuple[str, str], WebhookConfig] = Lru(_REMEMBERED)

    async def receive(self, webhook_id: str, call: WebhookCall) -> Reply:
        """Take a request: when this returns, its run is sure to begin. Raises WebhookNotFound, WebhookRefused."""
        place = await self._find(webhook_id)
        tenant = Tenant(place.tenant_id)
        on = place.trigger_status == ENABLED and place.app_status == "normal" and await self._works(tenant)
        if not on or place.workflow_id is None:
            raise _gone(webhook_id)
        config = await self._published(tenant, place, place.workflow_id)
        checked = check(config, call)
        inputs = {REQUEST: await self._kept(tenant, checked)}
        user = await EndUsers(self._db, tenant).get_or_create(place.app_id, None, type=END_USER)
        async with self._db.write() as conn:
            values = log_values(
                app_id=place.app_id,
                workflow_id=place.workflow_id,
                node_id=place.node_id,
                trigger_type=WEBHOOK,
                status="queued",
                created_by_role="end_user",
                created_by=user.id,
                at=utc_now(),
                inputs=inputs,
                trigger_metadata={},
            )
            await write_run(conn, TriggerRepository(self._db, tenant), values)
        return reply(config)

    async def receive_debug(self, webhook_id: str, call: WebhookCall) -> Reply:
        """Give a request to the draft runs that wait for it, and start nothing. Raises as `receive` does."""
        place = await self._find(webhook_id)
        tenant = Tenant(place.tenant_id)
        draft = await (await self._apps_of(tenant)).draft_workflow(place.app_id)
        config = _config_of(draft.graph, place.node_id) if draft is not None else None
        if config is None or place.app_status != "normal" or not await self._works(tenant):
            raise _gone(webhook_id)
        checked = check(config, call)
        inputs = {REQUEST: await self._kept(tenant, checked)}
        event = DebugEvent(node_id=place.node_id, trigger_type=WEBHOOK, inputs=inputs)
        await self._debug.deliver(tenant, place.app_id, event)
        return reply(config)

    async def _find(self, webhook_id: str) -> _Place:
        hooks, triggers = workflow_webhook_triggers, app_triggers
        same_node = sa.and_(triggers.c.app_id == hooks.c.app_id, triggers.c.node_id == hooks.c.node_id)
        query = (
            sa.select(
                hooks.c.tenant_id,
                hooks.c.app_id,
                hooks.c.node_id,
                apps.c.workflow_id,
                apps.c.status.label("app_status"),
                triggers.c.status.label("trigger_status"),
            )
            .select_from(hooks)
            .join(apps, sa.and_(apps.c.id == hooks.c.app_id, apps.c.tenant_id == hooks.c.tenant_id))
            .outerjoin(triggers, same_node)
            .where(hooks.c.webhook_id == webhook_id)
        )
        async with self._db.read() as conn:
            row = (await conn.execute(query)).one_or_none()
        if row is None:
            raise _gone(webhook_id)
        return msgspec.convert({str(key): value for key, value in row._mapping.items()}, _Place)

    async def _published(self, tenant: Tenant, place: _Place, workflow_id: str) -> WebhookConfig:
        """The config of the node in a published version, which never changes."""
        key = (workflow_id, place.node_id)
        known = self._configs.get(key)
        if known is not None:
            return known
        try:
            record = await (await self._apps_of(tenant)).published_workflow(place.app_id, workflow_id)
        except WorkflowNotFound as exc:
            raise _gone(place.node_id) from exc
        config = _config_of(record.graph, place.node_id)
        if config is None:
            raise _gone(place.node_id)
        self._configs.put(key, config)
        return config

    async def _kept(self, tenant: Tenant, call: CheckedCall) -> dict[str, Any]:
        """The request as the node gets it, its files in storage."""
        filing = self._files_of(tenant)
        files = {}
        for name, sent in call.files.items():
            kept = await filing.save(sent.data, filename=sent.filename, mime_type=sent.mime_type)
            files[name] = msgspec.to_builtins(kept)
        body = files if call.whole_body_is_file else call.body
        shown = {"method": call.method, "headers": call.headers, "query_params": call.query, "body": body}
        return {**shown, "files": {} if call.whole_body_is_file else files}


async def write_run(conn: AsyncConnection, repository: TriggerRepository, values: dict[str, Any]) -> str:
    """Write down an event and the job of its run in the caller's transaction, and return the id of the log.

    The id of the run is decided here, so that a job that comes twice begins one run.
    """
    log_id, run_id = new_id(), new_id()
    job_id = await enqueue(conn, RUN_TRIGGER, {"tenant_id": repository.tenant.id, "log_id": log_id}, queue=QUEUE)
    sent = {"id": log_id, "workflow_run_id": run_id, "queue_name": QUEUE, "celery_task_id": job_id}
    await repository.add_log(conn, {**values, **sent})
    return log_id


def _config_of(graph: dict[str, Any], node_id: str) -> WebhookConfig | None:
    found = (node for node in trigger_nodes(graph) if node.node_id == node_id and node.type == WEBHOOK)
    node = next(found, None)
    return None if node is None else node.webhook()


def _gone(webhook_id: str) -> WebhookNotFound:
    return WebhookNotFound("Webhook not found.", webhook_id=webhook_id)
