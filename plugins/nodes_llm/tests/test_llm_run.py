"""What is asked of the model, and what its answer becomes."""

import asyncio
import base64

import msgspec
import pytest
from dify_kernel.contracts.model import ImagePart, LLMDelta, ModelFeature, ModelInfo, ModelType, ParameterRule, TextPart
from dify_kernel.contracts.node import NodeStatus, RetrieverResources, RunInfo, TextDelta
from dify_kernel.errors import InvokeConnectionError
from dify_kernel.graph.values import File, FileType, Value, ValueType
from dify_kernel.testing.fakes import FakeFiles, FakeMemory, FakeModels, fake_context, fake_ports
from dify_kernel.testing.node import make_node, run_node
from dify_nodes_llm.node import LLMNode

MODEL = {"provider": "p", "name": "m", "mode": "chat", "completion_params": {"temperature": 0}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "number"}}}


async def ask(config, *, models=None, turns=None, files=None, query=None, **variables):
    """Run the node: its first request to the model, its result, and all that it yielded."""
    models = models or FakeModels()
    ports = fake_ports(models=models, memory=FakeMemory(turns or []), files=files or FakeFiles())
    pool = {"v": variables, "sys": {"query": query, "files": []} if query is not None else {}}
    run = RunInfo(run_id="r", user_id="u", conversation_id="c" if turns is not None else None)
    context = fake_context("node", pool, ports=ports, run=run)
    outcome = await run_node(make_node(LLMNode, {"model": MODEL, **config}), context)
    assert outcome.error is None
    return (models.requests or [None])[0], outcome.result, outcome.deltas


def say(text, role="user"):
    return {"role": role, "text": text}


def spoken(request):
    return [(message.role, message.text) for message in request.messages]


async def test_the_request():
    params = {"temperature": 0.5, "stop": ["A"], "seed": None}
    config = {"model": {**MODEL, "completion_params": params}, "prompt_template": [say("be", "system"), say("hi")]}
    request, _, _ = await ask(config)
    assert (request.model, request.mode, request.user, request.stop) == ("m", "chat", "u", ["A"])
    assert request.parameters == {"temperature": 0.5}
    assert request.json_schema is None
    assert spoken(request) == [("system", "be"), ("user", "hi")]


async def test_a_single_stop_word():
    request, _, _ = await ask({"model": {**MODEL, "completion_params": {"stop": "A"}}, "prompt_template": [say("x")]})
    assert request.stop == ["A"]


async def test_the_result():
    _, result, deltas = await ask({"prompt_template": [say("a longer question")]})
    assert [delta for delta in deltas if isinstance(delta, TextDelta)] == [
        TextDelta("ECHO(a l"),
        TextDelta("onger qu"),
        TextDelta("estion)"),
    ]
    assert result.outputs["text"] == "ECHO(a longer question)"
    assert (result.outputs["reasoning_content"], result.outputs["finish_reason"]) == ("", "stop")
    assert result.outputs["usage"] == msgspec.to_builtins(result.usage)
    assert set(result.outputs) == {"text", "reasoning_content", "usage", "finish_reason"}
    assert result.process_data == {
        "model_mode": "chat",
        "prompts": [{"role": "user", "text": "a longer question", "files": []}],
        "usage": result.outputs["usage"],
        "finish_reason": "stop",
        "model_provider": "p",
        "model_name": "m",
    }
    assert result.inputs == {}


async def test_messages_without_text_are_left_out():
    request, _, _ = await ask({"prompt_template": [say("", "system"), say("{{#v.n#}}"), say("hi")]}, n=None)
    assert spoken(request) == [("user", "hi")]


# -- context ---------------------------------------------------------------------------------------------------


def with_context(text):
    return {"prompt_template": [say(text)], "context": {"enabled": True, "variable_selector": ["v", "c"]}}


METADATA = {"_source": "knowledge", "dataset_id": "d", "segment_hit_count": 3}
PIECE = {"title": "t", "content": "one", "metadata": METADATA}


