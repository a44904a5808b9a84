"""Every kind of node that is installed is in one of the apps that are run while things die."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from dify_kernel.registry import Registry

from tests.faults.apps import fault_apps

#: What no app can have, or nothing can start here.
EXCEPTIONS = {
    "datasource": "stands in pipelines of knowledge bases, which are no apps",
    "knowledge-index": "stands in pipelines of knowledge bases, which are no apps",
    "trigger-plugin": "nothing delivers events of plugins",
}


def kinds(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The type and version of each node of an app; a basic app has none."""
    for node in data.get("workflow", {}).get("graph", {}).get("nodes", ()):
        yield node["data"]["type"], node["data"].get("version", "1")


def test_the_apps_have_every_kind_of_node() -> None:
    registry = Registry()
    installed = {
        (kind, version)
        for kind in registry.names("nodes")
        if kind not in EXCEPTIONS
        for version in registry.get("nodes", kind)
    }
    used = {item for app in fault_apps("http://effects", "dataset") for item in kinds(yaml.safe_load(app.dsl))}
    assert used == installed


def test_the_apps_have_every_mode_and_every_way_to_start() -> None:
    apps = fault_apps("http://effects", "dataset")
    assert {app.mode for app in apps} == {"workflow", "advanced-chat", "chat", "completion", "agent-chat"}
    assert {app.started_by for app in apps} == {"call", "webhook", "schedule"}
