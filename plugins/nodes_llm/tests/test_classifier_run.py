"""What the classifier asks a model, and how its answer is read."""

import json
from contextlib import suppress

import msgspec
import pytest
from dify_kernel.contracts.model import ImagePart, ModelFeature, TextPart
from dify_kernel.contracts.node import NodeStatus, RunInfo
from dify_kernel.errors import InvokeConnectionError, NodeFailed
from dify_kernel.graph.values import FileType
from dify_kernel.testing.fakes import FakeFiles, FakeMemory, FakeModels, fake_context, fake_ports
from dify_kernel.testing.node import make_node, run_node
from dify_nodes_llm.choice import Category, read_choice
from dify_nodes_llm.question_classifier import QuestionClassifierNode
from hypothesis import given
from hypothesis import strategies as st

MODEL = {"provider": "p", "name": "m", "mode": "chat", "completion_params": {"temperature": 0, "stop": "END"}}
CLASSES = [{"id": "1", "name": "Sports"}, {"id": "2", "name": "Food of {{#v.where#}}"}]


async def classify(query, *, models=None, turns=None, files=None, variables=None, **config):
    """Run the node: its request to the model, and its result."""
    models = models or FakeModels()
    ports = fake_ports(models=models, memory=FakeMemory(turns or []), files=files or FakeFiles())
    run = RunInfo(run_id="r", user_id="u", conversation_id="c" if turns is not None else None)
    context = fake_context("node", {"v": {"q": query, "where": "Rome", **(variables or {})}}, ports=ports, run=run)
    data = {"query_variable_selector": ["v", "q"], "model": MODEL, "classes": CLASSES, **config}
    outcome = await run_node(make_node(QuestionClassifierNode, data), context)
    assert outcome.error is None
    return (models.requests or [None])[0], outcome.result


def question(request):
    """What the last message asks, as data."""
    message = request.messages[-1]
    assert message.role == "user"
    return json.loads(message.text)


async def test_the_request():
    request, _ = await classify("pasta", instruction="in {{#v.where#}} or {{#ghost.x#}}")
    assert (request.model, request.mode, request.user, request.stop) == ("m", "chat", "u", ["END"])
    assert request.parameters == {"temperature": 0}
    assert request.tools == []
    roles = [message.role for message in request.messages]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert question(request) == {
        "input_text": ["pasta"],
        "categories": [
            {"category_id": "1", "category_name": "Sports"},
            {"category_id": "2", "category_name": "Food of Rome"},
        ],
        "classification_instructions": ["in Rome or ghost.x"],
    }


async def test_the_result():
    _, result = await classify("food please")
    usage = msgspec.to_builtins(result.usage)
    assert usage["total_tokens"] > 0
    assert result.handle == "2"
    assert result.outputs == {"class_name": "Food of Rome", "class_id": "2", "usage": usage}
    assert result.inputs == {"query": "food please"}
    prompts = result.process_data.pop("prompts")
    assert [set(prompt) for prompt in prompts] == [{"role", "text", "files"}] * 6
    assert result.process_data == {
        "model_mode": "chat",
        "usage": usage,
        "finish_reason": "stop",
        "model_provider": "p",
        "model_name": "m",
    }


@given(query=st.text())
async def test_any_text_is_asked_about_as_it_is(query):
    request, _ = await classify(query)
    assert question(request)["input_text"] == [query]


async def test_old_exports_call_the_instruction_otherwise():
    request, _ = await classify("x", instructions="old {{#v.where#}}")
    assert question(request)["classification_instructions"] == ["old Rome"]
    request, _ = await classify("x", instruction="new", instructions="old")
    assert question(request)["classification_instructions"] == ["new"]


async def test_what_is_asked_is_no_template():
    request, _ = await classify("{{#v.where#}}")
    assert question(request)["input_text"] == ["{{#v.where#}}"]


async def test_a_missing_question_is_empty():
    request, result = await classify("x", query_variable_selector=["ghost", "q"])
    assert question(request)["input_text"] == [""]
    assert result.inputs == {"query": None}


async def test_completion_models_get_one_text():
    request, result = await classify("some food", model={**MODEL, "mode": "completion"})
    [message] = request.messages
    assert (request.mode, message.role) == ("completion", "user")
    assert '"input_text": ["some food"]' in message.text
    assert result.handle == "2"
    assert result.process_data["model_mode"] == "completion"


TURNS = [("one", "1"), ("two", "2"), ("three", "3")]


