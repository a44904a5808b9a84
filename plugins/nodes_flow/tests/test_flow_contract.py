"""Containers and their parts keep the contract of nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.pool import Pool
from dify_kernel.testing.fake_body import FakeBody
from dify_kernel.testing.node import NodeExample, NodeSuite
from dify_nodes_flow.iteration import IterationNode
from dify_nodes_flow.loop import LoopNode
from dify_nodes_flow.parts import IterationStart, LoopEnd, LoopStart

ITERATION = {"iterator_selector": ["s", "list"], "output_selector": ["t", "out"]}
LIST = {"s": {"list": ["a", "b", "c"]}}


def double(index: int, pool: Pool) -> None:
    item = pool.get(("node", "item"))
    assert item is not None
    if item.data == "b!":
        raise NodeFailed("bad b", error_type="X")
    pool.set("t", "out", item.data * 2)


def lists(index: int, pool: Pool) -> None:
    if index != 1:
        pool.set("t", "out", [index, index])


def body(play: Callable[[int, Pool], None], **options: Any) -> Callable[[], FakeBody]:
    return lambda: FakeBody(play, **options)


def example(name: str, play: Callable[[int, Pool], None] = double, **config: Any) -> dict[str, Any]:
    return {"name": name, "config": {**ITERATION, **config}, "body": body(play)}


BAD = {"s": {"list": ["a", "b!", "c"]}}
DOUBLED = {"output": ["aa", "bb", "cc"]}
NOT_JOINED = {"output": [[0, 0], None, [2, 2]]}


class TestIteration(NodeSuite):
    node = IterationNode
    examples = [
        NodeExample(**example("in turn"), variables=LIST, outputs=DOUBLED),
        NodeExample(**example("side by side", is_parallel=True), variables=LIST, outputs=DOUBLED),
        NodeExample(**example("empty"), variables={"s": {"list": []}}, outputs={"output": []}),
        NodeExample(**example("null"), variables={"s": {"list": None}}, outputs={"output": []}),
        NodeExample(**example("no list"), variables={"s": {"list": "x"}}, error="please provide a list"),
        NodeExample(**example("missing"), error="iterator variable ['s', 'list'] not found"),
        NodeExample(**example("failing"), variables=BAD, error="bad b"),
        NodeExample(**example("failing, parallel", is_parallel=True), variables=BAD, error="bad b"),
        *[
            NodeExample(
                **example(f"{mode} {parallel}", error_handle_mode=mode, is_parallel=parallel),
                variables=BAD,
                outputs={"output": given},
            )
            for mode, given in (("continue-on-error", ["aa", None, "cc"]), ("remove-abnormal-output", ["aa", "cc"]))
            for parallel in (False, True)
        ],
        NodeExample(**example("joined", lists), variables=LIST, outputs={"output": [0, 0, 2, 2]}),
        NodeExample(
            **example("not joined", lists, flatten_output=False),
            variables=LIST,
            outputs=NOT_JOINED,
        ),
        NodeExample(
            **example("a null that is meant", lists, error_handle_mode="remove-abnormal-output", flatten_output=False),
            variables=LIST,
            outputs=NOT_JOINED,
        ),
    ]
    bad_configs = [{}, {"iterator_selector": ["s", "list"]}, {**ITERATION, "error_handle_mode": "sometimes"}]


COUNTER = {"label": "n", "var_type": "number", "value_type": "constant", "value": 0}
UNTIL_2 = [{"variable_selector": ["node", "n"], "comparison_operator": "≥", "value": "2"}]
UNTIL_GONE = [{**UNTIL_2[0], "variable_selector": ["no", "x"]}]


def count(index: int, pool: Pool) -> None:
    n = pool.get(("node", "n"))
    assert n is not None
    if n.data == 7:
        raise NodeFailed("seven", error_type="X")
    pool.set("node", "n", n.data + 1)


def loop(name: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "config": {"loop_count": 4, "loop_variables": [COUNTER], **config}, "body": body(count)}


def begins(value: Any, kind: str) -> list[dict[str, Any]]:
    return [{"label": "v", "var_type": kind, "value_type": "constant", "value": value}]


class TestLoop(NodeSuite):
    node = LoopNode
    examples = [
        NodeExample(**loop("to the last round"), outputs={"n": 4, "loop_round": 4}),
        NodeExample(**loop("until it holds", break_conditions=UNTIL_2), outputs={"n": 2, "loop_round": 2}),
        NodeExample(
            name="holds at once",
            config={
                "loop_count": 4,
                "loop_variables": [{**COUNTER, "value": 5}],
                "break_conditions": UNTIL_2,
            },
            body=body(count),
            outputs={},
        ),
        NodeExample(
            name="a loop end inside",
            config={"loop_count": 4, "loop_variables": [COUNTER]},
            body=body(count, ran=lambda index: ["loop-end"] if index == 1 else []),
            outputs={"n": 2, "loop_round": 2},
        ),
        NodeExample(
            **loop("a condition on what is missing", break_conditions=UNTIL_GONE),
            outputs={"n": 4, "loop_round": 4},
        ),
        NodeExample(**loop("no rounds", loop_count=0), outputs={"loop_round": 0}),
        NodeExample(**loop("a failed round", loop_variables=[{**COUNTER, "value": 6}]), error="seven"),
        NodeExample(
            name="begins with a variable",
            config={
                "loop_count": 1,
                "loop_variables": [{**COUNTER, "value_type": "variable", "value": ["s", "x"]}],
            },
            variables={"s": {"x": 3}},
            body=body(count),
            outputs={"n": 4, "loop_round": 1},
        ),
        *[
            NodeExample(
                name=f"begins with {kind}",
                config={"loop_count": 1, "loop_variables": begins(value, kind)},
                body=body(lambda index, pool: None),
                outputs={"v": given, "loop_round": 1},
            )
            for kind, value, given in (
                ("array[string]", '["a"]', ["a"]),
                ("array[number]", [], []),
                ("object", '{"a": 1}', {"a": 1}),
                ("boolean", "true", True),
                ("number", "2.5", 2.5),
                ("string", "12", "12"),
            )
        ],
        NodeExample(
            name="begins with what does not fit",
            config={"loop_count": 1, "loop_variables": begins("{", "object")},
            body=body(count),
            error="Loop variable v cannot be object",
        ),
    ]
    bad_configs = [
        {"loop_count": -1},
        {"loop_variables": [COUNTER, COUNTER]},
        {"loop_variables": [{**COUNTER, "var_type": "thing"}]},
        {"loop_variables": [{**COUNTER, "label": ""}]},
        {"loop_variables": [{**COUNTER, "value_type": "variable", "value": []}]},
        {"break_conditions": [{"variable_selector": ["a", "b"], "comparison_operator": "~"}]},
    ]


@pytest.mark.parametrize("part", [IterationStart, LoopStart, LoopEnd])
def test_parts_have_nothing_to_say(part: type) -> None:
    assert part.type
    assert part("x", part.Config()).problems() == []