@pytest.mark.parametrize(
    ("context", "text"),
    [
        ("whole text", "use {whole text}."),
        (["a", "b"], "use {a\nb}."),
        ([PIECE, {"content": "two"}], "use {one\ntwo}."),
        ([], "use {{#context#}}."),
        ("", "use {{#context#}}."),
        (None, "use {{#context#}}."),
        ({"content": "no list"}, "use {{#context#}}."),
    ],
)
async def test_context(context, text):
    request, result, _ = await ask(with_context("use {{#context#}}."), c=context)
    assert spoken(request) == [("user", text)]
    filled = text != "use {{#context#}}."
    assert result.inputs == ({"#context#": text[5:-2]} if filled else {})


async def test_references_inside_a_context_stay_as_they_are():
    request, _, _ = await ask(with_context("{{#context#}} {{#v.secret#}}"), c="{{#v.secret#}}", secret="S")
    assert spoken(request) == [("user", "{{{#v.secret#}}} S")]


async def test_pieces_of_knowledge_are_cited():
    _, _, deltas = await ask(with_context("{{#context#}}"), c=[PIECE, {"content": "mine", "metadata": {}}])
    assert isinstance(deltas[0], RetrieverResources)
    [citation] = deltas[0].resources
    assert (citation["dataset_id"], citation["hit_count"], citation["content"]) == ("d", 3, "one")


# -- memory ----------------------------------------------------------------------------------------------------

TURNS = [("one", "1"), ("two", "2"), ("three", "3")]


def with_memory(window=None, template=None, **extra):
    memory = {"role_prefix": None, "window": window, "query_prompt_template": template}
    return {"prompt_template": [say("be brief", "system")], "memory": memory, **extra}


@pytest.mark.parametrize(
    ("window", "told"),
    [
        (None, ["one", "1", "two", "2", "three", "3"]),
        ({"enabled": False, "size": 2}, ["one", "1", "two", "2", "three", "3"]),
        ({"enabled": True, "size": 3}, ["two", "2", "three", "3"]),
        ({"enabled": True, "size": 2}, ["three", "3"]),
        ({"enabled": True, "size": 1}, []),
        ({"enabled": True, "size": None}, ["one", "1", "two", "2", "three", "3"]),
    ],
)
async def test_the_window_counts_the_turn_being_answered(window, told):
    request, _, _ = await ask(with_memory(window), turns=TURNS, query="four")
    assert [text for _, text in spoken(request)] == ["be brief", *told, "four"]
    assert spoken(request)[-1] == ("user", "four")


async def test_the_question_has_a_template_of_its_own():
    request, _, _ = await ask(with_memory(template="Q: {{#sys.query#}} {{#v.x#}}"), turns=[], query="why", x="now")
    assert spoken(request)[-1] == ("user", "Q: why now")


async def test_what_a_user_asks_is_no_template():
    request, _, _ = await ask(with_memory(), turns=[], query="{{#v.secret#}}", secret="S")
    assert spoken(request)[-1] == ("user", "{{#v.secret#}}")


async def test_without_a_conversation_there_is_no_history():
    request, _, _ = await ask(with_memory(template="{{#v.q#}}"), q="hi")
    assert spoken(request) == [("system", "be brief"), ("user", "hi")]


@pytest.mark.parametrize(("size", "told"), [(100_000, 6), (140, 4), (100, 2), (60, 0), (1, 0), (0, 6)])
async def test_the_oldest_turns_give_way(size, told):
    long = [(name * 10, answer * 30) for name, answer in TURNS]
    models = FakeModels(context_size=size)
    model = {**MODEL, "completion_params": {"max_tokens": 40}}
    request, _, _ = await ask(with_memory(model=model), models=models, turns=long, query="four")
    assert [message.role for message in request.messages[1:-1]] == ["user", "assistant"] * (told // 2)


# -- completion ------------------------------------------------------------------------------------------------


async def test_completion_prompts():
    config = {"model": {**MODEL, "mode": "completion"}, "prompt_template": {"text": "go on: {{#v.t#}}"}}
    request, result, _ = await ask(config, t="once")
    assert request.mode == "completion"
    assert spoken(request) == [("user", "go on: once")]
    assert result.process_data["model_mode"] == "completion"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("[#histories#] #sys.query#", "[U: one\nA: 1] two"), ("ask #sys.query#", "U: one\nA: 1\nask two")],
)
async def test_completion_memory(text, expected):
    memory = {"role_prefix": {"user": "U", "assistant": "A"}, "window": {"enabled": False}}
    config = {"model": {**MODEL, "mode": "completion"}, "prompt_template": {"text": text}, "memory": memory}
    request, _, _ = await ask(config, turns=TURNS[:1], query="two")
    assert spoken(request) == [("user", expected)]


