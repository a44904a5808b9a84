"""Furnishes a workspace: the scripted models, a small knowledge base, apps with keys, a webhook."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec
import sqlalchemy as sa
from dify_host.apps.tables import workflow_webhook_triggers
from dify_host.identity.setup import ensure_local_workspace
from dify_host.knowledge.datasets import NewDataset
from dify_host.knowledge.documents import DocumentOptions
from dify_host.knowledge.rules import ProcessRule
from dify_host.platform import Platform
from dify_host.workspace import Workspace

from tests.faults.apps import fault_apps
from tests.faults.basic_apps import FaultApp

__all__ = ["House", "furnish"]

_HANDBOOK = "A big robot has six wheels. A small one has two. Every robot is charged at night."


class House(msgspec.Struct, frozen=True, kw_only=True):
    """Apps by name, their keys and ids by name, and the id in the webhook's address."""

    apps: dict[str, FaultApp]
    keys: dict[str, str]
    ids: dict[str, str]
    webhook_id: str


def furnish(env: Mapping[str, str], *, effects: str, models: str) -> House:
    """Fill an empty database through the services that the console calls."""
    return asyncio.run(_furnish(env, effects, models))


async def _furnish(env: Mapping[str, str], effects: str, models: str) -> House:
    async with Platform.opened(env, role="cli") as platform:
        owner = await ensure_local_workspace(platform.db, platform.keyring)
        workspace = await platform.workspace(owner.tenant)
        await workspace.providers.add("openai", {"openai_api_key": "k", "openai_api_base": models})
        dataset_id = await _knowledge(platform, workspace, owner.id)
        keys, ids, apps = {}, {}, fault_apps(effects, dataset_id)
        for app in apps:
            made = await workspace.apps.import_dsl(app.dsl, account_id=owner.id, publish=True, confirmed=True)
            assert made.app_id, made.error
            ids[app.name] = made.app_id
            keys[app.name] = (await workspace.api_keys.create("app", made.app_id)).token
        async with platform.db.read() as conn:
            webhook_id = (await conn.execute(sa.select(workflow_webhook_triggers.c.webhook_id))).scalar_one()
    return House(apps={app.name: app for app in apps}, keys=keys, ids=ids, webhook_id=webhook_id)


async def _knowledge(platform: Platform, workspace: Workspace, owner_id: str) -> str:
    """A knowledge base that finds by words alone, with one document; indexed here."""
    new = msgspec.convert({"name": "Robots", "indexing_technique": "economy"}, NewDataset)
    dataset = await workspace.datasets.create(new, owner_id)
    file = Path("handbook.txt")
    upload = await workspace.files.upload(
        _HANDBOOK.encode(), file.name, "text/plain", created_by_role="account", created_by=owner_id
    )
    options = DocumentOptions(indexing_technique="economy", process_rule=ProcessRule(mode="automatic"))
    made = await workspace.documents.create_by_file(dataset.id, upload.id, options, owner_id)
    await platform.indexer.run(made.document.id)
    return dataset.id
