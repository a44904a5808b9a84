"""How an agent works: what its model is asked, what its tools get, what it says and tells of its steps."""

import json

import pytest
from dify_kernel.contracts.model import ImagePart, LLMDelta, ModelFeature, ToolCallDelta, Usage
from dify_kernel.contracts.node import AgentLog, NodeStatus, RetrieverResources, RunInfo, TextDelta
from dify_kernel.contracts.tool import (
    BlobMessage,
    FileMessage,
    JsonMessage,
    LinkMessage,
    ResourcesMessage,
    TextMessage,
    ToolInfo,
    ToolParameter,
    VariableMessage,
)
from dify_kernel.errors import InvokeConnectionError, ToolError
from dify_kernel.graph.values import File, FileTransfer, FileType, Value, ValueType, plain
from dify_kernel.testing.fakes import (
    FakeFiles,
    FakeKnowledge,
    FakeMemory,
    FakeModels,
    FakeTools,
    fake_context,
    fake_pool,
    fake_ports,
)
from dify_kernel.testing.node import make_node, run_node
from dify_nodes_agent.agent import AgentNode

MODEL = {"provider": "p/q/r", "model": "m", "mode": "chat", "completion_params": {"temperature": 0, "stop": ["END"]}}
FIND = ToolInfo(
    name="find",
    label="Find",
    description="Finds things.",
    parameters=[
        ToolParameter(name="q", required=True, description="What"),
        ToolParameter(name="n", type="number"),
        ToolParameter(name="kind", type="select", options=["a", "b"]),
        ToolParameter(name="tags", type="array", json_schema={"type": "array", "items": {"type": "string"}}),
        ToolParameter(name="upload", type="file"),
        ToolParameter(name="region", form="form"),
    ],
)
TOOL = {"enabled": True, "type": "api", "provider_name": "maps", "tool_name": "find", "credential_id": "cred"}


class Rounds(FakeModels):
    """A model that says a text and asks for calls, round by round; calls are (name, arguments as text)."""

    def __init__(self, *rounds, **kwargs):
        super().__init__(**kwargs)
        self.script = list(rounds)

    async def llm(self, provider, request):
        self.requests.append(request)
        text, *calls = self.script.pop(0)
        for at in range(0, len(text), 3):
            yield LLMDelta(text=text[at : at + 3])
        for index, (name, arguments) in enumerate(calls):
            yield LLMDelta(tool_calls=[ToolCallDelta(index=index, id=f"id{index}", name=name)])
            for at in range(0, len(arguments), 3):
                yield LLMDelta(tool_calls=[ToolCallDelta(index=index, arguments=arguments[at : at + 3])])
        usage = Usage(prompt_tokens=10, completion_tokens=1, total_tokens=11, total_price="0.5")
        yield LLMDelta(usage=usage, finish_reason="tool_calls" if calls else "stop")


def config(strategy="function_calling", *, memory=None, vision=None, **parameters):
    given = {"model": MODEL, "query": "{{#sys.query#}}", "instruction": "Be kind.", "tools": [TOOL], **parameters}
    return {
        "agent_strategy_provider_name": "langgenius/agent/agent",
        "agent_strategy_name": strategy,
        "agent_parameters": {name: {"type": "constant", "value": value} for name, value in given.items()},
        "memory": memory,
        "vision": vision,
    }


def finder(*messages, **more):
    return FakeTools({"find": lambda _: messages or [TextMessage("found it")], **more}, infos={"find": FIND})


async def work(data, *rounds, tools=None, models=None, knowledge=None, turns=None, files=None, sys=None, **variables):
    """Run the node: its models and tools, its result, and all that it yielded."""
    models, tools = models or Rounds(*rounds), tools or finder()
    ports = fake_ports(
        models=models, tools=tools, knowledge=knowledge or FakeKnowledge(), memory=FakeMemory(turns or [])
    )
    if files is not None:
        ports.files.contents, ports.files.saved = files.contents, files.saved
    pool = fake_pool({"sys": {"query": "where?", "files": [], **(sys or {})}, "v": variables})
    run = RunInfo(run_id="r", user_id="u", conversation_id="c" if turns is not None else None)
    outcome = await run_node(make_node(AgentNode, data), fake_context("node", pool, ports=ports, run=run))
    assert outcome.error is None
    return models, tools, outcome.result, outcome.deltas


