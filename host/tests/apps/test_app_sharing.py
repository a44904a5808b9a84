"""What leaves a workspace inside an app's text, and what may come in."""

from __future__ import annotations

import copy

import pytest
from dify_host.apps.sharing import (
    config_datasets,
    decrypt_dataset_id,
    derived_plugins,
    encrypt_dataset_id,
    export_config,
    export_dependencies,
    export_graph,
    graph_datasets,
    import_graph,
    used_plugins,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from . import sample_apps as sample

TENANT = "0196b4a8-0000-7000-8000-000000000001"
OTHER = "0196b4a8-0000-7000-8000-000000000002"
TOOL = {"tool_name": "t", "credential_id": "c-1"}
GRAPH = sample.graph(
    sample.START,
    sample.RETRIEVAL,
    sample.node("tool", "tool", credential_id="c-2", provider_id="a/b/c", plugin_unique_identifier="a/b:1.0@ff"),
    sample.node("agent", "agent", agent_parameters={"tools": {"type": "constant", "value": [TOOL]}}),
    sample.node("hook", "trigger-webhook", webhook_url="https://x", webhook_debug_url="https://y"),
    sample.node("clock", "trigger-schedule", config={"mode": "cron"}),
    sample.node("event", "trigger-plugin", subscription_id="s"),
    sample.node("llm", "llm", model={"provider": "openai", "name": "m"}),
)


@given(st.uuids(), st.uuids())
@settings(deadline=None)
def test_an_id_opens_in_its_workspace_alone(dataset: object, tenant: object) -> None:
    written = encrypt_dataset_id(str(dataset), str(tenant))
    assert str(dataset) not in written
    assert decrypt_dataset_id(written, str(tenant)) == str(dataset)
    assert decrypt_dataset_id(written, OTHER) is None


def test_an_id_is_written_as_dify_writes_it() -> None:
    """A value made with `openssl enc -aes-256-cbc` under the SHA-256 of the workspace's id."""
    written = "si7HuDQjHnKffrvfD+3gAJAgATEssrqKrjr9p8dcH2gTFAerdUAf8GwgM3EgbAg8"
    assert encrypt_dataset_id(sample.DATASET, TENANT) == written


@pytest.mark.parametrize("text", ["", "x", "!!", "é", "QUJD", "A" * 64])
def test_any_other_text_opens_to_nothing(text: str) -> None:
    assert decrypt_dataset_id(text, TENANT) is None


def test_a_shared_graph_holds_nothing_of_the_workspace() -> None:
    before = copy.deepcopy(GRAPH)
    shared = export_graph(GRAPH, TENANT, include_secret=False, encrypt_datasets=True)
    assert before == GRAPH
    data = {node["id"]: node["data"] for node in shared["nodes"]}
    assert "c-1" not in str(shared)
    assert "c-2" not in str(shared)
    assert sample.DATASET not in str(shared)
    assert (data["hook"]["webhook_url"], data["hook"]["webhook_debug_url"], data["event"]["subscription_id"]) == (
        *("", ""),
        "",
    )
    assert data["clock"]["config"]["frequency"] == "daily"
    own, poorer = import_graph(shared, TENANT)
    assert (graph_datasets(own), poorer) == ([sample.DATASET], [])
    assert import_graph(shared, OTHER)[1] == ["kb"]


def test_credentials_stay_when_secrets_are_asked_for() -> None:
    shared = export_graph(GRAPH, TENANT, include_secret=True, encrypt_datasets=False)
    assert "c-1" in str(shared)
    assert "c-2" in str(shared)
    assert graph_datasets(shared) == [sample.DATASET]


def test_a_configuration_never_carries_credentials() -> None:
    config = {"agent_mode": {"enabled": True, "tools": [TOOL, "odd"]}}
    assert export_config(config) == {"agent_mode": {"enabled": True, "tools": [{"tool_name": "t"}, "odd"]}}


def test_datasets_of_a_configuration_are_found_in_both_forms() -> None:
    first, second = "d1", "d2"
    config = {
        "dataset_configs": {"datasets": {"datasets": [{"dataset": {"enabled": True, "id": first}}, {"other": 1}]}},
        "agent_mode": {"tools": [{"dataset": {"enabled": True, "id": second}}, {"dataset": first}]},
    }
    assert config_datasets(config) == [first, second]
    assert config_datasets({"dataset_configs": None, "agent_mode": []}) == []


def test_plugins_are_named_by_the_text_or_by_its_nodes() -> None:
    listed = [
        {"type": "github", "value": {"github_plugin_unique_identifier": "a/b:1@x", "repo": "a/b"}},
        {"type": "package", "value": {"plugin_unique_identifier": "c/d:1@x"}},
        {"type": "odd", "value": None},
    ]
    assert used_plugins(listed) == ["a/b", "c/d"]
    assert derived_plugins(GRAPH, {"model": {"provider": "x/y/z"}}) == ["a/b", "langgenius/openai", "x/y"]
    assert used_plugins(export_dependencies(GRAPH)) == ["a/b"]
