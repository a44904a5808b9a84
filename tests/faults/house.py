"""Furnishes a workspace: the scripted models, knowledge bases, apps and pipelines with keys, a webhook."""

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
from tests.faults.pipelines import FaultPipeline, fault_pipelines

__all__ = ["House", "furnish"]

_HANDBOOK = "A big robot has six wheels. A small one has two. Every robot is charged at night."


class House(msgspec.Struct, frozen=True, kw_only=True):
    """Apps and pipelines by name, the keys of apps and all ids by name, and the id in the webhook's address.

    `datasets` are the ids of the pipelines' knowledge bases, by name; `dataset_key` is for all of them.
    """

    apps: dict[str, FaultApp]
    keys: dict[str, str]
    ids: dict[str, str]
    webhook_id: str
    pipelines: dict[str, FaultPipeline]
    datasets: dict[str, str]
    dataset_key: str


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
        datasets, pipelines = {}, fault_pipelines(effects)
        for pipeline in pipelines:
            drawn = await workspace.pipelines.import_dsl(
                pipeline.dsl, account_id=owner.id, publish=True, confirmed=True
            )
            assert drawn.pipeline_id, drawn.error
            assert drawn.dataset_id
            ids[pipeline.name], datasets[pipeline.name] = drawn.pipeline_id, drawn.dataset_id
        async with platform.db.read() as conn:
            webhook_id = (await conn.execute(sa.select(workflow_webhook_triggers.c.webhook_id))).scalar_one()
        return House(
            apps={app.name: app for app in apps},
            keys=keys,
            ids=ids,
            webhook_id=webhook_id,
            pipelines={pipeline.name: pipeline for pipeline in pipelines},
            datasets=datasets,
            dataset_key=(await workspace.api_keys.create("dataset")).token,
        )


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
