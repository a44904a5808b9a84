"""What the parameter extractor asks a model, and what it makes of the answer."""

import json

import msgspec
import pytest
from dify_kernel.contracts.model import ImagePart, ModelFeature
from dify_kernel.contracts.node import NodeStatus, RunInfo
from dify_kernel.graph.values import FileType, Value, ValueType, plain
from dify_kernel.testing.fakes import FakeFiles, FakeMemory, FakeModels, fake_context, fake_ports
from dify_kernel.testing.node import make_node, run_node
from dify_nodes_llm.parameter_extractor import ParameterExtractorNode

MODEL = {"provider": "p", "name": "m", "mode": "chat", "completion_params": {"temperature": 0}}
CITY = {"name": "city", "type": "string", "description": "哪个城市", "required": True}
KIND = {"name": "kind", "type": "select", "options": ["a", "b"], "description": "which", "required": False}
TAGS = {"name": "tags", "type": "array[number]", "description": "", "required": False}
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"description": "哪个城市", "type": "string"},
        "kind": {"description": "which", "type": "string", "enum": ["a", "b"]},
        "tags": {"description": "", "type": "array", "items": {"type": "number"}},
    },
    "required": ["city"],
}
CALLS = [ModelFeature.TOOL_CALL]


async def extract(query, /, *, models=None, turns=None, files=None, variables=None, **config):
    """Run the node: its request to the model, and its result."""
    models = models or FakeModels()
    ports = fake_ports(models=models, memory=FakeMemory(turns or []), files=files or FakeFiles())
    run = RunInfo(run_id="r", user_id="u", conversation_id="c" if turns is not None else None)
    context = fake_context("node", {"v": {"q": query, **(variables or {})}}, ports=ports, run=run)
    data = {"query": ["v", "q"], "model": MODEL, "parameters": [CITY], "reasoning_mode": "prompt", **config}
    outcome = await run_node(make_node(ParameterExtractorNode, data), context)
    assert outcome.error is None
    return (models.requests or [None])[0], outcome.result


def between(text, tag):
    """What stands between the last tags of that name."""
    return text.rpartition(f"<{tag}>\n")[2].partition(f"\n</{tag}>")[0]


def found(result):
    return plain({name: value for name, value in result.outputs.items() if not name.startswith("__")})


async def test_the_request_for_json():
    parameters = [CITY, KIND, TAGS]
    request, _ = await extract("{Rome} {text}", parameters=parameters, instruction="as {{#v.q#}}, not {{#ghost.x#}}")
    assert (request.model, request.mode, request.user, request.tools) == ("m", "chat", "u", [])
    roles = [message.role for message in request.messages]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert between(request.messages[0].text, "instructions") == "as {Rome} {text}, not ghost.x"
    assert between(request.messages[-1].text, "text") == "{Rome} {text}"
    assert json.loads(between(request.messages[-1].text, "structure")) == SCHEMA
    for question, answer in (request.messages[1:3], request.messages[3:5]):
        shape = json.loads(between(question.text, "structure"))
        assert json.loads(answer.text).keys() == shape["properties"].keys()


async def test_the_request_for_a_call():
    models = FakeModels(features=CALLS, tool_calls=[[("extract_parameters", {"city": "Rome"})]])
    request, result = await extract("in Rome", models=models, reasoning_mode="function_call", instruction="hint")
    [tool] = request.tools
    assert (tool.name, tool.parameters["required"]) == ("extract_parameters", ["city"])
    assert [message.role for message in request.messages] == ["system", "user"]
    assert between(request.messages[0].text, "instructions") == "hint"
    assert between(request.messages[1].text, "text") == "in Rome"
    assert found(result) == {"city": "Rome"}
    assert result.process_data["function"] == msgspec.to_builtins(tool)
    assert result.process_data["llm_text"] == ""
    call = {"name": "extract_parameters", "arguments": '{"city": "Rome"}'}
    assert result.process_data["tool_call"] == {"id": "call_0", "type": "function", "function": call}


@pytest.mark.parametrize(
    ("mode", "model_mode", "features", "calls"),
    [
        ("function_call", "chat", CALLS, True),
        ("function_call", "chat", [ModelFeature.MULTI_TOOL_CALL], True),
        ("", "chat", CALLS, True),
        (None, "chat", CALLS, True),
        ("function_call", "chat", [ModelFeature.STREAM_TOOL_CALL], False),
        ("function_call", "completion", CALLS, False),
        ("prompt", "chat", CALLS, False),
    ],
)
async def test_only_a_model_that_calls_functions_is_asked_to(mode, model_mode, features, calls):
    model = {**MODEL, "mode": model_mode}
    request, _ = await extract("x", models=FakeModels(features=features), reasoning_mode=mode, model=model)
    assert bool(request.tools) == calls
    assert request.mode == model_mode


async def test_a_model_that_answers_in_place_of_calling_is_read():
    models = FakeModels(lambda _: 'I found {"city": "Rome"}.', features=CALLS)
    _, result = await extract("x", models=models, reasoning_mode="function_call")
    assert found(result) == {"city": "Rome"}
    assert result.process_data["tool_call"] is None


