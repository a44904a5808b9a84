"""Agent apps: what their configuration becomes, what clients are told, what is kept of it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from dify_host.apps.records import ModelConfig
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.db.writer import Group
from dify_host.runs.agent_thoughts import ThoughtRepository, ThoughtRows
from dify_host.runs.basic import basic_graph
from dify_host.runs.tables import message_agent_thoughts, message_files, messages
from dify_kernel.contracts.model import ModelFeature
from dify_kernel.contracts.tool import FileMessage, TextMessage, ToolInfo, ToolParameter
from dify_kernel.errors import NotFound
from dify_kernel.graph.events import AgentLogged, NodeFinished, RunFinished, RunResumed
from dify_kernel.graph.values import File, FileTransfer, FileType
from dify_kernel.testing.fakes import FakeTools

from .run_house import MODEL, RunHouse

TOOL = {
    "enabled": True,
    "isDeleted": False,
    "notAuthor": False,
    "provider_id": "maps",
    "provider_name": "maps",
    "provider_type": "builtin",
    "tool_label": "Find a place",
    "tool_name": "find",
    "tool_parameters": {"q": "", "region": "eu"},
}
FIND = ToolInfo(
    name="find", parameters=[ToolParameter(name="q", required=True), ToolParameter(name="region", form="form")]
)
ENVELOPE = {"event", "task_id", "conversation_id", "message_id", "created_at"}
THOUGHT = {"id", "position", "thought", "observation", "tool", "tool_labels", "tool_input", "message_files"}


def agent_mode(strategy: str | None = "function_call", *tools: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"enabled": True, "strategy": strategy, "max_iteration": 3, "prompt": None, "tools": list(tools), **more}


def config(mode: str = "agent-chat", **fields: Any) -> ModelConfig:
    return ModelConfig(**{"id": new_id(), "app_id": new_id(), "model": MODEL, "agent_mode": agent_mode(), **fields})


def types(config: ModelConfig, mode: str) -> list[str]:
    return [node["data"]["type"] for node in basic_graph(config, mode)["nodes"]]


def agent(config: ModelConfig) -> dict[str, Any]:
    data: dict[str, Any] = basic_graph(config, "agent-chat")["nodes"][1]["data"]
    return data


def given(config: ModelConfig, name: str) -> Any:
    return agent(config)["agent_parameters"][name]["value"]


async def told(house: RunHouse, mode: str = "agent-chat", fields: dict[str, Any] | None = None, **request: Any) -> Any:
    """What a client sees of a run, and the run."""
    settings = {"agent_mode": agent_mode("function_call", TOOL), **(fields or {})}
    started = await house.start(house.basic(mode, **settings), await house.app(mode), **{"query": "where?", **request})
    stream = b"".join([started.events.encode(batch) async for batch in started.handle.follow()])
    return [msgspec.json.decode(block[6:]) for block in stream.split(b"\n\n") if block[:5] == b"data:"], started


@pytest.fixture
def tools(house: RunHouse) -> FakeTools:
    """The house's tools: one that finds."""
    house.tools.infos["find"] = FIND
    house.tools.tools["find"] = lambda parameters: [TextMessage(f"{parameters['q']} is in Africa")]
    house.models.rounds = [[("find", {"q": "Nile"})]]
    found: FakeTools = house.tools
    return found


# -- the graph -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "settings", "has_agent"),
    [
        ("agent-chat", agent_mode(), True),
        ("agent-chat", agent_mode("react"), True),
        ("agent-chat", {}, True),
        ("agent-chat", agent_mode("router"), False),
        ("agent-chat", agent_mode("react_router"), False),
        ("chat", agent_mode(), True),
        ("chat", agent_mode("router"), False),
        ("chat", agent_mode(None), False),
        ("chat", {**agent_mode(), "enabled": False}, False),
        ("completion", agent_mode(), False),
    ],
)
def test_which_apps_have_an_agent(mode: str, settings: dict[str, Any], has_agent: bool) -> None:
    found = types(config(agent_mode=settings), mode)
    assert found == ["start", "agent" if has_agent else "llm", "answer"]


