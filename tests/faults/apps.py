"""The graphs that are run while processes die: together they use every kind of node that an app may have."""

from __future__ import annotations

import yaml

from tests.faults.basic_apps import MODEL, Data, FaultApp, basic_apps, head
from tests.faults.parts import (
    CHAT_MODEL,
    answer,
    case,
    each,
    edge,
    end,
    field,
    inner,
    inside,
    llm,
    node,
    path,
    post,
    var,
)

__all__ = ["SCHEDULES", "fault_apps"]

#: How many schedules are due each minute.
SCHEDULES = 4
_RETRY = {"retry_config": {"retry_enabled": True, "max_retries": 3, "retry_interval": 200}}
_COUNT, _LAST = "11111111-2222-4333-8444-555555555555", "11111111-2222-4333-8444-666666666666"


def fault_apps(effects: str, dataset_id: str) -> list[FaultApp]:
    """All of them. `effects` is the address of the endpoint with side effects."""
    return [
        _app("order", "workflow", _order(effects)),
        _app("rounds", "workflow", _rounds(effects)),
        _app("desk", "workflow", _desk(effects)),
        _app("hook", "workflow", _hook(effects), started_by="webhook"),
        _app("clock", "workflow", _clock(effects), started_by="schedule"),
        _app("event", "workflow", _event(effects)),
        _app("talk", "advanced-chat", _talk(effects, dataset_id), variables=True),
        _app("form", "advanced-chat", _form(effects)),
        *basic_apps(dataset_id),
    ]


# -- graphs -------------------------------------------------------------------------------------------------------


def _order(effects: str) -> Data:
    """Branches, retries, an error branch, and two effects one after the other."""
    nodes = [
        node("start", "start", variables=[field("word"), field("pace")]),
        node("big", "if-else", cases=[case("true", ["start", "word"], "contains", "big")]),
        node("yes", "template-transform", template="{{ w }}: large", variables=[var("w", "start", "word")]),
        node("no", "template-transform", template="{{ w }}: small", variables=[var("w", "start", "word")]),
        node("text", "variable-aggregator", output_type="string", variables=[["yes", "output"], ["no", "output"]]),
        post("shaky", effects, "shaky", "{{#text.output#}}", **_RETRY),
        llm("llm", "REPLY:{{#text.output#}} is what it is {{#start.pace#}}"),
        post("broken", effects, "broken", "x", error_strategy="fail-branch"),
        node("sorry", "template-transform", template="sorry: {{ e }}", variables=[var("e", "broken", "error_message")]),
        post("last", effects, "plain", "{{#llm.text#}}"),
        end(text=("llm", "text"), sorry=("sorry", "output"), body=("last", "body")),
    ]
    edges = [
        edge("start", "big"),
        edge("big", "yes", "true"),
        edge("big", "no", "false"),
        *path("yes", "text"),
        *path("no", "text", "shaky", "llm", "broken"),
        edge("broken", "last", "source"),
        edge("broken", "sorry", "fail-branch"),
        *path("sorry", "last", "end"),
    ]
    return {"nodes": nodes, "edges": edges}


def _rounds(effects: str) -> Data:
    """Containers with effects in them: one round after the other, rounds side by side, a loop that counts."""
    code = "def main(word):\n    return {'words': [word + str(at) for at in (3, 1, 2)]}"
    words = {"words": {"type": "array[string]", "children": None}}
    order = {"enabled": True, "key": "", "value": "asc"}
    until = [{"variable_selector": ["loop", "n"], "comparison_operator": "≥", "value": "3", "varType": "number"}]
    counter = {"label": "n", "var_type": "number", "value_type": "constant", "value": 0}
    plus = {"variable_selector": ["loop", "n"], "input_type": "constant", "operation": "+=", "value": 1}
    nodes = [
        node("start", "start", variables=[field("word"), field("pace")]),
        node(
            "code", "code", code_language="python3", code=code, variables=[var("word", "start", "word")], outputs=words
        ),
        node("list", "list-operator", variable=["code", "words"], order_by=order),
        node("each", "iteration", **each("list", "result", "post_each", "body")),
        inner("each", "each_start", "iteration-start"),
        inside("each", node("name", "template-transform", template="<{{ i }}>", variables=[var("i", "each", "item")])),
        inside("each", post("post_each", effects, "plain", "{{#name.output#}}")),
        node("many", "iteration", **each("list", "result", "say", "text"), is_parallel=True, parallel_nums=3),
        inner("many", "many_start", "iteration-start"),
        inside("many", llm("say", "REPLY:said {{#many.item#}} {{#start.pace#}}")),
        node(
            "loop",
            "loop",
            loop_count=5,
            logical_operator="and",
            break_conditions=until,
            loop_variables=[counter],
            start_node_id="loop_start",
        ),
        inner("loop", "loop_start", "loop-start"),
        inside("loop", post("post_loop", effects, "plain", "{{#loop.n#}}")),
        inside("loop", node("plus", "assigner", version="2", items=[plus])),
        inside("loop", node("enough", "if-else", cases=[case("true", ["loop", "n"], "≥", "2", "number")])),
        inside("loop", node("out", "loop-end")),
        end(each=("each", "output"), many=("many", "output"), n=("loop", "n")),
    ]
    edges = [
        *path("start", "code", "list", "each", "many", "loop", "end"),
        *path("each_start", "name", "post_each"),
        *path("many_start", "say"),
        *path("loop_start", "post_loop", "plus", "enough"),
        edge("enough", "out", "true"),
    ]
    return {"nodes": nodes, "edges": edges}