async def test_completion_memory_needs_names():
    config = {"model": {**MODEL, "mode": "completion"}, "prompt_template": {"text": "x"}, "memory": {}}
    _, result, _ = await ask(config, turns=TURNS, query="two")
    assert (result.status, result.error_type) == (NodeStatus.FAILED, "MemoryRolePrefixRequiredError")


# -- files -----------------------------------------------------------------------------------------------------


def picture(files):
    return files.put(b"pixels", filename="a.png", mime_type="image/png", type=FileType.IMAGE)


PIXELS = base64.b64encode(b"pixels").decode()
SEEN = ImagePart(base64_data=PIXELS, mime_type="image/png", filename="a.png", detail="high")


def with_vision(*prompt, detail="high"):
    vision = {"enabled": True, "configs": {"variable_selector": ["v", "f"], "detail": detail}}
    return {"prompt_template": list(prompt), "vision": vision}


async def test_pictures_go_before_the_last_question():
    files = FakeFiles()
    image = picture(files)
    config = with_vision(say("sys", "system"), say("what is it?"))
    request, result, _ = await ask(config, models=FakeModels(features=[ModelFeature.VISION]), files=files, f=[image])
    assert request.messages[-1].content == [SEEN, TextPart(text="what is it?")]
    assert result.inputs == {"#files#": [image]}
    recorded = result.process_data["prompts"][-1]
    assert recorded["text"] == "what is it?"
    assert recorded["files"] == [{"type": "image", "data": "data:image...[TRUNCATED]...4,cGl4ZWxz", "detail": "high"}]


async def test_pictures_without_a_question_are_a_message():
    files = FakeFiles()
    config = with_vision(say("sys", "system"), detail="low")
    request, _, _ = await ask(config, models=FakeModels(features=[ModelFeature.VISION]), files=files, f=picture(files))
    assert request.messages[-1].role == "user"
    assert request.messages[-1].content == [msgspec.structs.replace(SEEN, detail="low")]


async def test_what_the_model_cannot_see_is_not_loaded():
    lost = File(type=FileType.IMAGE, related_id="lost")
    request, result, _ = await ask(with_vision(say("hi")), f=[lost])
    assert spoken(request) == [("user", "hi")]
    assert result.status is NodeStatus.SUCCEEDED


async def test_a_file_in_the_text_follows_it():
    files = FakeFiles()
    models = FakeModels(features=[ModelFeature.VISION])
    request, _, _ = await ask(
        {"prompt_template": [say("look: {{#v.f#}}", "assistant")]}, models=models, files=files, f=picture(files)
    )
    assert [(message.role, message.content) for message in request.messages] == [
        ("assistant", "look: "),
        ("assistant", [SEEN]),
    ]


class Painter(FakeModels):
    """A model that answers with a text and pictures."""

    async def llm(self, provider, request):
        yield LLMDelta(text="see ")
        yield LLMDelta(files=[SEEN, ImagePart(url="http://host.test/b.png")])
        yield LLMDelta(finish_reason="stop")


async def test_pictures_from_the_model():
    files = FakeFiles()
    _, result, deltas = await ask({"prompt_template": [say("paint")]}, models=Painter(), files=files)
    [saved] = files.saved
    assert result.outputs["text"] == f"see ![]({saved.url})![](http://host.test/b.png)"
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == result.outputs["text"]
    assert isinstance(result.outputs["files"], Value)
    assert result.outputs["files"].type is ValueType.ARRAY_FILE
    assert [file.url for file in result.outputs["files"].data] == [saved.url, "http://host.test/b.png"]


# -- structured output, reasoning, failures --------------------------------------------------------------------


def structured(text, **extra):
    return {
        "prompt_template": [say(text)],
        "structured_output_enabled": True,
        "structured_output": {"schema": SCHEMA},
        **extra,
    }


async def test_a_model_with_the_feature_gets_the_schema():
    models = FakeModels(features=[ModelFeature.STRUCTURED_OUTPUT])
    request, result, _ = await ask(structured('REPLY:{"a": 1}'), models=models)
    assert request.json_schema == SCHEMA
    assert len(request.messages) == 1
    assert result.outputs["structured_output"] == {"a": 1}


