"""Every published app with an agent is taken in, compiles, and runs as far as what is installed goes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml
from dify_host.apps.dsl import parse
from dify_host.apps.records import ModelConfig
from dify_host.apps.validation import check_config, has_errors
from dify_host.runs.basic import basic_graph
from dify_kernel.contracts.node import NodeStatus
from dify_kernel.errors import NotFound
from dify_kernel.graph.plan import compile_plan
from dify_kernel.graph.pool import Selector
from dify_kernel.registry import Registry
from dify_kernel.testing.fakes import FakeTools, fake_context, fake_ports
from dify_kernel.testing.node import run_node

from .recordings import SHARED

REGISTRY = Registry()
#: The apps that name an agent at all; reading the others as YAML takes long.
TEXTS = {path.stem: path.read_text("utf-8") for path in sorted((SHARED / "corpus" / "dsl").glob("*.yml"))}
TEXTS = {name: text for name, text in TEXTS.items() if "mode: agent-chat" in text or "type: agent\n" in text}
APPS = {name: text for name, text in TEXTS.items() if yaml.safe_load(text)["app"]["mode"] == "agent-chat"}
if not APPS:
    pytest.skip("no apps beside the checkout; set DIFY_SHARED", allow_module_level=True)


def agent_nodes(text: str) -> list[str]:
    graph = (yaml.safe_load(text).get("workflow") or {}).get("graph") or {}
    return [str(node["id"]) for node in graph.get("nodes", ()) if node["data"].get("type") == "agent"]


FLOWS = {name: text for name, text in TEXTS.items() if agent_nodes(text)}


class Nothing(FakeTools):
    """No tool is installed."""

    async def describe(self, *args: Any, **kwargs: Any) -> Any:
        raise NotFound("Nothing offers it.")


def config_of(text: str) -> ModelConfig:
    return msgspec.convert({**(parse(text).model_config or {}), "id": "1", "app_id": "2"}, ModelConfig, strict=False)


def filled(selectors: list[Selector]) -> dict[str, dict[str, Any]]:
    """A text for each variable that is read."""
    found: dict[str, dict[str, Any]] = {"sys": {"query": "hello", "files": []}}
    for selector in selectors:
        found.setdefault(selector[0], {}).setdefault(selector[1], "text")
    return found


@pytest.mark.parametrize("name", sorted(APPS))
async def test_an_agent_app_is_taken_in_and_runs(name: str) -> None:
    config = config_of(APPS[name])
    assert not has_errors(check_config(config, "agent-chat", REGISTRY))
    plan = compile_plan(basic_graph(config, "agent-chat"), REGISTRY.node)
    assert [node.type for node in plan.nodes] == ["start", "agent", "answer"]
    node = plan.nodes[1].node
    outcome = await run_node(node, fake_context("agent", filled(node.selectors()), ports=fake_ports()))
    assert outcome.result is not None
    assert (outcome.result.status, outcome.result.outputs.get("text")) == (NodeStatus.SUCCEEDED, "ECHO(hello)")


@pytest.mark.parametrize("name", sorted(APPS))
async def test_its_run_names_every_tool_that_is_not_there(name: str) -> None:
    config = config_of(APPS[name])
    node = compile_plan(basic_graph(config, "agent-chat"), REGISTRY.node).nodes[1].node
    outcome = await run_node(node, fake_context("agent", filled(node.selectors()), ports=fake_ports(tools=Nothing())))
    wanted = [tool for tool in config.agent_mode["tools"] if tool.get("enabled")]
    for tool in wanted:
        assert f"{tool['provider_id']}/{tool['tool_name']} (Nothing offers it.)" in outcome.failure
    assert bool(outcome.failure) is bool(wanted)


@pytest.mark.parametrize("name", sorted(FLOWS))
async def test_agent_nodes_of_workflows_run_or_name_their_strategy(name: str) -> None:
    plan = compile_plan(yaml.safe_load(FLOWS[name])["workflow"]["graph"], REGISTRY.node)
    agents = [node for node in plan.nodes if node.type == "agent"]
    assert agents
    for agent in agents:
        context = fake_context(agent.id, filled(agent.node.selectors()), ports=fake_ports())
        outcome = await run_node(agent.node, context)
        strategy = agent.node.config.agent_strategy_provider_name
        if strategy == "langgenius/agent/agent":
            assert outcome.failure == ""
        else:
            assert f"The agent strategy {strategy}/" in outcome.failure or "no model" in outcome.failure