def _desk(effects: str) -> Data:
    """A file that is fetched and read, a tool, an agent that uses one, parameters taken out of a text."""
    time_tool = {
        "provider_id": "time",
        "provider_type": "builtin",
        "provider_name": "time",
        "tool_name": "current_time",
    }
    offered = {"enabled": True, "type": "builtin", "provider_name": "time", "tool_name": "current_time"}
    query = 'TOOL:current_time {"timezone": "UTC"}'
    agent = {
        "model": {"provider": "openai", "model": MODEL, "mode": "chat", "completion_params": {}},
        "tools": [offered],
        "query": query,
        "instruction": "Use the tool.",
    }
    parameter = {"name": "word", "type": "string", "description": "A word.", "required": False}
    nodes = [
        node("start", "start", variables=[field("word"), field("pace")]),
        node(
            "paper",
            "http-request",
            method="get",
            url=f"{effects}/paper",
            headers="",
            params="",
            authorization={"type": "no-auth"},
            body={"type": "none", "data": []},
        ),
        node("read", "document-extractor", variable_selector=["paper", "files"], is_array_file=True),
        node(
            "clock",
            "tool",
            **time_tool,
            tool_parameters={"timezone": {"type": "mixed", "value": "UTC"}},
            tool_configurations={},
        ),
        node(
            "agent",
            "agent",
            agent_strategy_provider_name="langgenius/agent/agent",
            agent_strategy_name="function_calling",
            agent_parameters={name: {"type": "constant", "value": value} for name, value in agent.items()},
        ),
        node(
            "take",
            "parameter-extractor",
            model=CHAT_MODEL,
            query=["start", "word"],
            reasoning_mode="prompt",
            parameters=[parameter],
            instruction="",
        ),
        llm("llm", "REPLY:{{#read.text#}} {{#start.word#}} {{#start.pace#}}"),
        post("note", effects, "plain", "{{#agent.text#}}"),
        end(text=("llm", "text"), paper=("read", "text"), note=("note", "body")),
    ]
    return {"nodes": nodes, "edges": path(*(item["id"] for item in nodes))}


def _hook(effects: str) -> Data:
    """What a request to a webhook starts."""
    code = "def main(word):\n    return {'loud': word.upper()}"
    loud = {"loud": {"type": "string", "children": None}}
    nodes = [
        node(
            "hook",
            "trigger-webhook",
            method="post",
            content_type="application/json",
            headers=[],
            params=[],
            body=[
                {"name": "word", "type": "string", "required": True},
                {"name": "pace", "type": "string", "required": True},
            ],
            status_code=200,
            response_body="",
        ),
        node("code", "code", code_language="python3", code=code, variables=[var("word", "hook", "word")], outputs=loud),
        node("pick", "variable-assigner", output_type="string", variables=[["code", "loud"], ["hook", "word"]]),
        post("first", effects, "plain", "{{#pick.output#}}"),
        llm("llm", "REPLY:{{#pick.output#}} {{#hook.pace#}}"),
        post("last", effects, "plain", "{{#llm.text#}}"),
        end(text=("llm", "text"), body=("last", "body")),
    ]
    return {"nodes": nodes, "edges": path(*(item["id"] for item in nodes))}


def _clock(effects: str) -> Data:
    """What the clock starts, from as many roots as there are schedules."""
    roots = [f"clock{number}" for number in range(SCHEDULES)]
    nodes = [
        *(node(root, "trigger-schedule", mode="cron", cron_expression="* * * * *", timezone="UTC") for root in roots),
        post("tick", effects, "plain", "{{#sys.timestamp#}}"),
        end(body=("tick", "body")),
    ]
    return {"nodes": nodes, "edges": [*(edge(root, "tick") for root in roots), edge("tick", "end")]}