@pytest.mark.parametrize("system", [[], [say("be kind", "system")]])
async def test_any_other_model_is_told_the_schema(system):
    rule = ParameterRule(name="response_format", type="string", options=["text", "json_object"])
    info = ModelInfo(model="m", model_type=ModelType.LLM, parameter_rules=[rule])
    config = structured("", prompt_template=[*system, say('REPLY:{"a": 1}')])
    request, result, _ = await ask(config, models=FakeModels(infos={"m": info}))
    assert request.json_schema is None
    assert request.parameters["response_format"] == "json_object"
    assert [message.role for message in request.messages] == ["system", "user"]
    assert '"properties": {"a": {"type": "number"}}' in request.messages[0].text
    assert request.messages[0].text.endswith("be kind") or not system
    assert len(result.process_data["prompts"]) == len(system) + 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1,}\n```', {"a": 1}),
        ("<think>{}</think>\n{'a': True}", {"a": True}),
        ('[{"a": 1}]', {"a": 1}),
        ('Here it is: {"a": "x', {"a": "x"}),
        ("{}", {}),
    ],
)
async def test_structured_answers_are_repaired(answer, expected):
    _, result, _ = await ask(structured(f"REPLY:{answer}"))
    assert result.outputs["structured_output"] == expected


@pytest.mark.parametrize("left", [{}, {"structured_output": None}])
async def test_a_switch_without_a_schema_is_off(left):
    request, result, _ = await ask(
        {"prompt_template": [say("REPLY:a text")], "structured_output_enabled": True, **left}
    )
    assert (request.json_schema, len(request.messages)) == (None, 1)
    assert result.outputs["text"] == "a text"
    assert "structured_output" not in result.outputs


@pytest.mark.parametrize("answer", ["no json", "12", "[1, 2]"])
async def test_an_answer_without_an_object_fails(answer):
    _, result, deltas = await ask(structured(f"REPLY:{answer}"))
    assert (result.status, result.error_type) == (NodeStatus.FAILED, "OutputParserError")
    assert result.error == f"Failed to parse structured output: {answer}"
    assert len(deltas) > 1


async def test_separated_reasoning():
    config = {"prompt_template": [say("REPLY:<think>b</think>\n\nanswer")], "reasoning_format": "separated"}
    _, result, deltas = await ask(config, models=FakeModels(reasoning="a"))
    assert (result.outputs["text"], result.outputs["reasoning_content"]) == ("answer", "a\nb")
    assert [delta.text for delta in deltas if isinstance(delta, TextDelta) and delta.name != "text"] == ["a", "\nb"]


async def test_a_failing_model_keeps_its_class_and_the_inputs():
    config = with_context("FAIL:no quota {{#context#}}")
    _, result, _ = await ask(config, c="x")
    assert (result.status, result.error_type) == (NodeStatus.FAILED, "InvokeBadRequestError")
    assert result.error == "no quota {x}"
    assert result.inputs == {"#context#": "x"}
    _, result, _ = await ask(config, models=FakeModels(error=InvokeConnectionError("gone")), c="x")
    assert (result.error_type, result.error) == ("InvokeConnectionError", "gone")


async def test_a_missing_variable_fails_the_node():
    _, result, _ = await ask({"prompt_template": [say("{{#ghost.x#}}")]})
    assert (result.error, result.error_type) == ("Variable ghost.x not found", "VariableNotFoundError")


async def test_leaving_early_ends_the_call():
    models = FakeModels()
    context = fake_context("node", {}, ports=fake_ports(models=models))
    run = make_node(LLMNode, {"model": MODEL, "prompt_template": [say("hello")]}).run(context)
    assert await anext(run) == TextDelta("ECHO(hel")
    assert models.closed == 0
    await run.aclose()
    assert models.closed == 1


async def test_cancelling_ends_the_call():
    models = FakeModels()
    context = fake_context("node", {}, ports=fake_ports(models=models))
    node = make_node(LLMNode, {"model": MODEL, "prompt_template": [say("DELAY:60000 hello")]})
    task = asyncio.create_task(run_node(node, context))
    while not models.requests:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert models.closed == 1
