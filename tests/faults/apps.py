"""The graphs that are run while processes die: together they use every kind of node that an app may have."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import yaml

from tests.faults.basic_apps import MODEL, Data, FaultApp, basic_apps, head

__all__ = ["SCHEDULES", "fault_apps"]

#: How many schedules are due each minute.
SCHEDULES = 4
_MODEL = {"provider": "openai", "name": MODEL, "mode": "chat", "completion_params": {}}
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
        _app("talk", "advanced-chat", _talk(effects, dataset_id), variables=True),
        _app("form", "advanced-chat", _form(effects)),
        *basic_apps(dataset_id),
    ]


# -- graphs -------------------------------------------------------------------------------------------------------


def _order(effects: str) -> Data:
    """Branches, retries, an error branch, and two effects one after the other."""
    nodes = [
        _node("start", "start", variables=[_text("word"), _text("pace")]),
        _node("big", "if-else", cases=[_case("true", ["start", "word"], "contains", "big")]),
        _node("yes", "template-transform", template="{{ w }}: large", variables=[_var("w", "start", "word")]),
        _node("no", "template-transform", template="{{ w }}: small", variables=[_var("w", "start", "word")]),
        _node("text", "variable-aggregator", output_type="string", variables=[["yes", "output"], ["no", "output"]]),
        _post("shaky", effects, "shaky", "{{#text.output#}}", **_RETRY),
        _llm("llm", "REPLY:{{#text.output#}} is what it is {{#start.pace#}}"),
        _post("broken", effects, "broken", "x", error_strategy="fail-branch"),
        _node(
            "sorry", "template-transform", template="sorry: {{ e }}", variables=[_var("e", "broken", "error_message")]
        ),
        _post("last", effects, "plain", "{{#llm.text#}}"),
        _end(text=("llm", "text"), sorry=("sorry", "output"), body=("last", "body")),
    ]
    edges = [
        _edge("start", "big"),
        _edge("big", "yes", "true"),
        _edge("big", "no", "false"),
        *_path("yes", "text"),
        *_path("no", "text", "shaky", "llm", "broken"),
        _edge("broken", "last", "source"),
        _edge("broken", "sorry", "fail-branch"),
        *_path("sorry", "last", "end"),
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
        _node("start", "start", variables=[_text("word"), _text("pace")]),
        _node(
            "code", "code", code_language="python3", code=code, variables=[_var("word", "start", "word")], outputs=words
        ),
        _node("list", "list-operator", variable=["code", "words"], order_by=order),
        _node("each", "iteration", **_each("list", "result", "post_each", "body")),
        _inner("each", "each_start", "iteration-start"),
        _inside(
            "each", _node("name", "template-transform", template="<{{ i }}>", variables=[_var("i", "each", "item")])
        ),
        _inside("each", _post("post_each", effects, "plain", "{{#name.output#}}")),
        _node("many", "iteration", **_each("list", "result", "say", "text"), is_parallel=True, parallel_nums=3),
        _inner("many", "many_start", "iteration-start"),
        _inside("many", _llm("say", "REPLY:said {{#many.item#}} {{#start.pace#}}")),
        _node(
            "loop",
            "loop",
            loop_count=5,
            logical_operator="and",
            break_conditions=until,
            loop_variables=[counter],
            start_node_id="loop_start",
        ),
        _inner("loop", "loop_start", "loop-start"),
        _inside("loop", _post("post_loop", effects, "plain", "{{#loop.n#}}")),
        _inside("loop", _node("plus", "assigner", version="2", items=[plus])),
        _inside("loop", _node("enough", "if-else", cases=[_case("true", ["loop", "n"], "≥", "2", "number")])),
        _inside("loop", _node("out", "loop-end")),
        _end(each=("each", "output"), many=("many", "output"), n=("loop", "n")),
    ]
    edges = [
        *_path("start", "code", "list", "each", "many", "loop", "end"),
        *_path("each_start", "name", "post_each"),
        *_path("many_start", "say"),
        *_path("loop_start", "post_loop", "plus", "enough"),
        _edge("enough", "out", "true"),
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
        _node("start", "start", variables=[_text("word"), _text("pace")]),
        _node(
            "paper",
            "http-request",
            method="get",
            url=f"{effects}/paper",
            headers="",
            params="",
            authorization={"type": "no-auth"},
            body={"type": "none", "data": []},
        ),
        _node("read", "document-extractor", variable_selector=["paper", "files"], is_array_file=True),
        _node(
            "clock",
            "tool",
            **time_tool,
            tool_parameters={"timezone": {"type": "mixed", "value": "UTC"}},
            tool_configurations={},
        ),
        _node(
            "agent",
            "agent",
            agent_strategy_provider_name="langgenius/agent/agent",
            agent_strategy_name="function_calling",
            agent_parameters={name: {"type": "constant", "value": value} for name, value in agent.items()},
        ),
        _node(
            "take",
            "parameter-extractor",
            model=_MODEL,
            query=["start", "word"],
            reasoning_mode="prompt",
            parameters=[parameter],
            instruction="",
        ),
        _llm("llm", "REPLY:{{#read.text#}} {{#start.word#}} {{#start.pace#}}"),
        _post("note", effects, "plain", "{{#agent.text#}}"),
        _end(text=("llm", "text"), paper=("read", "text"), note=("note", "body")),
    ]
    return {"nodes": nodes, "edges": _path(*(node["id"] for node in nodes))}


def _hook(effects: str) -> Data:
    """What a request to a webhook starts."""
    code = "def main(word):\n    return {'loud': word.upper()}"
    loud = {"loud": {"type": "string", "children": None}}
    nodes = [
        _node(
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
        _node(
            "code", "code", code_language="python3", code=code, variables=[_var("word", "hook", "word")], outputs=loud
        ),
        _node("pick", "variable-assigner", output_type="string", variables=[["code", "loud"], ["hook", "word"]]),
        _post("first", effects, "plain", "{{#pick.output#}}"),
        _llm("llm", "REPLY:{{#pick.output#}} {{#hook.pace#}}"),
        _post("last", effects, "plain", "{{#llm.text#}}"),
        _end(text=("llm", "text"), body=("last", "body")),
    ]
    return {"nodes": nodes, "edges": _path(*(node["id"] for node in nodes))}


def _clock(effects: str) -> Data:
    """What the clock starts, from as many roots as there are schedules."""
    roots = [f"clock{number}" for number in range(SCHEDULES)]
    nodes = [
        *(_node(root, "trigger-schedule", mode="cron", cron_expression="* * * * *", timezone="UTC") for root in roots),
        _post("tick", effects, "plain", "{{#sys.timestamp#}}"),
        _end(body=("tick", "body")),
    ]
    return {"nodes": nodes, "edges": [*(_edge(root, "tick") for root in roots), _edge("tick", "end")]}


def _talk(effects: str, dataset_id: str) -> Data:
    """A chat whose answer is in three pieces, with a counter that each message adds to."""
    plus = {"variable_selector": ["conversation", "count"], "input_type": "constant", "operation": "+=", "value": 1}
    last = {"assigned_variable_selector": ["conversation", "last"], "input_variable_selector": ["sys", "query"]}
    found = {"top_k": 2, "score_threshold": None, "reranking_enable": False}
    classes = [{"id": "1", "name": "big"}, {"id": "2", "name": "other"}]
    nodes = [
        _node("start", "start", variables=[_text("pace")]),
        _node(
            "kind",
            "question-classifier",
            query_variable_selector=["sys", "query"],
            model=_MODEL,
            classes=classes,
            instruction="",
        ),
        _node(
            "find",
            "knowledge-retrieval",
            dataset_ids=[dataset_id],
            query_variable_selector=["sys", "query"],
            retrieval_mode="multiple",
            multiple_retrieval_config=found,
        ),
        _node("plus", "assigner", version="2", items=[plus]),
        _node("keep", "assigner", version="1", **last),
        _llm("llm", "REPLY:you said {{#sys.query#}} {{#start.pace#}}"),
        _answer("first", "[{{#llm.text#}}] "),
        _post("note", effects, "plain", "{{#llm.text#}}"),
        _llm("more", "REPLY:and so it goes on and on, for a while longer {{#start.pace#}}"),
        _answer("second", "{{#more.text#}} {{#note.body#}} {{#conversation.count#}}"),
    ]
    edges = [
        _edge("start", "kind"),
        _edge("kind", "find", "1"),
        *_path("find", "plus"),
        _edge("kind", "plus", "2"),
        *_path("plus", "keep", "llm", "first", "note", "more", "second"),
    ]
    return {"nodes": nodes, "edges": edges}


def _form(effects: str) -> Data:
    """A chat that asks somebody between two effects."""
    nodes = [
        _node("start", "start", variables=[_text("pace")]),
        _post("before", effects, "plain", "{{#sys.query#}}"),
        _llm("llm", "REPLY:is {{#sys.query#}} fine? {{#start.pace#}}"),
        _answer("first", "{{#llm.text#}} "),
        _node(
            "ask",
            "human-input",
            form_content="{{#sys.query#}}? {{#$output.comment#}}",
            inputs=[{"type": "paragraph", "output_variable_name": "comment"}],
            user_actions=[{"id": "approve", "title": "Approve"}, {"id": "reject", "title": "Reject"}],
            timeout=3,
            timeout_unit="day",
            delivery_methods=[{"type": "webapp", "enabled": True, "config": {}}],
        ),
        _post("after", effects, "plain", "{{#ask.comment#}}"),
        _answer("second", "{{#ask.comment#}} {{#after.body#}}"),
        _answer("third", "rejected"),
    ]
    edges = [
        *_path("start", "before", "llm", "first", "ask"),
        _edge("ask", "after", "approve"),
        _edge("after", "second"),
        _edge("ask", "third", "reject"),
        _edge("ask", "third", "__timeout"),
    ]
    return {"nodes": nodes, "edges": edges}


# -- parts --------------------------------------------------------------------------------------------------------


def _app(name: str, mode: str, graph: Data, *, variables: bool = False, started_by: str = "call") -> FaultApp:
    count = {"id": _COUNT, "name": "count", "value_type": "number", "value": 0, "selector": ["conversation", "count"]}
    last = {"id": _LAST, "name": "last", "value_type": "string", "value": "", "selector": ["conversation", "last"]}
    workflow = {"graph": graph, "features": {}, "conversation_variables": [count, last] if variables else []}
    dsl = yaml.safe_dump({**head(name, mode), "workflow": workflow}, allow_unicode=True)
    return FaultApp(name=name, mode=mode, dsl=dsl, started_by=started_by)


def _node(node_id: str, kind: str, **data: Any) -> Data:
    return {"id": node_id, "type": "custom", "data": {"type": kind, "title": node_id, **data}}


def _llm(node_id: str, text: str) -> Data:
    return _node(node_id, "llm", model=_MODEL, prompt_template=[{"role": "user", "text": text}])


def _post(node_id: str, effects: str, path: str, text: str, **data: Any) -> Data:
    body = {"type": "raw-text", "data": [{"type": "text", "value": text}]}
    request = {"method": "post", "url": f"{effects}/{path}", "headers": "", "params": "", "body": body}
    return _node(node_id, "http-request", authorization={"type": "no-auth"}, **request, **data)


def _answer(node_id: str, text: str) -> Data:
    return _node(node_id, "answer", answer=text)


def _end(**outputs: tuple[str, ...]) -> Data:
    listed = [{"variable": name, "value_selector": list(selector)} for name, selector in outputs.items()]
    return _node("end", "end", outputs=listed)


def _each(source: str, name: str, *output: str) -> Data:
    return {
        "iterator_selector": [source, name],
        "output_selector": list(output),
        "output_type": "array[string]",
        "error_handle_mode": "terminated",
        "flatten_output": False,
    }


def _inside(container: str, node: Data) -> Data:
    return {**node, "parentId": container}


def _inner(container: str, node_id: str, kind: str) -> Data:
    return {**_node(node_id, kind), "parentId": container}


def _text(name: str) -> Data:
    return {"variable": name, "label": name, "type": "text-input", "required": True, "max_length": 200}


def _var(name: str, *selector: str) -> Data:
    return {"variable": name, "value_selector": list(selector)}


def _case(case_id: str, selector: list[str], operator: str, value: str, kind: str = "string") -> Data:
    condition = {
        "id": "c",
        "varType": kind,
        "variable_selector": selector,
        "comparison_operator": operator,
        "value": value,
    }
    return {"case_id": case_id, "logical_operator": "and", "conditions": [condition]}


def _edge(source: str, target: str, handle: str = "source") -> Data:
    return {"id": f"{source}-{handle}-{target}", "source": source, "target": target, "sourceHandle": handle}


def _path(*names: str) -> list[Data]:
    return [_edge(source, target) for source, target in pairwise(names)]