@pytest.mark.parametrize(
    ("strategy", "node"),
    [("function_call", "function_calling"), ("cot", "ReAct"), ("react", "ReAct"), (None, "auto"), ("old", "auto")],
)
def test_strategies(strategy: str | None, node: str) -> None:
    assert agent(config(agent_mode=agent_mode(strategy)))["agent_strategy_name"] == node


def test_tools_that_are_off_and_entries_of_old_apps_are_no_tools() -> None:
    old = {"google": {"enabled": True}}
    found = given(config(agent_mode=agent_mode("react", TOOL, {**TOOL, "enabled": False}, old)), "tools")
    assert [(tool["type"], tool["provider_name"], tool["tool_name"]) for tool in found] == [("builtin", "maps", "find")]


def test_knowledge_bases_are_one_tool() -> None:
    first, second, off = new_id(), new_id(), new_id()
    listed = [{"dataset": {"enabled": True, "id": first}}, {"dataset": {"enabled": False, "id": off}}]
    settings = {"datasets": {"datasets": listed}, "top_k": 2, "score_threshold_enabled": True, "score_threshold": 0.5}
    old = {"dataset": {"enabled": True, "id": second}}
    (one,) = given(config(dataset_configs=settings), "tools")
    assert one["tool_name"] == f"dataset_{first}".replace("-", "_")
    assert one["settings"]["dataset_ids"]["value"] == [first]
    (both,) = given(config(dataset_configs=settings, agent_mode=agent_mode("react", old)), "tools")
    assert both["settings"]["dataset_ids"]["value"] == [first, second]
    assert (both["settings"]["top_k"]["value"], both["settings"]["score_threshold"]["value"]) == (2, 0.5)


# -- what the model and the tools get --------------------------------------------------------------------------------


async def test_the_agent_knows_its_instruction_its_tools_and_the_conversation(
    house: RunHouse, tools: FakeTools
) -> None:
    form = [{"text-input": {"variable": "topic", "label": "Topic"}}]
    fields = {
        "pre_prompt": "Know {{topic}}.",
        "user_input_form": form,
        "agent_mode": agent_mode("function_call", TOOL),
    }
    program, app = house.basic("agent-chat", **fields), await house.app("agent-chat")
    started, _ = await house.run(program, app, query="where?", inputs={"topic": "rivers"})
    conversation_id = started.handle.run.conversation_id
    await house.run(program, app, query="and then?", inputs={"topic": "seas"}, conversation_id=conversation_id)
    first, _, last = house.models.requests
    assert [(message.role, message.text) for message in first.messages] == [
        ("system", "Know rivers."),
        ("user", "where?"),
    ]
    (spec,) = first.tools
    assert list(spec.parameters["properties"]) == ["q"]
    assert tools.calls[0].parameters == {"q": "Nile", "region": "eu"}
    assert [(message.role, message.text) for message in last.messages] == [
        *[("system", "Know seas."), ("user", "where?"), ("assistant", "ECHO(where?)"), ("user", "and then?")],
    ]


async def test_the_agent_searches_its_knowledge(house: RunHouse) -> None:
    dataset_id = new_id()
    house.knowledge.datasets = {dataset_id: ["the Nile is a river"]}
    name = f"dataset_{dataset_id}".replace("-", "_")
    house.models.rounds = [[(name, {"query": "which river"})]]
    settings = {"datasets": {"datasets": [{"dataset": {"enabled": True, "id": dataset_id}}]}}
    events, _ = await told(house, fields={"dataset_configs": settings, "agent_mode": agent_mode()})
    assert house.models.requests[1].messages[-1].text == "the Nile is a river"
    (cited,) = events[-1]["metadata"]["retriever_resources"]
    assert (cited["dataset_id"], cited["content"]) == (dataset_id, "the Nile is a river")


