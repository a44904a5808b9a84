"""A run stops at the node, is kept as a log, and goes on from it with what was answered."""

import pytest
from dify_kernel.graph.events import NodePaused, RunPaused, decode_event, encode_event
from dify_kernel.graph.plan import compile_plan
from dify_kernel.testing.graph import edges, node, resolve, run_plan
from dify_nodes_human.node import HumanInputNode

FORM = {
    "form_content": "Shall {{#begin.who#}} go? {{#$output.why#}}",
    "inputs": [{"type": "paragraph", "output_variable_name": "why"}],
    "user_actions": [{"id": "yes", "title": "Go"}, {"id": "no", "title": "Stay"}],
    "timeout": 1,
}


def plan():
    """A form, and a text behind each way out of it."""
    nodes = [
        node("begin", "begin"),
        node("ask", "human-input", **FORM),
        node("went", "text", text="went: {{#ask.why#}}"),
        node("stayed", "text", text="stayed: {{#ask.__rendered_content#}}"),
        node("waited", "text", text="waited [{{#ask.__action_id#}}]"),
    ]
    paths = edges("begin > ask", "ask:yes > went", "ask:no > stayed", "ask:__timeout > waited")
    return compile_plan(
        {"nodes": nodes, "edges": paths},
        lambda kind, version: HumanInputNode if kind == "human-input" else resolve(kind, version),
    )


async def asked():
    """The log of a run up to the form, as it is read back, and how the form was asked for."""
    run = await run_plan(plan(), inputs={"who": "Ada"})
    assert isinstance(run.last, RunPaused)
    log = [decode_event(encode_event(event)) for event in run.events]
    [pause] = [event for event in log if isinstance(event, NodePaused)]
    return log, pause


async def test_the_question_is_in_the_log():
    _, pause = await asked()
    assert (pause.node_id, pause.title, pause.type) == ("ask", "ask", "human_input_required")
    assert pause.data["form_content"] == "Shall Ada go? {{#$output.why#}}"
    assert [action["id"] for action in pause.data["actions"]] == ["yes", "no"]
    assert pause.expires_at == pytest.approx(pause.at + 3600, abs=60)


@pytest.mark.parametrize(
    ("answer", "behind", "text"),
    [
        ({"action": "yes", "inputs": {"why": "she can"}}, "went", "went: she can"),
        ({"action": "no", "inputs": {"why": "rain"}}, "stayed", "stayed: Shall Ada go? rain"),
        ({"timeout": True}, "waited", "waited []"),
    ],
)
async def test_the_run_goes_on_by_what_was_answered(answer, behind, text):
    log, pause = await asked()
    run = await run_plan(plan(), history=log, answers={pause.execution_id: answer})
    assert run.finished.status == "succeeded"
    ran = {name for name in ("went", "stayed", "waited") if run.node(name)}
    assert ran == {behind}
    assert run.node(behind).outputs["output"] == text


async def test_an_answer_that_does_not_fit_fails_the_run():
    log, pause = await asked()
    run = await run_plan(plan(), history=log, answers={pause.execution_id: {"action": "perhaps", "inputs": {}}})
    assert (run.finished.status, run.finished.error) == ("failed", "Invalid action: perhaps")
    assert run.node("ask").error_type == "InvalidFormData"
