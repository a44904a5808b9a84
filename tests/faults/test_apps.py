"""Every kind of node that is installed is in one of the apps and pipelines that are run while things die."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from dify_kernel.registry import Registry

from tests.faults.apps import fault_apps
from tests.faults.pipelines import fault_pipelines


def kinds(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The type and version of each node of an app; a basic app has none."""
    for node in data.get("workflow", {}).get("graph", {}).get("nodes", ()):
        yield node["data"]["type"], node["data"].get("version", "1")


def test_the_apps_and_pipelines_have_every_kind_of_node() -> None:
    registry = Registry()
    installed = {(kind, version) for kind in registry.names("nodes") for version in registry.get("nodes", kind)}
    texts = [app.dsl for app in fault_apps("http://effects", "dataset")]
    texts += [pipeline.dsl for pipeline in fault_pipelines("http://effects")]
    used = {item for text in texts for item in kinds(yaml.safe_load(text))}
    assert used == installed


def test_the_apps_have_every_mode_and_every_way_to_start() -> None:
    apps = fault_apps("http://effects", "dataset")
    assert {app.mode for app in apps} == {"workflow", "advanced-chat", "chat", "completion", "agent-chat"}
    assert {app.started_by for app in apps} == {"call", "webhook", "schedule"}