# -- what clients are told -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["agent-chat", "chat"])
async def test_thoughts_are_told_as_they_fill_up(house: RunHouse, tools: FakeTools, mode: str) -> None:
    events, _ = await told(house, mode)
    assert [event["event"] for event in events] == [
        *["agent_thought", "agent_thought", "agent_thought", "agent_thought", "agent_message", "agent_message"],
        *["agent_thought", "message_end"],
    ]
    for event in events:
        assert set(event) >= ENVELOPE
    thoughts = [event for event in events if event["event"] == "agent_thought"]
    assert all(set(event) == ENVELOPE | THOUGHT for event in thoughts)
    begun, known, done, second, last = thoughts
    assert begun["id"] == known["id"] == done["id"] != second["id"] == last["id"]
    assert [event["position"] for event in thoughts] == [1, 1, 1, 2, 2]
    assert (begun["thought"], begun["tool"], begun["tool_input"], begun["observation"]) == ("", "", "", "")
    assert (known["tool"], json.loads(known["tool_input"]), known["observation"]) == (
        *("find", {"find": {"q": "Nile"}}, ""),
    )
    assert json.loads(done["observation"]) == {"find": "Nile is in Africa"}
    assert done["tool_labels"] == {"find": {"en_US": "Find a place"}}
    assert (last["thought"], last["tool"]) == ("ECHO(where?)", "")
    pieces = [event for event in events if event["event"] == "agent_message"]
    assert all(set(event) == ENVELOPE | {"id", "answer"} for event in pieces)
    assert "".join(event["answer"] for event in pieces) == "ECHO(where?)"


async def test_files_of_tools_are_told_before_their_thought_and_kept(house: RunHouse, tools: FakeTools) -> None:
    kept = new_id()
    picture = File(
        type=FileType.IMAGE, transfer_method=FileTransfer.TOOL_FILE, related_id=kept, url="https://files.test/a.png"
    )
    tools.tools["find"] = lambda _: [FileMessage(picture)]
    events, started = await told(house)
    at = [event["event"] for event in events].index("message_file")
    told_file, thought = events[at], events[at + 1]
    assert set(told_file) == ENVELOPE | {"id", "type", "belongs_to", "url"}
    assert (told_file["type"], told_file["belongs_to"], told_file["url"]) == (
        *("image", "assistant", "https://files.test/a.png"),
    )
    assert thought["message_files"] == [told_file["id"]]
    assert [(file["type"], file["url"]) for file in events[-1]["files"]] == [("image", "https://files.test/a.png")]
    row = await house.row(message_files, message_files.c.message_id == started.spec.message_id)
    assert (row.id, row.upload_file_id, row.belongs_to) == (told_file["id"], kept, "assistant")
    first, _ = await house.rows(message_agent_thoughts)
    assert first.message_files == [told_file["id"]]


async def test_react_tells_its_thoughts_apart_from_its_answer(house: RunHouse, tools: FakeTools) -> None:
    house.models.rounds = []
    house.models.reply = lambda asked: (
        'Thought: look\nAction: {"action": "find", "action_input": {"q": "Nile"}}'
        if asked == "where?"
        else "Thought: I see\nFinal Answer: In Africa."
    )
    events, _ = await told(house, fields={"agent_mode": agent_mode("react", TOOL)})
    assert "".join(event.get("answer", "") for event in events) == "In Africa."
    thoughts = {event["id"]: event for event in events if event["event"] == "agent_thought"}
    assert [event["thought"] for event in thoughts.values()] == ["look", "I see"]


@pytest.mark.parametrize(("features", "offered"), [([ModelFeature.TOOL_CALL], 1), ([], 0)])
async def test_without_a_strategy_the_model_decides(
    house: RunHouse, tools: FakeTools, features: list[ModelFeature], offered: int
) -> None:
    house.models.rounds, house.models.features = [], features
    await told(house, fields={"agent_mode": agent_mode(None, TOOL)})
    assert len(house.models.requests[0].tools) == offered