def logs(deltas, label):
    return [item for item in deltas if isinstance(item, AgentLog) and item.label == label]


def said(deltas):
    return "".join(item.text for item in deltas if isinstance(item, TextDelta))


def spoken(request):
    return [(message.role, message.text) for message in request.messages]


# -- function calling ------------------------------------------------------------------------------------------------


async def test_a_round_with_a_tool_and_the_answer():
    models, tools, result, deltas = await work(config(), ("Let me see.", ("find", '{"q": "Nile"}')), ("In Africa.",))
    first, second = models.requests
    assert spoken(first) == [("system", "Be kind."), ("user", "where?")]
    assert (first.model, first.parameters, first.stop, first.user) == ("m", {"temperature": 0}, ["END"], "u")
    assert [message.role for message in second.messages] == ["system", "user", "assistant", "tool"]
    asked, answered = second.messages[2:]
    assert (asked.text, asked.tool_calls[0].id, json.loads(asked.tool_calls[0].arguments)) == (
        "Let me see.",
        "id0",
        {"q": "Nile"},
    )
    assert (answered.text, answered.tool_call_id, answered.name) == ("found it", "id0", "find")
    (call,) = tools.calls
    assert (call.provider_type, call.provider, call.tool, call.parameters, call.credential_id) == (
        *("api", "maps", "find", {"q": "Nile"}, "cred"),
    )
    assert result.outputs["text"] == said(deltas) == "Let me see.\nIn Africa."
    assert result.usage.total_tokens == result.outputs["usage"]["total_tokens"] == 22
    assert result.usage.total_price == "1.0"


async def test_a_call_has_a_key_that_is_its_own_and_the_same_when_the_node_runs_again():
    rounds = [
        ("", ("find", '{"q": "a"}'), ("find", '{"q": "a"}')),
        ("", ("find", '{"q": "b"}')),
        ("done",),
    ]
    keys = [[call.key for call in (await work(config(), *rounds))[1].calls] for _ in range(2)]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 3
    assert all(key.startswith("r:node-1:") for key in keys[0])
    other = (await work(config(), ("", ("find", '{"q": "c"}')), ("done",)))[1].calls
    assert other[0].key not in keys[0]


async def test_what_the_model_is_told_of_a_tool():
    models, *_ = await work(config(), ("done",))
    (spec,) = models.requests[0].tools
    assert (spec.name, spec.description) == ("find", "Finds things.")
    assert spec.parameters == {
        "type": "object",
        "properties": {
            "q": {"description": "What", "type": "string"},
            "n": {"description": "", "type": "number"},
            "kind": {"description": "", "type": "string", "enum": ["a", "b"]},
            "tags": {"description": "", "type": "array", "items": {"type": "string"}},
        },
        "required": ["q"],
    }


async def test_what_the_builder_sets_is_not_asked_for_and_cannot_be_changed():
    tool = {
        **TOOL,
        "parameters": {
            "q": {"auto": 0, "value": {"type": "mixed", "value": "in {{#v.city#}}"}},
            "n": {"auto": 1, "value": {"type": "constant", "value": "3"}},
            "kind": {"auto": 0, "value": "a"},
        },
        "settings": {"region": {"value": "{{#v.region#}}"}, "unset": {"value": ""}},
        "extra": {"description": "Look here first."},
    }
    arguments = '{"q": "mine", "region": "mine", "n": 7, "made_up": 1}'
    models, tools, *_ = await work(
        config(tools=[tool]), ("", ("find", arguments)), ("done",), city="Cairo", region="eu"
    )
    (spec,) = models.requests[0].tools
    assert (list(spec.parameters["properties"]), spec.parameters["required"]) == (["n", "tags"], [])
    assert spec.description == "Look here first."
    assert tools.calls[0].parameters == {"q": "in Cairo", "region": "eu", "n": 7, "kind": "a"}