@pytest.mark.parametrize(
    ("window", "told"),
    [
        (
            {"enabled": False, "size": 2},
            "Human: one\nAssistant: 1\nHuman: two\nAssistant: 2\nHuman: three\nAssistant: 3",
        ),
        ({"enabled": True, "size": 2}, "Human: three\nAssistant: 3"),
        ({"enabled": True, "size": 1}, ""),
    ],
)
async def test_the_history_is_in_the_task(window, told):
    request, _ = await classify("x", turns=TURNS, memory={"window": window})
    assert f"<histories>\n{told}\n</histories>" in request.messages[0].text
    assert len(request.messages) == 6


async def test_a_history_that_does_not_fit_is_left_out():
    request, _ = await classify("x", turns=TURNS, memory={"window": {}}, models=FakeModels(context_size=100))
    assert "<histories>\n\n</histories>" in request.messages[0].text


async def test_the_model_sees_files():
    files = FakeFiles()
    image = files.put(b"pixels", filename="a.png", mime_type="image/png", type=FileType.IMAGE)
    vision = {"enabled": True, "configs": {"variable_selector": ["v", "f"], "detail": "low"}}
    models = FakeModels(features=[ModelFeature.VISION])
    request, result = await classify("food", files=files, variables={"f": [image]}, vision=vision, models=models)
    picture, text = request.messages[-1].content
    assert isinstance(picture, ImagePart)
    assert picture.detail == "low"
    assert isinstance(text, TextPart)
    assert result.process_data["prompts"][-1]["files"][0]["type"] == "image"
    request, _ = await classify("food", files=files, variables={"f": [image]}, vision=vision)
    assert isinstance(request.messages[-1].content, str)


async def test_a_failing_model_fails_the_node():
    _, result = await classify("FAIL:no quota")
    assert (result.status, result.error_type) == (NodeStatus.FAILED, "InvokeBadRequestError")
    assert result.error.startswith("no quota")
    assert result.inputs == {"query": "FAIL:no quota"}
    _, result = await classify("x", models=FakeModels(error=InvokeConnectionError("gone")))
    assert (result.error_type, result.error) == ("InvokeConnectionError", "gone")


async def test_an_answer_that_cannot_be_read_fails_the_node_and_is_counted():
    _, result = await classify("x", models=FakeModels(lambda _: "no idea"))
    assert (result.status, result.error_type) == (NodeStatus.FAILED, "OutputParserError")
    assert result.usage.total_tokens > 0


async def test_the_call_is_closed():
    models = FakeModels()
    await classify("x", models=models)
    assert models.closed == 1


# -- reading -----------------------------------------------------------------------------------------------------

CATEGORIES = [Category("1", "Sports"), Category("b", "Food"), Category("3", "Ⅲ")]


@pytest.mark.parametrize(
    ("answer", "chosen"),
    [
        ('{"keywords": [], "category_id": "b", "category_name": "Food"}', "b"),
        ('```json\n{"category_id": "b", "category_name": "Food"}\n```', "b"),
        ('Sure: {"category_id": "b", "category_name": "another name"} as asked', "b"),
        ('[{"category_id": "b", "category_name": "Food"}]', "b"),
        ("{'category_id': 'b', 'category_name': 'Food',}", "b"),
        ('{"category_id": 3, "category_name": "Ⅲ"}', "3"),
        ('<think>{"category_id": "1"}</think>{"category_id": "b", "category_name": "Food"}', "b"),
        ('<THINK>\n{\n</think>\n{"category_id": "b", "category_name": "Food"}', "b"),
        ('{"category_id": "b"}', "1"),
        ('{"category_name": "Food"}', "1"),
        ('{"category_id": "Food", "category_name": "Food"}', "1"),
        ('{"category_id": null, "category_name": null}', "1"),
        ('{"category_id": ["b"], "category_name": "Food"}', "1"),
        ("{}", "1"),
    ],
)
def test_read_choice(answer, chosen):
    assert read_choice(answer, CATEGORIES).category_id == chosen


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Food",
        "[1, 2]",
        "}{",
        '{"category_id": "1", "category_name": "a"}, {"category_id": "b", "category_name": "b"}',
        "<think>{}</think>",
        '{"a":' * 100_000 + "}",
    ],
)
def test_an_answer_without_one_object_fails(answer):
    with pytest.raises(NodeFailed) as failed:
        read_choice(answer, CATEGORIES)
    assert failed.value.error_type == "OutputParserError"


@given(answer=st.text(st.sampled_from('{}[]":,\\ \nab1<think>/')))
def test_any_answer_is_a_category_or_fails(answer):
    with suppress(NodeFailed):
        assert read_choice(answer, CATEGORIES) in CATEGORIES


@given(chosen=st.sampled_from(CATEGORIES), before=st.text("ab \n`"), after=st.text("ab \n`"))
def test_words_around_an_answer_change_nothing(chosen, before, after):
    assert read_choice(f"{before}{json.dumps(msgspec.to_builtins(chosen))}{after}", CATEGORIES) == chosen