async def test_a_run_says_which_tools_are_not_there(house: RunHouse) -> None:
    class Nothing(FakeTools):
        async def describe(self, *args: Any, **kwargs: Any) -> ToolInfo:
            raise NotFound("Nothing offers it.")

    house.tools = Nothing()
    events, _ = await told(house)
    assert [event["event"] for event in events] == ["error"]
    assert "maps/find" in events[0]["message"]


# -- what is kept ----------------------------------------------------------------------------------------------------


async def test_thoughts_are_kept_and_listed(house: RunHouse, tools: FakeTools) -> None:
    events, started = await told(house)
    message_id = started.spec.message_id
    assert (await house.row(messages)).agent_based
    first, second = await house.rows(message_agent_thoughts)
    assert (first.message_id, first.position, first.tool, first.created_by) == (
        *(message_id, 1, "find", house.creator.id),
    )
    assert (first.tokens, second.answer) == (first.message_token + first.answer_token, "ECHO(where?)")
    listed = (await ThoughtRepository(house.db, house.tenant).shown([message_id]))[message_id]
    final = {event["id"]: event for event in events if event["event"] == "agent_thought"}
    assert [item["id"] for item in listed] == list(final)
    for item in listed:
        event = final[item["id"]]
        assert {name: item[name] for name in THOUGHT - {"message_files"}} == {
            name: event[name] for name in THOUGHT - {"message_files"}
        }
        assert item["files"] == event["message_files"]
        assert set(item) == THOUGHT - {"message_files"} | {"chain_id", "message_id", "created_at", "files"}


async def test_another_workspace_sees_no_thought(house: RunHouse, tools: FakeTools) -> None:
    _, started = await told(house)
    other = ThoughtRepository(house.db, Tenant(new_id()))
    assert await other.shown([started.spec.message_id]) == {}


async def test_what_an_agent_did_before_it_was_stopped_is_kept(house: RunHouse, tools: FakeTools) -> None:
    house.models.rounds = []
    house.models.gate.clear()
    program, app = (
        house.basic("agent-chat", agent_mode=agent_mode("function_call", TOOL)),
        await house.app("agent-chat"),
    )
    started = await house.start(program, app, query="long")
    await house.until(started.handle.text)
    started.handle.stop()
    finished = await started.handle.wait()
    assert finished.status == "stopped"
    (row,) = await house.rows(message_agent_thoughts)
    assert row.position == 1


async def test_a_workflow_with_an_agent_keeps_no_thoughts_and_tells_its_log(house: RunHouse, tools: FakeTools) -> None:
    graph = basic_graph(config(agent_mode=agent_mode("function_call", TOOL)), "agent-chat")
    started = await house.start(house.workflow(graph), await house.app("advanced-chat"), query="where?")
    stream = b"".join([started.events.encode(batch) async for batch in started.handle.follow()])
    names = [msgspec.json.decode(block[6:])["event"] for block in stream.split(b"\n\n") if block[:5] == b"data:"]
    assert "agent_log" in names
    assert "message" in names
    assert not {"agent_thought", "agent_message"} & set(names)
    assert await house.rows(message_agent_thoughts) == []


def test_an_agent_that_is_run_again_keeps_its_last_thoughts(house: RunHouse) -> None:
    def round_of(step: str, thought: str) -> AgentLogged:
        log = {"id": step, "parent_id": None, "data": {"thought": thought}, "metadata": {}}
        return AgentLogged(node_id="agent", execution_id="e", log=log)

    rows, group = ThoughtRows(new_id(), house.creator), Group()
    told = [round_of("1", "old"), round_of("2", "old"), round_of("3", "old"), RunResumed()]
    end = NodeFinished(execution_id="e", node_id="agent", node_type="agent")
    for event in [*told, round_of("1", "new"), round_of("2", "new"), end, RunFinished(status="succeeded")]:
        rows.record(event, group)
    kept = [row for table, row in group.inserts if table is message_agent_thoughts]
    assert [(row["id"], row["position"], row["thought"]) for row in kept] == [("1", 1, "new"), ("2", 2, "new")]