async def test_tools_that_are_off_are_left_out_and_names_are_made_to_fit():
    names = ["find", "find", "what is/this"]
    listed = [{**TOOL, "tool_name": name} for name in names] + [{**TOOL, "enabled": False}]
    tools = finder(**{"what is/this": lambda _: [TextMessage("this")]})
    models, tools, *_ = await work(config(tools=listed), ("", ("what_is_this", "{}")), ("done",), tools=tools)
    assert [spec.name for spec in models.requests[0].tools] == ["find", "find_2", "what_is_this"]
    assert tools.calls[0].tool == "what is/this"


@pytest.mark.parametrize(
    ("call", "heard"),
    [
        (("find", '{"q": "x"}'), "Error: the tool find failed: Closed."),
        (("lose", "{}"), "Error: there is no tool lose; there are: find"),
        (("find", "Nile"), "Error: its arguments are no JSON object"),
        (("find", "[1]"), "Error: its arguments are no JSON object"),
    ],
)
async def test_what_goes_wrong_with_a_tool_is_told_to_the_model(call, heard):
    tools = FakeTools(infos={"find": FIND}, error=ToolError("Closed."))
    models, _, result, deltas = await work(config(), ("", call), ("Sorry.",), tools=tools)
    assert models.requests[1].messages[-1].text.startswith(heard)
    assert result.status is NodeStatus.SUCCEEDED
    assert result.outputs["text"] == "Sorry."
    _, end = logs(deltas, f"CALL {call[0]}")
    assert (end.status, end.error) == ("error", models.requests[1].messages[-1].text.removeprefix("Error: "))


async def test_arguments_that_are_almost_json_are_read():
    _, tools, *_ = await work(config(), ("", ("find", "{q: 'x',}")), ("done",))
    assert tools.calls[0].parameters == {"q": "x"}


async def test_several_calls_of_one_round():
    calls = [("find", '{"q": "a"}'), ("find", '{"q": "b"}')]
    models, tools, *_ = await work(config(), ("", *calls), ("done",))
    assert [call.parameters["q"] for call in tools.calls] == ["a", "b"]
    assert [message.tool_call_id for message in models.requests[1].messages[-2:]] == ["id0", "id1"]


# -- limits ----------------------------------------------------------------------------------------------------------

AGAIN = ("", ("find", '{"q": "x"}'))


@pytest.mark.parametrize("strategy", ["function_calling", "ReAct"])
async def test_after_the_last_iteration_comes_a_round_without_tools(strategy):
    again = AGAIN if strategy == "function_calling" else ('Action: {"action": "find", "action_input": {"q": "x"}}',)
    end = "Enough." if strategy == "function_calling" else "Final Answer: Enough."
    models, tools, result, _ = await work(config(strategy, maximum_iterations=2), again, again, (end,))
    assert len(tools.calls) == 2
    assert models.requests[-1].tools == []
    if strategy == "ReAct":
        assert "Finds things." in models.requests[1].messages[0].text
        assert "Finds things." not in models.requests[2].messages[0].text
        assert "limit of 2 iterations" in models.requests[2].messages[-1].text
    assert result.outputs["text"] == "Enough."


async def test_a_model_that_never_answers_fails_the_node():
    _, tools, result, _ = await work(config(maximum_iterations="1"), AGAIN, AGAIN)
    assert (result.status, result.error_type, len(tools.calls)) == (NodeStatus.FAILED, "AgentMaxIterationError", 1)
    assert result.usage.total_tokens == 22


async def test_an_empty_answer_is_an_answer():
    _, _, result, _ = await work(config(), ("",))
    assert (result.status, result.outputs["text"]) == (NodeStatus.SUCCEEDED, "")


# -- steps -----------------------------------------------------------------------------------------------------------


