"""Kept runs of containers: one after another, side by side, in each other, with failures and people inside."""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.ports import Ports
from dify_kernel.errors import CodeExecutionError
from dify_kernel.testing.fakes import FakeSandbox, fake_ports
from dify_kernel.testing.graph import node

from .case import Case, chat, flow, inside, start
from .cases_models import FORM, llm

__all__ = ["CASES"]


def picky() -> Ports:
    """Ports of a sandbox that doubles its input, and takes no `b!`."""

    def main(_language: str, _code: str, inputs: Any) -> Any:
        if inputs["n"] == "b!":
            raise CodeExecutionError("bad b")
        return {"r": inputs["n"] * 2}

    return fake_ports(sandbox=FakeSandbox(main))


def code(container: str, id: str, source: list[str]) -> dict[str, Any]:
    """A code node inside a container."""
    return inside(
        container,
        id,
        "code",
        code="",
        code_language="python3",
        variables=[{"variable": "n", "value_selector": source}],
        outputs={"r": {"type": "string", "children": None}},
    )


def iteration(id: str, source: list[str], gives: list[str], **more: Any) -> dict[str, Any]:
    """The data of an iteration."""
    return {"start_node_id": f"{id}s", "iterator_selector": source, "output_selector": gives, **more}


LOOP = {
    "start_node_id": "loops",
    "loop_count": 4,
    "break_conditions": [
        {"variable_selector": ["loop", "n"], "comparison_operator": "≥", "value": "2", "varType": "number"}
    ],
    "logical_operator": "and",
    "loop_variables": [{"label": "n", "var_type": "number", "value_type": "constant", "value": "0"}],
}
ERROR = {"variable": "e", "value_selector": ["each", "error_message"]}
MORE = [{"variable_selector": ["loop", "n"], "input_type": "constant", "operation": "+=", "value": 1}]
CASES: dict[str, Case] = {
    "iteration": chat(
        "start > each > say",
        "eachs > llm > tell",
        nodes=[
            node("each", "iteration", **iteration("each", ["start", "list"], ["llm", "text"])),
            inside("each", "eachs", "iteration-start"),
            inside("each", "llm", "llm", **llm("REPLY:{{#each.item#}}{{#each.index#}}")),
            inside("each", "tell", "answer", answer="[{{#llm.text#}}]"),
            node("say", "answer", answer="{{#each.output#}}"),
        ],
        variables=start(list=["a", "b"]),
    ),
    "iteration-parallel": flow(
        "start > each > end",
        "eachs > double",
        nodes=[
            node(
                "each",
                "iteration",
                **iteration("each", ["start", "list"], ["double", "r"]),
                is_parallel=True,
                parallel_nums=2,
                error_handle_mode="continue-on-error",
            ),
            inside("each", "eachs", "iteration-start"),
            code("each", "double", ["each", "item"]),
        ],
        gives={"out": ["each", "output"]},
        variables=start(list=["a", "b!", "c"]),
        ports=picky,
    ),
    "iteration-failed": flow(
        "start > each > end",
        "eachs > double",
        nodes=[
            node("each", "iteration", **iteration("each", ["start", "list"], ["double", "r"])),
            inside("each", "eachs", "iteration-start"),
            code("each", "double", ["each", "item"]),
        ],
        gives={"out": ["each", "output"]},
        variables=start(list=["a", "b!", "c"]),
        ports=picky,
    ),
    "loop": flow(
        "start > loop > end",
        "loops > llm > more",
        nodes=[
            node("loop", "loop", **LOOP),
            inside("loop", "loops", "loop-start"),
            inside("loop", "llm", "llm", **llm("REPLY:{{#loop.n#}}")),
            inside("loop", "more", "assigner", version="2", items=MORE),
        ],
        gives={"n": ["loop", "n"], "rounds": ["loop", "loop_round"], "last": ["llm", "text"]},
        variables=start(),
    ),
    "loop-end": flow(
        "start > loop > end",
        "loops > llm > out",
        nodes=[
            node("loop", "loop", **{**LOOP, "break_conditions": []}),
            inside("loop", "loops", "loop-start"),
            inside("loop", "llm", "llm", **llm("REPLY:once")),
            inside("loop", "out", "loop-end"),
        ],
        gives={"rounds": ["loop", "loop_round"], "last": ["llm", "text"]},
        variables=start(),
    ),
    "nested": flow(
        "start > outer > end",
        "outers > inner",
        "inners > double",
        nodes=[
            node("outer", "iteration", **iteration("outer", ["start", "lists"], ["inner", "output"])),
            inside("outer", "outers", "iteration-start"),
            inside("outer", "inner", "iteration", **iteration("inner", ["outer", "item"], ["double", "r"])),
            inside("inner", "inners", "iteration-start"),
            code("inner", "double", ["inner", "item"]),
        ],
        gives={"out": ["outer", "output"]},
        variables=start(lists=[["a", "b"], ["c"]]),
        ports=picky,
    ),
    "human-beside-failed-rounds": flow(
        "start > each:fail-branch > text > end",
        "start > ask:yes > text",
        "eachs > double > inner",
        nodes=[
            node("ask", "human-input", **FORM),
            node(
                "each",
                "iteration",
                **iteration("each", ["start", "list"], ["double", "r"]),
                is_parallel=True,
                error_strategy="fail-branch",
            ),
            inside("each", "eachs", "iteration-start"),
            code("each", "double", ["each", "item"]),
            inside("each", "inner", "human-input", **FORM),
            node("text", "template-transform", template="{{ e }}", variables=[ERROR]),
        ],
        gives={"error": ["text", "output"], "why": ["ask", "why"]},
        variables=start(list=["a", "b", "b!"], who="Ada"),
        answers={"ask": {"action": "yes", "inputs": {"why": "so"}}},
        ports=picky,
    ),
    "human-in-rounds": flow(
        "start > each > end",
        "eachs > double > ask:yes > after",
        nodes=[
            node("each", "iteration", **iteration("each", ["start", "list"], ["after", "output"])),
            inside("each", "eachs", "iteration-start"),
            code("each", "double", ["each", "item"]),
            inside("each", "ask", "human-input", **FORM),
            inside(
                "each",
                "after",
                "template-transform",
                template="{{ d }} {{ why }}",
                variables=[
                    {"variable": "d", "value_selector": ["double", "r"]},
                    {"variable": "why", "value_selector": ["ask", "why"]},
                ],
            ),
        ],
        gives={"out": ["each", "output"]},
        variables=start(list=["a", "b"], who="Ada"),
        answers={"ask": {"action": "yes", "inputs": {"why": "so"}}},
        ports=picky,
    ),
}
