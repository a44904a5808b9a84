"""What clients get: exactly the fields of each event, in order, for each family of apps."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from dify_host.db.types import new_id
from dify_host.runs.api_events import ApiEvents, run_error, server_sent
from dify_host.runs.follower import TextReplaced
from dify_host.runs.recorder import Creator
from dify_kernel.graph.events import AgentLogged, NodeRetried, RunFinished, RunResumed, RunStarted

from .run_house import MODEL, RunHouse, chat_graph, graph, node

WORKFLOW = {"event", "task_id", "workflow_run_id"}
CHAT = {"event", "task_id", "conversation_id", "message_id", "created_at"}
COMPLETION = CHAT - {"conversation_id"}
DATA = {
    "workflow_started": {"id", "workflow_id", "inputs", "created_at"},
    "node_started": {
        *("id", "node_id", "node_type", "title", "index", "predecessor_node_id", "inputs", "inputs_truncated"),
        *("created_at", "extras", "iteration_id", "loop_id", "agent_strategy"),
    },
    "node_finished": {
        *("id", "node_id", "node_type", "title", "index", "predecessor_node_id", "inputs", "inputs_truncated"),
        *("process_data", "process_data_truncated", "outputs", "outputs_truncated", "status", "error"),
        *("elapsed_time", "execution_metadata", "created_at", "finished_at", "files", "iteration_id", "loop_id"),
    },
    "text_chunk": {"text", "from_variable_selector"},
    "agent_log": {"node_execution_id", "id", "label", "parent_id", "error", "status", "data", "metadata", "node_id"},
    "workflow_finished": {
        *("id", "workflow_id", "status", "outputs", "error", "elapsed_time", "total_tokens", "total_steps"),
        *("created_by", "created_at", "finished_at", "exceptions_count", "files"),
    },
}
DATA["node_retry"] = DATA["node_finished"] | {"retry_index"}
USAGE = {
    *("prompt_tokens", "prompt_unit_price", "prompt_price_unit", "prompt_price", "completion_tokens"),
    *("completion_unit_price", "completion_price_unit", "completion_price", "total_tokens", "total_price"),
    *("currency", "latency", "time_to_first_token", "time_to_generate"),
}
OPTIONAL = {"inputs", "process_data", "outputs", "execution_metadata"}


def decoded(stream: bytes) -> list[dict[str, Any]]:
    """The events on the wire: each one line of data and a blank one, its id before it in a ping."""
    *blocks, last = stream.split(b"\n\n")
    assert last == b""
    blocks = [block for block in blocks if not block.startswith(b"event: ping\nid: ")]
    assert all(block.startswith(b"data: ") and b"\n" not in block for block in blocks)
    return [msgspec.json.decode(block.removeprefix(b"data: ")) for block in blocks]


async def stream(
    house: RunHouse, mode: str, body: dict[str, Any] | None = None, **request: Any
) -> list[dict[str, Any]]:
    program = house.workflow(body) if body is not None else house.basic(mode)
    started = await house.start(program, await house.app(mode), **request)
    return decoded(b"".join([started.events.encode(batch) async for batch in started.handle.follow()]))


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


def check_graph(events: list[dict[str, Any]], envelope: set[str]) -> None:
    """Every event of the graph has the envelope and exactly its own fields."""
    for event in events:
        if event["event"] in DATA:
            assert set(event) == envelope | {"workflow_run_id", "data"}
            assert set(event["data"]) == DATA[event["event"]], event["event"]


TEXT = graph(
    node("start", "start", variables=[]),
    node("llm", "llm", model=MODEL, prompt_template=[{"role": "user", "text": "hi there"}]),
    node("end", "end", outputs=[{"variable": "text", "value_selector": ["llm", "text"]}]),
)


AGENT = {
    "agent_strategy_provider_name": "langgenius/agent/agent",
    "agent_strategy_name": "function_calling",
    "agent_parameters": {
        "model": {"type": "constant", "value": {**MODEL, "model": "m"}},
        "query": {"type": "constant", "value": "REPLY:hi"},
        "instruction": {"type": "constant", "value": ""},
    },
}


async def test_the_start_of_an_agent_tells_its_strategy(house: RunHouse) -> None:
    nodes = [
        node("start", "start", variables=[]),
        node("agent", "agent", **AGENT),
        node("end", "end", outputs=[{"variable": "text", "value_selector": ["agent", "text"]}]),
    ]
    events = await stream(house, "workflow", graph(*nodes))
    assert events[-1]["data"]["outputs"] == {"text": "hi"}
    started = {e["data"]["node_id"]: e["data"] for e in events if e["event"] == "node_started"}
    assert started["agent"]["agent_strategy"] == {"name": "function_calling", "icon": None}
    assert started["end"]["agent_strategy"] is None
    assert {tuple(data["extras"]) for data in started.values()} == {()}


async def test_workflow(house: RunHouse) -> None:
    events = await stream(house, "workflow", TEXT)
    node_pair = ["node_started", "node_finished"]
    assert names(events) == [
        *["workflow_started", *node_pair, "node_started", "text_chunk", "text_chunk", "node_finished"],
        *[*node_pair, "workflow_finished"],
    ]
    check_graph(events, WORKFLOW)
    (run_id,) = {event["workflow_run_id"] for event in events}
    assert {event["task_id"] for event in events} == {run_id}
    start, end = events[0]["data"], events[-1]["data"]
    assert start["id"] == end["id"] == run_id
    assert {"sys.files", "sys.user_id", "sys.app_id", "sys.workflow_id", "sys.workflow_run_id"} <= set(start["inputs"])
    assert (end["status"], end["outputs"], end["error"]) == ("succeeded", {"text": "ECHO(hi there)"}, None)
    assert end["created_by"] == {"id": house.creator.id, "user": "abc-123"}
    assert (end["total_steps"], end["exceptions_count"], end["files"]) == (3, 0, [])
    (finished,) = [e["data"] for e in events if e["event"] == "node_finished" and e["data"]["node_id"] == "llm"]
    assert {"total_tokens", "total_price", "currency"} <= set(finished["execution_metadata"])
    pairs = [(event["data"]["id"], event["data"]["node_id"]) for event in events if event["event"] in node_pair]
    assert pairs[0] == pairs[1]
    assert all(isinstance(event["data"]["created_at"], int) for event in events if "created_at" in event["data"])


async def test_workflow_that_fails(house: RunHouse) -> None:
    prompt = [{"role": "user", "text": "FAIL:no"}]
    body = graph(TEXT["nodes"][0], node("llm", "llm", model=MODEL, prompt_template=prompt))
    events = await stream(house, "workflow", body)
    assert names(events)[-2:] == ["node_finished", "workflow_finished"]
    check_graph(events, WORKFLOW)
    assert (events[-2]["data"]["status"], events[-1]["data"]["status"]) == ("failed", "failed")
    assert events[-1]["data"]["error"] == events[-2]["data"]["error"] != ""


async def test_advanced_chat(house: RunHouse) -> None:
    events = await stream(house, "advanced-chat", chat_graph(), query="hi")
    assert names(events) == [
        *["workflow_started", "node_started", "node_finished", "node_started", "message", "node_finished"],
        *["node_started", "node_finished", "workflow_finished", "message_end"],
    ]
    check_graph(events, CHAT)
    message, end = events[4], events[-1]
    assert set(message) == CHAT | {"id", "answer", "from_variable_selector"}
    assert (message["id"], message["answer"]) == (message["message_id"], "ECHO(hi)")
    assert message["from_variable_selector"] == ["llm", "text"]
    assert set(end) == CHAT | {"id", "metadata", "files"}
    assert (end["id"], end["files"]) == (message["message_id"], None)
    assert set(end["metadata"]) == {"annotation_reply", "retriever_resources", "usage"}
    assert set(end["metadata"]["usage"]) == USAGE
    assert len({(e["conversation_id"], e["message_id"], e["created_at"], e["task_id"]) for e in events}) == 1
    inputs = events[0]["data"]["inputs"]
    assert (inputs["sys.query"], inputs["sys.dialogue_count"]) == ("hi", 1)


async def test_advanced_chat_that_fails(house: RunHouse) -> None:
    events = await stream(house, "advanced-chat", chat_graph(), query="FAIL:no luck")
    assert names(events)[-3:] == ["node_finished", "workflow_finished", "error"]
    check_graph(events, CHAT)
    error = events[-1]
    assert set(error) == CHAT - {"task_id"} | {"code", "message", "status"}
    assert error["status"] == 400
    assert "no luck" in error["message"]


async def test_advanced_chat_that_is_stopped(house: RunHouse) -> None:
    house.models.gate.clear()
    started = await house.start(house.workflow(chat_graph()), await house.app("advanced-chat"), query="hi")
    await house.until(started.handle.text)
    started.handle.stop()
    events = decoded(b"".join([started.events.encode(batch) async for batch in started.handle.follow()]))
    assert names(events)[-2:] == ["workflow_finished", "message_end"]
    assert (events[-2]["data"]["status"], events[-2]["data"]["error"]) == ("stopped", "Stopped by user.")
    assert set(events[-1]["metadata"]["usage"]) == USAGE


@pytest.mark.parametrize(("mode", "envelope"), [("chat", CHAT), ("completion", COMPLETION)])
async def test_basic_apps(house: RunHouse, mode: str, envelope: set[str]) -> None:
    started = await house.start(
        house.basic(mode, pre_prompt="" if mode == "chat" else "say hi"), await house.app(mode), query="say hi"
    )
    events = decoded(b"".join([started.events.encode(batch) async for batch in started.handle.follow()]))
    *texts, end = events
    assert set(names(texts)) == {"message"}
    assert all(set(event) == envelope | {"id", "answer", "from_variable_selector"} for event in texts)
    assert "".join(event["answer"] for event in texts) == "ECHO(say hi)"
    assert {event["from_variable_selector"] for event in texts} == {None}
    assert set(end) == envelope | {"id", "metadata", "files"}
    assert end["event"] == "message_end"
    failed = await stream(house, "chat", query="FAIL:no luck")
    assert names(failed) == ["error"]
    assert set(failed[0]) == CHAT - {"task_id"} | {"code", "message", "status"}


# -- events that no small graph gives --------------------------------------------------------------------------------


def mapping(**more: Any) -> ApiEvents:
    return ApiEvents(task_id="t", run_id="r", workflow_id="w", creator=Creator(role="end_user", id="u"), **more)


def test_a_retry_has_the_fields_of_an_end() -> None:
    event = NodeRetried(execution_id="e", node_id="n", node_type="llm", error="busy", retry_index=2, inputs={"a": 1})
    (shown,) = mapping().convert(event)
    assert shown["event"] == "node_retry"
    assert set(shown["data"]) == DATA["node_retry"]
    data = shown["data"]
    assert (data["status"], data["retry_index"], data["error"], data["inputs"]) == ("retry", 2, "busy", {"a": 1})


def test_a_step_of_an_agent() -> None:
    log = {
        "id": "1",
        "label": "ROUND",
        "status": "success",
        **dict.fromkeys(("parent_id", "error", "data", "metadata")),
    }
    (shown,) = mapping().convert(AgentLogged(node_id="n", execution_id="e", log=log))
    assert set(shown["data"]) == DATA["agent_log"]
    assert (shown["data"]["node_execution_id"], shown["data"]["node_id"]) == ("e", "n")


async def test_text_that_was_taken_back_is_told_anew(house: RunHouse) -> None:
    started = await house.start(house.basic("chat"), await house.app("chat"), query="hi")
    await started.handle.wait()
    taken_up, gap = RunResumed(seq=4, text="so far"), TextReplaced(seq=7, text="the whole")
    answered = RunResumed(seq=5, cause="answered", text="so far")
    for event, text in ((taken_up, "so far"), (gap, "the whole")):
        (chat,), (workflow,) = started.events.convert(event), mapping().convert(event)
        assert (chat["event"], chat["answer"], chat["reason"]) == ("message_replace", text, "")
        assert (workflow["event"], workflow["data"]) == ("text_replace", {"text": text})
        assert mapping(judged=True).convert(event) == []
    assert started.events.convert(answered) == mapping().convert(answered) == []


def test_an_account_is_shown_with_name_and_email() -> None:
    creator = Creator(role="account", id="u", name="Ada", email="ada@example.com")
    events = ApiEvents(task_id="t", run_id="r", workflow_id="w", creator=creator)
    events.convert(RunStarted(at=1.9))
    (shown,) = events.convert(RunFinished(status="succeeded", at=2.5))
    assert shown["data"]["created_by"] == {"id": "u", "name": "Ada", "email": "ada@example.com"}
    assert (shown["data"]["created_at"], shown["data"]["finished_at"]) == (1, 2)


def test_files_among_the_outputs_are_listed() -> None:
    file = {"dify_model_identity": "__dify__file__", "id": new_id()}
    end = RunFinished(status="succeeded", outputs={"one": file, "more": [file, "text"], "other": {"id": 1}})
    (shown,) = mapping().convert(end)
    assert shown["data"]["files"] == [file, file]


def test_errors_of_models_keep_their_code_in_plain_chats() -> None:
    busy = RunFinished(status="failed", error="no", error_type="InvokeRateLimitError")
    plain = run_error(busy, is_workflow=False)
    assert (plain.code.startswith("invalid"), plain.message, plain.status) == (False, "no", 400)
    for shown in (
        run_error(busy, is_workflow=True),
        run_error(RunFinished(status="failed", error="no", error_type="TemplateError"), is_workflow=False),
    ):
        assert (shown.code, shown.message, shown.status) == ("invalid_param", "Run failed: no", 400)


def test_text_cannot_break_the_framing() -> None:
    assert decoded(server_sent({"event": "x", "text": "a\n\ndata: b\r\u2028"})) == [
        {"event": "x", "text": "a\n\ndata: b\r\u2028"}
    ]