async def test_every_step_is_told_when_it_begins_and_when_it_ends():
    *_, deltas = await work(config(), ("Let me see.", ("find", '{"q": "Nile"}')), ("In Africa.",))
    told = [(item.label, item.status) for item in deltas if isinstance(item, AgentLog)]
    assert told == [
        *[("ROUND 1", "start"), ("m Thought", "start"), ("m Thought", "success"), ("ROUND 1", "start")],
        *[("CALL find", "start"), ("CALL find", "success"), ("ROUND 1", "success")],
        *[("ROUND 2", "start"), ("m Thought", "start"), ("m Thought", "success"), ("ROUND 2", "success")],
    ]
    begun, known, done = logs(deltas, "ROUND 1")
    assert begun.data == {}
    assert (begun.parent_id, begun.id, known.id) == (None, done.id, done.id)
    assert (known.data["thought"], known.data["tool"], known.data["observation"]) == ("Let me see.", "find", "")
    assert json.loads(done.data["tool_input"]) == {"find": {"q": "Nile"}}
    assert json.loads(done.data["observation"]) == {"find": "found it"}
    assert done.data["tool_labels"] == {"find": {"en_US": "Find"}}
    thought, call = logs(deltas, "m Thought")[1], logs(deltas, "CALL find")[1]
    assert (thought.parent_id, call.parent_id) == (done.id, done.id)
    assert thought.data["tool_input"] == [{"name": "find", "args": {"q": "Nile"}}]
    assert (thought.metadata["provider"], thought.metadata["total_tokens"]) == ("p/q/r", 11)
    assert call.data["output"]["tool_response"] == "found it"
    assert call.metadata["provider"] == "maps"
    for log in (done, thought, call):
        assert log.metadata["finished_at"] >= log.metadata["started_at"]
        assert log.metadata["elapsed_time"] >= 0
    last = logs(deltas, "ROUND 2")[-1]
    assert (last.data["thought"], last.data["tool"], last.data["tool_input"]) == ("In Africa.", "", "")


async def test_the_output_json_holds_how_every_step_ended():
    tools = finder(JsonMessage({"n": 1}), JsonMessage([2]))
    _, _, result, _ = await work(config(), AGAIN, ("done",), tools=tools)
    *entries, first, second = result.outputs["json"]
    assert [entry["label"] for entry in entries] == ["ROUND 1", "m Thought", "CALL find", "ROUND 2", "m Thought"]
    assert {entry["status"] for entry in entries} == {"success"}
    assert {entry["node_id"] for entry in entries} == {"node"}
    assert set(entries[0]) == {*("id", "parent_id", "error", "status", "data", "label", "metadata", "node_id")}
    assert (first, second) == ({"n": 1}, [2])
    assert result.metadata["agent_log"] == entries


async def test_who_runs_the_node_again_tells_the_same_steps():
    again = [await work(config(), *rounds) for rounds in ([AGAIN, AGAIN, ("done",)], [AGAIN, ("done",)])]
    first, second = ([(log.label, log.id) for log in run[3] if isinstance(log, AgentLog)] for run in again)
    assert set(second) < set(first)
    assert len({step_id for _, step_id in first}) == 8


async def test_a_model_that_fails_ends_its_steps():
    models = FakeModels(error=InvokeConnectionError("Gone."))
    _, _, result, deltas = await work(config(), models=models)
    assert (result.status, result.error, result.error_type) == (NodeStatus.FAILED, "Gone.", "InvokeConnectionError")
    assert result.inputs["query"] == "where?"
    assert [(item.status, item.error) for item in (logs(deltas, "m Thought")[-1], logs(deltas, "ROUND 1")[-1])] == [
        ("error", "Gone."),
        ("error", "Gone."),
    ]


# -- what tools give -------------------------------------------------------------------------------------------------

PICTURE = File(type=FileType.IMAGE, transfer_method=FileTransfer.TOOL_FILE, related_id="1", filename="a.png")


