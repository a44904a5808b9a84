"""One node alone: its plan keeps what it is, is tried once, and says what it reads and by which names."""

from __future__ import annotations

from typing import Any

import pytest
from dify_kernel.contracts.node import InlineNode, NodeConfig, NodeContext, NodeResult, VariableSelector
from dify_kernel.errors import NotFound
from dify_kernel.graph.plan import Plan, compile_plan
from dify_kernel.graph.pool import Pool, Selector
from dify_kernel.graph.single import needed_inputs, single_plan
from dify_kernel.testing.graph import edges, node, resolve, run_plan

RETRY = {"retry_enabled": True, "max_retries": 3, "retry_interval": 1}


class Context(NodeConfig):
    variable_selector: list[str] = []


class ManyConfig(NodeConfig):
    variables: list[VariableSelector] = []
    query_variable_selector: list[str] = []
    context: Context | None = None


class Many(InlineNode):
    """Reads by every kind of name."""

    type = "many"
    Config = ManyConfig
    config: ManyConfig

    def selectors(self) -> list[Selector]:
        config = self.config
        named = [tuple(item.value_selector) for item in config.variables]
        inner = [tuple(config.context.variable_selector)] if config.context else []
        return [*named, tuple(config.query_variable_selector), *inner]

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        return NodeResult()


def plan_of(*nodes: dict[str, Any], path: str) -> Plan:
    return compile_plan({"nodes": list(nodes), "edges": edges(path)}, resolve)


async def test_a_node_runs_alone_with_its_strategy_and_is_tried_once() -> None:
    given = node(
        "work", "stream", error="boom", retry_config=RETRY, error_strategy="default-value",
        default_value=[{"key": "text", "type": "string", "value": "instead"}],
    )  # fmt: skip
    plan = plan_of(node("s", "begin"), given, node("t", "text", text="after"), path="s > work > t")
    run = await run_plan(single_plan(plan, "work"))
    assert [event.node_id for event in run.events if hasattr(event, "node_id")] == ["work", "work"]
    ended = run.node("work")
    assert ended is not None
    assert (ended.status, ended.retries, ended.outputs["text"]) == ("exception", 0, "instead")


async def test_a_branch_alone_ends_where_it_would_lead() -> None:
    plan = plan_of(node("s", "begin"), node("c", "choose"), node("t", "text"), path="s > c:true > t")
    run = await run_plan(single_plan(plan, "c"))
    assert run.finished.status == "succeeded"
    assert run.finished.total_steps == 1


async def test_it_reads_what_the_pool_holds() -> None:
    plan = plan_of(node("s", "begin"), node("t", "text", text="<{{#s.name#}}>"), path="s > t")
    single = single_plan(plan, "t")
    (needed,) = needed_inputs(single)
    assert (needed.key, needed.selector) == ("t.#s.name#", ("s", "name"))
    for inputs in ({"t.#s.name#": "Ada"}, {"#s.name#": "Ada"}):
        pool = Pool()
        pool.set("s", "name", needed.value(inputs))
        run = await run_plan(single, pool=pool)
        assert run.finished.total_steps == 1
        ended = run.node("t")
        assert ended is not None
        assert ended.outputs == {"output": "<Ada>"}
    assert not needed.given({"s.name": "Ada"})


def test_inputs_have_the_names_of_the_config() -> None:
    data = {
        "variables": [{"variable": "a", "value_selector": ["s", "x"]}, {"variable": "b", "value_selector": ["s", "x"]}],
        "query_variable_selector": ["s", "q"],
        "context": {"variable_selector": ["k", "result"]},
    }
    graph = {"nodes": [node("s", "begin"), node("m", "many", **data)], "edges": edges("s > m")}
    plan = compile_plan(graph, lambda kind, version: Many if kind == "many" else resolve(kind, version))
    found = {needed.key: needed.selector for needed in needed_inputs(single_plan(plan, "m"))}
    assert found == {"m.a": ("s", "x"), "m.b": ("s", "x"), "m.query": ("s", "q"), "m.#context#": ("k", "result")}


def test_an_unknown_node_is_named() -> None:
    plan = plan_of(node("s", "begin"), node("t", "text"), path="s > t")
    with pytest.raises(NotFound, match="no node 'gone'"):
        single_plan(plan, "gone")
