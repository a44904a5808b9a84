"""The rows of a run say what its events said: the run, its nodes, its message, its conversation."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from dify_host.apps.records import Variable
from dify_host.db.types import new_id
from dify_host.runs.tables import (
    conversations,
    messages,
    workflow_app_logs,
    workflow_conversation_variables,
    workflow_node_executions,
    workflow_run_leases,
    workflow_runs,
)
from dify_kernel.graph.events import (
    Event,
    NodeFinished,
    NodeStarted,
    RunFinished,
    RunStarted,
    StreamChunk,
    encode_event,
)

from .run_house import MODEL, RunHouse, chat_graph, edge, graph, node

HELLO = graph(
    node("start", "start", variables=[{"type": "text-input", "variable": "name", "label": "Name", "required": True}]),
    node(
        "greet", "template-transform", template="Hello {{ name }}",
        variables=[{"variable": "name", "value_selector": ["start", "name"]}],
    ),
    node("end", "end", outputs=[{"variable": "text", "value_selector": ["greet", "output"]}]),
)  # fmt: skip


def ask(**data: Any) -> dict[str, Any]:
    """Two models side by side, one of which fails when it is told to."""
    fields = [{"type": "text-input", "variable": name, "label": name} for name in ("a", "b")]
    return graph(
        node("start", "start", variables=fields),
        node("one", "llm", model=MODEL, prompt_template=[{"role": "user", "text": "{{#start.a#}}"}], **data),
        node("two", "llm", model=MODEL, prompt_template=[{"role": "user", "text": "{{#start.b#}}"}]),
        node("end", "end", outputs=[{"variable": "one", "value_selector": ["one", "text"]}]),
        edges=[edge("start", "one"), edge("start", "two"), edge("one", "end"), edge("two", "end")],
    )


def moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None)


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


async def nodes_match(house: RunHouse, events: list[Event]) -> list[Any]:
    """Check every node row against its event, and return the rows of the others."""
    rows = {row.node_execution_id: row for row in await house.rows(workflow_node_executions)}
    assert set(rows) == {event.execution_id for event in of(events, NodeStarted)}
    for event in of(events, NodeFinished):
        row = rows.pop(event.execution_id)
        assert (row.node_id, row.node_type, row.title) == (event.node_id, event.node_type, event.title)
        assert (row.index, row.status, row.triggered_from) == (event.index, event.status, "workflow-run")
        assert (row.inputs, row.process_data) == (event.inputs or None, event.process_data or None)
        assert (row.outputs, row.error) == (event.outputs or None, event.error or None)
        assert (row.elapsed_time, row.created_at) == (event.elapsed_time, moment(event.started_at))
        assert set(row.execution_metadata or {}) == set(event.metadata)
    return list(rows.values())


async def test_a_run_that_succeeds(house: RunHouse) -> None:
    program, app = house.workflow(HELLO), await house.app()
    started, events = await house.run(program, app, inputs={"name": "Ada"}, invoke_from="web-app")
    begin, end = events[0], events[-1]
    assert isinstance(begin, RunStarted)
    assert isinstance(end, RunFinished)
    run = await house.row(workflow_runs)
    assert (run.id, run.tenant_id, run.app_id) == (started.handle.run.run_id, house.tenant.id, app.id)
    assert (run.workflow_id, run.type, run.version) == (program.source_id, "workflow", "1")
    assert (run.triggered_from, run.created_by_role, run.created_by) == ("app-run", "end_user", house.creator.id)
    assert (run.status, run.outputs, run.error) == ("succeeded", {"text": "Hello Ada"}, None)
    assert (run.inputs, run.total_steps, run.exceptions_count) == (begin.inputs, 3, 0)
    assert (run.elapsed_time, run.created_at, run.finished_at) == (end.elapsed_time, moment(begin.at), moment(end.at))
    assert await nodes_match(house, events) == []
    logged = await house.row(workflow_app_logs)
    assert (logged.workflow_run_id, logged.created_from, logged.created_by) == (run.id, "web-app", house.creator.id)
    logged_events = [encode_event(event) for event in events if not isinstance(event, StreamChunk)]
    assert [encode_event(event) for event in await house.store.load(run.id)] == logged_events
    assert await house.rows(workflow_run_leases) == []
    assert await house.rows(messages) == []


async def test_a_debugged_run_stands_in_no_list_of_logs(house: RunHouse) -> None:
    await house.run(house.workflow(HELLO), await house.app(), inputs={"name": "A"}, triggered_from="debugging")
    assert (await house.row(workflow_runs)).triggered_from == "debugging"
    assert await house.rows(workflow_app_logs) == []


async def test_a_node_that_a_failure_left_behind_is_failed_too(house: RunHouse) -> None:
    house.models.gate.clear()  # the second model gives a piece and waits
    _, events = await house.run(house.workflow(ask()), await house.app(), inputs={"a": "FAIL:no luck", "b": "hi"})
    end = events[-1]
    assert isinstance(end, RunFinished)
    run = await house.row(workflow_runs)
    assert (run.status, run.error, run.outputs) == ("failed", end.error, {})
    assert "no luck" in run.error
    (left,) = await nodes_match(house, events)
    assert (left.node_id, left.status, left.error) == ("two", "failed", run.error)
    assert (left.outputs, left.finished_at >= left.created_at) == (None, True)


async def test_a_run_that_is_stopped(house: RunHouse) -> None:
    house.models.gate.clear()
    started = await house.start(house.workflow(ask()), await house.app(), inputs={"a": "hi", "b": "hi"})
    await house.until(lambda: len(house.models.requests) == 2)
    started.handle.stop()
    end = await started.handle.wait()
    run = await house.row(workflow_runs)
    assert (run.status, run.error) == (end.status, end.error) == ("stopped", "Stopped by user.")
    rows = {row.node_id: row for row in await house.rows(workflow_node_executions)}
    assert {name: row.status for name, row in rows.items()} == {"start": "succeeded", "one": "failed", "two": "failed"}
    assert rows["one"].error == "Stopped by user."


@pytest.mark.parametrize("strategy", ["default-value", "fail-branch"])
async def test_a_failure_that_has_a_strategy(house: RunHouse, strategy: str) -> None:
    instead = [{"key": "text", "type": "string", "value": "instead"}]
    body = ask(error_strategy=strategy, default_value=instead)
    if strategy == "fail-branch":
        body["edges"][2]["sourceHandle"] = "fail-branch"
    _, events = await house.run(house.workflow(body), await house.app(), inputs={"a": "FAIL:no luck", "b": "hi"})
    run = await house.row(workflow_runs)
    assert (run.status, run.exceptions_count, run.error) == ("partial-succeeded", 1, None)
    assert run.outputs == {"one": "instead" if strategy == "default-value" else None}
    assert await nodes_match(house, events) == []
    row = next(row for row in await house.rows(workflow_node_executions) if row.node_id == "one")
    assert (row.status, row.execution_metadata["error_strategy"]) == ("exception", strategy)
    assert "no luck" in row.error


async def test_a_long_title_does_not_cost_the_run(house: RunHouse) -> None:
    body = graph(node("start", "start", variables=[]), {**node("end", "end", outputs=[]), "id": "end"})
    body["nodes"][1]["data"]["title"] = "T" * 400
    await house.run(house.workflow(body), await house.app())
    assert {len(row.title) for row in await house.rows(workflow_node_executions)} == {5, 255}


async def test_a_run_under_way_has_its_row(house: RunHouse) -> None:
    house.models.gate.clear()
    app = await house.app("advanced-chat")
    started = await house.start(house.workflow(chat_graph()), app, query="hi")
    while not await house.rows(workflow_runs):
        await asyncio.sleep(0.005)
    assert (await house.row(workflow_runs)).status == "running"
    message, conversation = await house.row(messages), await house.row(conversations)
    assert (message.answer, message.status, message.workflow_run_id) == ("", "normal", started.handle.run.run_id)
    assert (conversation.id, conversation.dialogue_count) == (message.conversation_id, 0)
    assert (await house.row(workflow_app_logs)).workflow_run_id == started.handle.run.run_id
    house.models.gate.set()
    await started.handle.wait()
    assert (await house.row(messages)).answer == "ECHO(hi)"


# -- messages --------------------------------------------------------------------------------------------------------


async def test_a_message_and_its_conversation(house: RunHouse) -> None:
    app, program = await house.app("advanced-chat"), house.workflow(chat_graph())
    query = "What is\nthe longest river of all the rivers that there are on earth?"
    started, events = await house.run(program, app, query=query, inputs={"unknown": 1}, introduction="Welcome")
    end, spec = events[-1], started.spec
    assert isinstance(end, RunFinished)
    assert spec is not None
    message, conversation = await house.row(messages), await house.row(conversations)
    assert (message.id, message.conversation_id) == (spec.message_id, conversation.id)
    assert (message.query, message.answer) == (query, end.outputs["answer"]) == (query, f"ECHO({query})")
    assert (message.answer_tokens, message.message_tokens) == (
        end.usage["completion_tokens"],
        end.usage["prompt_tokens"],
    )
    assert (message.from_end_user_id, message.from_account_id, message.app_mode) == (
        house.creator.id,
        None,
        "advanced-chat",
    )
    assert (message.status, message.error, message.workflow_run_id) == ("normal", None, started.handle.run.run_id)
    assert message.message_metadata["usage"]["total_tokens"] == end.total_tokens
    assert conversation.name == "What is the longest river of all the rivers tha..."
    assert (conversation.introduction, conversation.dialogue_count, conversation.mode) == (
        "Welcome",
        1,
        "advanced-chat",
    )
    for count in (2, 3):
        await house.run(program, app, query="and?", conversation_id=conversation.id)
        assert (await house.row(conversations)).dialogue_count == count
    assert len(await house.rows(messages)) == 3
    assert (await house.row(workflow_runs, workflow_runs.c.id == started.handle.run.run_id)).type == "chat"


async def test_a_message_that_fails_keeps_its_error(house: RunHouse) -> None:
    await house.run(house.workflow(chat_graph()), await house.app("advanced-chat"), query="FAIL:no luck")
    message = await house.row(messages)
    assert (message.status, message.answer) == ("error", "")
    assert "no luck" in message.error


async def test_a_message_that_is_stopped_keeps_what_was_said(house: RunHouse) -> None:
    house.models.gate.clear()
    app = await house.app("advanced-chat")
    started = await house.start(house.workflow(chat_graph()), app, query="REPLY:a long and winding answer")
    await house.until(started.handle.text)
    started.handle.stop()
    await started.handle.wait()
    message = await house.row(messages)
    assert (message.status, message.error, message.answer) == ("normal", None, "a long a")


async def test_citations_are_kept_with_the_message(house: RunHouse) -> None:
    datasets = [new_id(), new_id()]
    house.knowledge.datasets = {datasets[0]: ["the river Nile", "the river Rhine"], datasets[1]: ["a river boat"]}
    search = {"query_variable_selector": ["sys", "query"], "retrieval_mode": "multiple"}
    search["multiple_retrieval_config"] = {"top_k": 4, "reranking_enable": False}
    body = graph(
        node("start", "start", variables=[]),
        node("one", "knowledge-retrieval", dataset_ids=datasets[:1], **search),
        node("two", "knowledge-retrieval", dataset_ids=datasets, **search),
        node("answer", "answer", answer="done"),
    )
    await house.run(house.workflow(body), await house.app("advanced-chat"), query="river")
    cited = (await house.row(messages)).message_metadata["retriever_resources"]
    assert [item["position"] for item in cited] == [1, 2, 3]
    assert len({item["segment_id"] for item in cited}) == 3


# -- conversation variables ------------------------------------------------------------------------------------------


def counting(*items: dict[str, Any], answer: str = "ok") -> dict[str, Any]:
    changes = [{"input_type": "constant", **item} for item in items]
    return graph(
        node("start", "start", variables=[]),
        node("change", "assigner", version="2", items=changes),
        node("answer", "answer", answer=answer),
    )


def change(name: str, operation: str, value: Any) -> dict[str, Any]:
    return {"variable_selector": ["conversation", name], "operation": operation, "value": value}


def variable(name: str, kind: str, value: Any) -> Variable:
    return Variable(id=new_id(), name=name, value_type=kind, value=value)


async def data_of(house: RunHouse) -> dict[str, tuple[str, Any]]:
    rows = await house.rows(workflow_conversation_variables)
    return {row.data["name"]: (row.data["value_type"], row.data["value"]) for row in rows}


async def test_variables_live_with_their_conversation(house: RunHouse) -> None:
    app = await house.app("advanced-chat")
    count, seen = variable("count", "number", 0), variable("seen", "array[string]", [])
    append = {**change("seen", "append", ["sys", "query"]), "input_type": "variable"}
    body = counting(change("count", "+=", 2), append, answer="{{#conversation.count#}}")
    program = house.workflow(body, conversation=[count, seen])
    started, _ = await house.run(program, app, query="a")
    conversation_id = started.handle.run.conversation_id
    assert await data_of(house) == {"count": ("integer", 2), "seen": ("array[string]", ["a"])}
    later = house.workflow(
        counting(change("count", "+=", 0.5), append, change("new", "over-write", "z")),
        conversation=[count, seen, variable("new", "string", "default"), variable("calm", "string", "same")],
    )
    await house.run(later, app, query="b", conversation_id=conversation_id)
    assert await data_of(house) == {
        "count": ("float", 2.5),
        "seen": ("array[string]", ["a", "b"]),
        "new": ("string", "z"),
        "calm": ("string", "same"),
    }
    other, _ = await house.run(program, app, query="a")
    table = workflow_conversation_variables
    mine = await house.rows(table, table.c.conversation_id == other.handle.run.conversation_id)
    assert {row.data["name"]: row.data["value"] for row in mine} == {"count": 2, "seen": ["a"]}
    assert {row.id for row in mine} == {count.id, seen.id}
    assert count.value == 0
    assert seen.value == []


async def test_a_cleared_variable_keeps_its_type(house: RunHouse) -> None:
    declared = [variable("count", "number", 5), variable("seen", "array[number]", [1]), variable("note", "string", "x")]
    body = counting(change("count", "clear", None), change("seen", "clear", None), change("note", "clear", None))
    await house.run(house.workflow(body, conversation=declared), await house.app("advanced-chat"), query="a")
    kinds = {name: kind for name, (kind, _) in (await data_of(house)).items()}
    assert kinds == {"count": "integer", "seen": "array[number]", "note": "string"}


async def test_a_failure_after_a_change_keeps_the_change(house: RunHouse) -> None:
    body = counting(change("count", "+=", 2))
    body["nodes"].insert(2, node("llm", "llm", model=MODEL, prompt_template=[{"role": "user", "text": "FAIL:no"}]))
    body["edges"] = [edge("start", "change"), edge("change", "llm"), edge("llm", "answer")]
    program = house.workflow(body, conversation=[variable("count", "number", 0)])
    await house.run(program, await house.app("advanced-chat"), query="a")
    assert (await house.row(messages)).status == "error"
    assert await data_of(house) == {"count": ("integer", 2)}


# -- secrets ---------------------------------------------------------------------------------------------------------


async def test_secrets_stand_in_no_row_and_no_event(house: RunHouse) -> None:
    secret = "sk-1234567890-very-secret"
    env = [Variable(id=new_id(), name="KEY", value_type="secret", value=secret)]
    body = graph(
        node("start", "start", variables=[]),
        node(
            "t", "template-transform", template="<{{ key }}>",
            variables=[{"variable": "key", "value_selector": ["env", "KEY"]}],
        ),
        node("answer", "answer", answer="{{#t.output#}} and {{#env.KEY#}}"),
    )  # fmt: skip
    started, events = await house.run(house.workflow(body, env=env), await house.app("advanced-chat"), query="hi")
    assert secret.encode() not in started.events.encode(events)
    stored = [await house.rows(table) for table in (workflow_runs, workflow_node_executions, messages)]
    assert secret not in str(stored)
    assert secret not in str(await house.store.load(started.handle.run.run_id))
    assert (await house.row(messages)).answer == "<[secret:KEY]> and [secret:KEY]"


async def test_long_values_are_not_cut(house: RunHouse) -> None:
    fields = [{"type": "paragraph", "variable": "name", "label": "Name"}]
    body = {**HELLO, "nodes": [node("start", "start", variables=fields), *HELLO["nodes"][1:]]}
    text = "long " * 50_000
    started, events = await house.run(house.workflow(body), await house.app(), inputs={"name": text})
    assert (await house.row(workflow_runs)).outputs == {"text": f"Hello {text}"}
    (shown,) = [event for event in of(events, NodeFinished) if event.node_id == "greet"]
    (api,) = started.events.convert(shown)
    assert api["data"]["inputs"] == {"name": text}
    assert api["data"]["outputs_truncated"] is False


async def test_half_a_character_does_not_cost_the_run(house: RunHouse) -> None:
    house.models.reply = lambda asked: f"cut \ud83d off {asked}\x00"
    started, events = await house.run(house.workflow(chat_graph()), await house.app("advanced-chat"), query="hi")
    assert isinstance(events[-1], RunFinished)
    assert events[-1].status == "succeeded"
    assert (await house.row(messages)).answer == "cut \ufffd off hi\ufffd"
    (row,) = await house.rows(workflow_node_executions, workflow_node_executions.c.node_id == "llm")
    assert row.outputs["text"] == "cut \ufffd off hi\x00"
    assert "cut \ufffd".encode() in started.events.encode(events)