async def test_what_a_tool_gives_reaches_the_model_and_the_outputs():
    tools = finder(
        *[TextMessage("two "), TextMessage("parts\n"), LinkMessage("https://a.test"), JsonMessage({"é": 1})],
        *[VariableMessage(name="s", value="a", stream=True), VariableMessage(name="s", value="b", stream=True)],
        *[FileMessage(PICTURE), BlobMessage(data=b"%PDF", mime_type="application/pdf")],
        ResourcesMessage([{"position": 1, "content": "c"}]),
    )
    models, _, result, deltas = await work(config(), AGAIN, ("done",), tools=tools)
    heard = models.requests[1].messages[-1].text
    for part in ("two parts\n", "https://a.test", '{"é": 1}', '{"s": "ab"}', "a.png", "file.pdf"):
        assert part in heard
    assert [file.filename for file in result.outputs["files"].data] == ["a.png", "file.pdf"]
    assert logs(deltas, "ROUND 1")[-1].data["files"] == plain(result.outputs["files"].data)
    assert [item.resources for item in deltas if isinstance(item, RetrieverResources)] == [
        [{"position": 1, "content": "c"}]
    ]


async def test_knowledge_is_a_tool():
    tool = {
        "enabled": True,
        "type": "dataset-retrieval",
        "provider_name": "knowledge",
        "tool_name": "dataset_1",
        "settings": {"dataset_ids": {"value": ["1"]}, "top_k": {"value": 2}, "score_threshold": {"value": None}},
    }
    knowledge = FakeKnowledge({"1": ["the Nile is a river", "tea is hot"]})
    models, tools, _, deltas = await work(
        config(tools=[tool]), ("", ("dataset_1", '{"query": "which river"}')), ("done",), knowledge=knowledge
    )
    assert list(models.requests[0].tools[0].parameters["properties"]) == ["query"]
    (search,) = knowledge.requests
    assert (search.query, search.dataset_ids, search.top_k) == ("which river", ["1"], 2)
    assert models.requests[1].messages[-1].text == "the Nile is a river"
    (cited,) = [item for item in deltas if isinstance(item, RetrieverResources)]
    assert cited.resources[0]["content"] == "the Nile is a river"
    assert tools.calls == []


# -- the prompt ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instruction", "told"),
    [
        ("Use {{#context#}}.", "Use a fact\nanother."),
        ("Be kind.", "Be kind.\n\n<context>\na fact\nanother\n</context>"),
    ],
)
async def test_context_is_told_and_cited(instruction, told):
    pieces = [{"content": "a fact", "title": "t", "metadata": {"_source": "knowledge", "position": 1}}, "another"]
    data = config(instruction=instruction)
    data["agent_parameters"]["context"] = {"type": "variable", "value": ["v", "pieces"]}
    models, _, _, deltas = await work(data, ("done",), pieces=pieces)
    assert models.requests[0].messages[0].text == told
    assert [item.resources[0]["title"] for item in deltas if isinstance(item, RetrieverResources)] == ["t"]


async def test_the_conversation_is_remembered_as_far_as_the_window_goes():
    turns = [("one", "1"), ("two", "2"), ("three", "3")]
    memory = {"window": {"enabled": True, "size": 3}}
    models, *_ = await work(config(memory=memory), ("done",), turns=turns)
    assert spoken(models.requests[0])[1:] == [
        *[("user", "two"), ("assistant", "2"), ("user", "three"), ("assistant", "3"), ("user", "where?")],
    ]
    models, *_ = await work(config(), ("done",), turns=turns)
    assert len(models.requests[0].messages) == 2


async def test_a_long_conversation_is_cut_from_its_beginning():
    turns = [("x" * 3000, "old"), ("new", "yes")]
    models, *_ = await work(config(memory={}), models=Rounds(("done",), context_size=600), turns=turns)
    assert [text for _, text in spoken(models.requests[0])][1:] == ["new", "yes", "where?"]


async def test_a_model_that_sees_gets_the_pictures():
    files = FakeFiles()
    image = files.put(b"\x89PNG", filename="a.png", mime_type="image/png", type=FileType.IMAGE)
    data = config(vision={"enabled": True, "configs": {"variable_selector": ["sys", "files"], "detail": "low"}})
    models = Rounds(("done",), features=[ModelFeature.VISION])
    await work(data, models=models, files=files, sys={"files": Value(ValueType.ARRAY_FILE, [image])})
    part, text = models.requests[0].messages[-1].content
    assert isinstance(part, ImagePart)
    assert (part.detail, text.text) == ("low", "where?")


# -- ReAct -----------------------------------------------------------------------------------------------------------