def _event(effects: str) -> Data:
    """What an event of a plugin would start; as nothing delivers any, it is called, and brings no payload."""
    names = {"provider_id": "langgenius/github/github", "event_name": "issue", "subscription_id": ""}
    nodes = [
        node("event", "trigger-plugin", **names, event_parameters={}),
        post("note", effects, "plain", "{{#sys.user_id#}}"),
        llm("llm", "REPLY:it was {{#note.body#}}"),
        post("last", effects, "plain", "{{#llm.text#}}"),
        end(text=("llm", "text"), body=("last", "body")),
    ]
    return {"nodes": nodes, "edges": path(*(item["id"] for item in nodes))}


def _talk(effects: str, dataset_id: str) -> Data:
    """A chat whose answer is in three pieces, with a counter that each message adds to."""
    plus = {"variable_selector": ["conversation", "count"], "input_type": "constant", "operation": "+=", "value": 1}
    last = {"assigned_variable_selector": ["conversation", "last"], "input_variable_selector": ["sys", "query"]}
    found = {"top_k": 2, "score_threshold": None, "reranking_enable": False}
    classes = [{"id": "1", "name": "big"}, {"id": "2", "name": "other"}]
    nodes = [
        node("start", "start", variables=[field("pace")]),
        node(
            "kind",
            "question-classifier",
            query_variable_selector=["sys", "query"],
            model=CHAT_MODEL,
            classes=classes,
            instruction="",
        ),
        node(
            "find",
            "knowledge-retrieval",
            dataset_ids=[dataset_id],
            query_variable_selector=["sys", "query"],
            retrieval_mode="multiple",
            multiple_retrieval_config=found,
        ),
        node("plus", "assigner", version="2", items=[plus]),
        node("keep", "assigner", version="1", **last),
        llm("llm", "REPLY:you said {{#sys.query#}} {{#start.pace#}}"),
        answer("first", "[{{#llm.text#}}] "),
        post("note", effects, "plain", "{{#llm.text#}}"),
        llm("more", "REPLY:and so it goes on and on, for a while longer {{#start.pace#}}"),
        answer("second", "{{#more.text#}} {{#note.body#}} {{#conversation.count#}}"),
    ]
    edges = [
        edge("start", "kind"),
        edge("kind", "find", "1"),
        *path("find", "plus"),
        edge("kind", "plus", "2"),
        *path("plus", "keep", "llm", "first", "note", "more", "second"),
    ]
    return {"nodes": nodes, "edges": edges}


def _form(effects: str) -> Data:
    """A chat that asks somebody between two effects."""
    nodes = [
        node("start", "start", variables=[field("pace")]),
        post("before", effects, "plain", "{{#sys.query#}}"),
        llm("llm", "REPLY:is {{#sys.query#}} fine? {{#start.pace#}}"),
        answer("first", "{{#llm.text#}} "),
        node(
            "ask",
            "human-input",
            form_content="{{#sys.query#}}? {{#$output.comment#}}",
            inputs=[{"type": "paragraph", "output_variable_name": "comment"}],
            user_actions=[{"id": "approve", "title": "Approve"}, {"id": "reject", "title": "Reject"}],
            timeout=3,
            timeout_unit="day",
            delivery_methods=[{"type": "webapp", "enabled": True, "config": {}}],
        ),
        post("after", effects, "plain", "{{#ask.comment#}}"),
        answer("second", "{{#ask.comment#}} {{#after.body#}}"),
        answer("third", "rejected"),
    ]
    edges = [
        *path("start", "before", "llm", "first", "ask"),
        edge("ask", "after", "approve"),
        edge("after", "second"),
        edge("ask", "third", "reject"),
        edge("ask", "third", "__timeout"),
    ]
    return {"nodes": nodes, "edges": edges}


# -- the app ----------------------------------------------------------------------------------------------------


def _app(name: str, mode: str, graph: Data, *, variables: bool = False, started_by: str = "call") -> FaultApp:
    count = {"id": _COUNT, "name": "count", "value_type": "number", "value": 0, "selector": ["conversation", "count"]}
    last = {"id": _LAST, "name": "last", "value_type": "string", "value": "", "selector": ["conversation", "last"]}
    workflow = {"graph": graph, "features": {}, "conversation_variables": [count, last] if variables else []}
    dsl = yaml.safe_dump({**head(name, mode), "workflow": workflow}, allow_unicode=True)
    return FaultApp(name=name, mode=mode, dsl=dsl, started_by=started_by)