@pytest.mark.parametrize(
    ("arguments", "city", "reason"),
    [
        ({"city": "Rome"}, "Rome", None),
        ({}, "", "Invalid number of parameters"),
        ({"town": "Rome"}, "", "Parameter city is required"),
    ],
)
async def test_arguments(arguments, city, reason):
    models = FakeModels(features=CALLS, tool_calls=[[("extract_parameters", arguments)]])
    _, result = await extract("x", models=models, reasoning_mode="function_call")
    assert (found(result), result.outputs["__reason"]) == ({"city": city}, reason)


async def test_the_result():
    parameters = [CITY, KIND, {**TAGS, "type": "bool"}]
    answer = '{"city": "Rome", "kind": "b", "tags": true}'
    _, result = await extract("x", models=FakeModels(lambda _: answer), parameters=parameters, instruction="{{#v.q#}}")
    usage = msgspec.to_builtins(result.usage)
    assert result.outputs == {
        "__is_success": 1,
        "__reason": None,
        "__usage": usage,
        "city": "Rome",
        "kind": "b",
        "tags": True,
    }
    assert result.inputs == {
        "query": "x",
        "files": [],
        "parameters": [
            {"name": "city", "type": "string", "options": None, "description": "哪个城市", "required": True},
            {"name": "kind", "type": "string", "options": ["a", "b"], "description": "which", "required": False},
            {"name": "tags", "type": "boolean", "options": None, "description": "", "required": False},
        ],
        "instruction": "{{#v.q#}}",
    }
    assert len(result.process_data.pop("prompts")) == 6
    assert result.process_data == {
        "model_mode": "chat",
        "usage": usage,
        "function": {},
        "tool_call": None,
        "model_provider": "p",
        "model_name": "m",
        "llm_text": answer,
    }


async def test_an_empty_list_keeps_its_type():
    _, result = await extract("x", parameters=[TAGS])
    assert result.outputs["tags"] == Value(ValueType.ARRAY_NUMBER, [])


async def test_thoughts_are_no_answer():
    answer = '<think>{"city": "Paris"}</think>{"city": "Rome"}'
    _, result = await extract("x", models=FakeModels(lambda _: answer, reasoning='{"city": "Oslo"}'))
    assert found(result) == {"city": "Rome"}
    assert result.process_data["llm_text"] == answer


async def test_an_echo_of_the_schema_is_no_answer():
    parameters = [{**CITY, "description": "a long description that reaches beyond what is echoed of it, and then some"}]
    _, result = await extract("x", parameters=parameters)
    assert result.status is NodeStatus.SUCCEEDED
    assert found(result) == {"city": ""}
    assert result.outputs["__is_success"] == 0
    assert result.outputs["__reason"].startswith("Failed to extract result from function call or text response")


async def test_completion_models_get_one_text():
    request, result = await extract("in Rome", model={**MODEL, "mode": "completion"}, instruction="hint")
    [message] = request.messages
    assert message.role == "user"
    assert between(message.text, "text") == "in Rome"
    assert between(message.text, "instructions") == "hint"
    assert result.process_data["model_mode"] == "completion"


TURNS = [("one", "1"), ("two", "2")]


@pytest.mark.parametrize("features", [[], CALLS])
async def test_the_history_is_in_the_task(features):
    memory = {"window": {"enabled": True, "size": 2}}
    models = FakeModels(features=features)
    request, _ = await extract("x", turns=TURNS, memory=memory, models=models, reasoning_mode="function_call")
    assert between(request.messages[0].text, "histories") == "Human: two\nAssistant: 2"


async def test_the_model_sees_files():
    files = FakeFiles()
    image = files.put(b"pixels", filename="a.png", mime_type="image/png", type=FileType.IMAGE)
    vision = {"enabled": True, "configs": {"variable_selector": ["v", "f"], "detail": "high"}}
    models = FakeModels(features=[ModelFeature.VISION])
    request, result = await extract("x", files=files, variables={"f": image}, vision=vision, models=models)
    assert isinstance(request.messages[-1].content[0], ImagePart)
    assert between(request.messages[-1].text, "text") == "x"
    assert result.inputs["files"] == [image]


async def test_a_failing_model_fails_the_node_and_keeps_what_was_asked():
    _, result = await extract("FAIL:no quota")
    assert (result.status, result.error_type) == (NodeStatus.FAILED, "InvokeBadRequestError")
    assert result.outputs == {"__is_success": 0, "__reason": "Failed to invoke model", "__error": result.error}
    assert result.inputs["query"] == "FAIL:no quota"
    assert result.process_data["usage"] is None
    assert len(result.process_data["prompts"]) == 6


async def test_a_missing_text_is_empty():
    request, result = await extract("x", query=["ghost", "x"])
    assert between(request.messages[-1].text, "text") == ""
    assert result.inputs["query"] == ""


async def test_the_call_is_closed():
    models = FakeModels()
    await extract("x", models=models)
    assert models.closed == 1
