"""What the rest of the host sees of triggers: plain records, never a table row."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

__all__ = ["AppTrigger", "SchedulePlan", "TriggerLog", "WebhookTrigger"]


class AppTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """One trigger node of a published workflow; `status` is `enabled` or `disabled`."""

    id: str
    tenant_id: str
    app_id: str
    node_id: str
    trigger_type: str
    title: str
    provider_name: str
    status: str
    created_at: datetime
    updated_at: datetime


class WebhookTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a webhook node; `webhook_id` is the secret in it and never changes."""

    id: str
    tenant_id: str
    app_id: str
    node_id: str
    webhook_id: str
    created_at: datetime


class SchedulePlan(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule node is due next (UTC)."""

    id: str
    tenant_id: str
    app_id: str
    node_id: str
    cron_expression: str
    timezone: str
    next_run_at: datetime | None


class TriggerLog(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a trigger and what came of it; `workflow_run_id` is decided when it is written."""

    id: str
    tenant_id: str
    app_id: str
    workflow_id: str
    workflow_run_id: str | None
    root_node_id: str | None
    trigger_type: str
    trigger_metadata: dict[str, Any] | None
    inputs: dict[str, Any] | None
    status: str
    error: str | None
    created_by_role: str
    created_by: str