ACT = 'Thought: a river\nAction:\n```json\n{"action": "find", "action_input": {"q": "Nile"}}\n```\n'


async def test_react_keeps_its_scratchpad_to_itself():
    models, tools, result, deltas = await work(config("ReAct"), (ACT,), ("Thought: good\nFinal Answer: In Africa.",))
    first, second = models.requests
    assert first.tools == []
    assert first.stop == ["END", "Observation:"]
    system, user = spoken(first)
    assert system[1].startswith("Be kind.")
    assert '"name": "find"' in system[1]
    assert user == ("user", "where?")
    assert [message.role for message in second.messages] == ["system", "user", "assistant", "user"]
    assert second.messages[2].text == 'Thought: a river\nAction: {"action": "find", "action_input": {"q": "Nile"}}'
    assert second.messages[3].text.startswith("Observation: found it\n")
    assert tools.calls[0].parameters == {"q": "Nile"}
    assert result.outputs["text"] == said(deltas) == "In Africa."
    assert [log.data.get("thought") for log in logs(deltas, "ROUND 1")] == [None, "a river", "a river"]
    assert logs(deltas, "ROUND 2")[-1].data["thought"] == "good"


@pytest.mark.parametrize(
    ("written", "parameters"),
    [
        ("Action: look\nAction Input: the Nile", {"q": "the Nile"}),
        ('Action: look\nAction Input: {"q": "x"}', {"q": "x"}),
        ("Action: look", {}),
    ],
)
async def test_a_plain_input_is_the_only_argument(written, parameters):
    tools = FakeTools(infos={"look": ToolInfo(name="look", parameters=[ToolParameter(name="q")])})
    data = config("ReAct", tools=[{**TOOL, "tool_name": "look"}])
    _, tools, *_ = await work(data, (written,), ("Final Answer: ok",), tools=tools)
    assert tools.calls[0].parameters == parameters


async def test_a_plain_input_of_a_tool_with_several_arguments_is_refused():
    models, tools, *_ = await work(config("ReAct"), ("Action: find\nAction Input: x",), ("Final Answer: ok",))
    assert tools.calls == []
    assert "must be a JSON object with q, n, kind, tags" in models.requests[1].messages[-1].text


async def test_models_that_complete_a_text():
    data = config("ReAct", model={**MODEL, "mode": "completion"}, memory={})
    models, _, result, _ = await work(data, (ACT,), ("ok\nFinal Answer: yes",), turns=[("one", "1")])
    (message,) = models.requests[1].messages
    assert models.requests[1].mode == "completion"
    assert "Question: one\nFinal Answer: 1\nQuestion: where?\nThought: a river\nAction: " in message.text
    assert message.text.endswith("Observation: found it\nThought:")
    assert result.outputs["text"] == "yes"


@pytest.mark.parametrize(("features", "offered"), [([ModelFeature.TOOL_CALL], 1), ([], 0)])
async def test_the_model_decides_where_no_strategy_is_named(features, offered):
    models, *_ = await work(config("auto"), models=Rounds(("Final Answer: ok",), features=features))
    assert len(models.requests[0].tools) == offered


async def test_a_prompt_of_ones_own():
    prompt = "{{instruction}} You have {{tool_names}}: {{tools}}"
    models, *_ = await work(config("ReAct", prompt=prompt), ("Final Answer: ok",))
    assert models.requests[0].messages[0].text.startswith('Be kind. You have find: [{"name": "find"')


async def test_a_prompt_of_ones_own_for_a_model_that_completes_a_text():
    prompt = "{{instruction}}\n{{historic_messages}}Q: {{query}}\n{{agent_scratchpad}}Go:"
    data = config("ReAct", model={**MODEL, "mode": "completion"}, memory={}, prompt=prompt)
    models, *_ = await work(data, (ACT,), ("Final Answer: yes",), turns=[("one", "1")])
    action = 'Thought: a river\nAction: {"action": "find", "action_input": {"q": "Nile"}}\nObservation: found it\n'
    (message,) = models.requests[1].messages
    assert message.text == f"Be kind.\nQuestion: one\nFinal Answer: 1\nQ: where?\n{action}Go:"
