"""Kept runs of nodes that ask models, tools, knowledge and people, and of the roots and ends of other runs."""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.model import ModelFeature
from dify_kernel.contracts.ports import Ports
from dify_kernel.contracts.tool import BlobMessage, JsonMessage, TextMessage, ToolInfo, ToolParameter
from dify_kernel.graph.values import File, FileTransfer, FileType
from dify_kernel.testing.fakes import FakeKnowledge, FakeModels, FakeSandbox, FakeTools, fake_ports
from dify_kernel.testing.graph import edges, node

from .case import Case, chat, flow, start

__all__ = ["CASES", "MODEL"]

MODEL = {"provider": "p/q/r", "name": "m", "mode": "chat", "completion_params": {"temperature": 0}}
SAY = ToolInfo(name="say", description="Says it.", parameters=[ToolParameter(name="what", required=True)])
AGENT_MODEL = {"provider": "p/q/r", "model": "m", "mode": "chat", "completion_params": {}}
FORM = {
    "form_content": "Shall {{#start.who#}} go? {{#$output.why#}}",
    "inputs": [{"type": "paragraph", "output_variable_name": "why"}],
    "user_actions": [{"id": "yes", "title": "Go"}, {"id": "no", "title": "Stay"}],
    "timeout": 1,
}


def tools() -> Ports:
    """Ports with one tool, which a model that is asked calls once before it answers."""
    talk = FakeTools(
        {
            "say": lambda given: [TextMessage(f"said {given['what']}"), JsonMessage({"n": 1})],
            "draw": lambda _: [BlobMessage(data=b"\x89PNG", mime_type="image/png", filename="a.png")],
        },
        infos={"say": SAY},
    )
    models = FakeModels(features=[ModelFeature.TOOL_CALL], tool_calls=[[("say", {"what": "hi"})]])
    return fake_ports(models=models, tools=talk)


def extracting() -> Ports:
    """Ports of a model that finds a city."""
    return fake_ports(models=FakeModels(lambda _: '{"city": "Rome"}'))


def knowledge() -> Ports:
    """Ports with one knowledge base."""
    return fake_ports(knowledge=FakeKnowledge({"kb": ["red apples", "green pears"]}))


def pipeline() -> Ports:
    """Ports of a knowledge base that is still empty, and of a sandbox that cuts a text in two."""
    return fake_ports(knowledge=FakeKnowledge({"kb": []}), sandbox=FakeSandbox(lambda *_: {"result": ["a", "b"]}))


def llm(text: str, **more: Any) -> dict[str, Any]:
    """The data of a chat model's node."""
    return {
        "model": MODEL,
        "prompt_template": [{"id": "1", "role": "user", "text": text}],
        "context": {"enabled": False, "variable_selector": []},
        "vision": {"enabled": False},
        **more,
    }


def tool(name: str, **parameters: Any) -> dict[str, Any]:
    """The data of a tool node."""
    given = {key: {"type": "mixed", "value": value} for key, value in parameters.items()}
    return {
        "provider_id": "talk",
        "provider_type": "builtin",
        "provider_name": "talk",
        "tool_name": name,
        "tool_parameters": given,
    }


def agent(strategy: str) -> dict[str, Any]:
    """The data of an agent node with one tool."""
    offered = {"enabled": True, "type": "builtin", "provider_name": "talk", "tool_name": "say"}
    given = {"model": AGENT_MODEL, "query": "{{#start.q#}}", "instruction": "Be kind.", "tools": [offered]}
    return {
        "agent_strategy_provider_name": "langgenius/agent/agent",
        "agent_strategy_name": strategy,
        "agent_parameters": {name: {"type": "constant", "value": value} for name, value in given.items()},
    }


def root(kind: str, given: dict[str, Any], *, shows: str, sys: dict[str, Any] | None = None, **data: Any) -> Case:
    """A workflow that begins with something else than a form; the variable that it shows."""
    nodes = [
        node("root", kind, **data),
        node("end", "end", outputs=[{"variable": "shown", "value_selector": ["root", shows]}]),
    ]
    return Case(
        graph={"nodes": nodes, "edges": edges("root > end")},
        variables={"root": given, "sys": {"user_id": "u-1", **(sys or {})}},
    )


def form(answer: dict[str, Any]) -> Case:
    """A chatflow that asks somebody, who answers so."""
    return chat(
        "start > ask:yes > went",
        "ask:no > stayed",
        "ask:__timeout > waited",
        nodes=[
            node("ask", "human-input", **FORM),
            node("went", "answer", answer="went: {{#ask.why#}}"),
            node("stayed", "answer", answer="stayed: {{#ask.__rendered_content#}}"),
            node("waited", "answer", answer="waited"),
        ],
        variables=start(who="Ada"),
        answers={"ask": answer},
    )


CLASSES = [{"id": "1", "name": "Sports news"}, {"id": "2", "name": "Food"}]
CITY = {"name": "city", "type": "string", "description": "which city", "required": True}
PAGE = {"source_url": "https://a.test", "title": "A", "content": "words", "description": ""}
PICTURE = File(
    id="1",
    related_id="1",
    type=FileType.IMAGE,
    transfer_method=FileTransfer.LOCAL_FILE,
    filename="a.png",
    extension=".png",
)
CASES: dict[str, Case] = {
    "llm": chat(
        "start > llm > say",
        "start > other > say",
        nodes=[
            node("llm", "llm", **llm("say {{#start.q#}}")),
            node("other", "llm", **llm("REPLY:aside")),
            node("say", "answer", answer="{{#llm.text#}} ({{#other.text#}})"),
        ],
        variables=start(q="hello"),
    ),
    "classifier": flow(
        "start > kind:2 > t > end",
        "kind:1 > u",
        nodes=[
            node(
                "kind",
                "question-classifier",
                query_variable_selector=["start", "q"],
                model=MODEL,
                classes=CLASSES,
                instruction="",
                topics=[],
                vision={"enabled": False},
            ),
            node("t", "template-transform", template="food", variables=[]),
            node("u", "template-transform", template="sports", variables=[]),
        ],
        gives={"text": ["t", "output"], "class": ["kind", "class_name"]},
        variables=start(q="good food"),
    ),
    "extractor": flow(
        "start > find > end",
        nodes=[
            node(
                "find",
                "parameter-extractor",
                query=["start", "q"],
                model=MODEL,
                parameters=[CITY],
                reasoning_mode="prompt",
                variables=[],
            )
        ],
        gives={"city": ["find", "city"], "ok": ["find", "__is_success"]},
        variables=start(q="three days in Rome"),
        ports=extracting,
    ),
    "knowledge": flow(
        "start > find > llm > end",
        nodes=[
            node(
                "find",
                "knowledge-retrieval",
                dataset_ids=["kb"],
                query_variable_selector=["start", "q"],
                retrieval_mode="multiple",
                multiple_retrieval_config={"top_k": 2, "score_threshold": None, "reranking_enable": False},
            ),
            node(
                "llm", "llm", **llm("{{#context#}}", context={"enabled": True, "variable_selector": ["find", "result"]})
            ),
        ],
        gives={"text": ["llm", "text"], "found": ["find", "result"]},
        variables=start(q="apples"),
        ports=knowledge,
    ),
    "tool": flow(
        "start > say > draw > end",
        nodes=[
            node("say", "tool", **tool("say", what="{{#start.q#}}!")),
            node("draw", "tool", **tool("draw")),
        ],
        gives={"text": ["say", "text"], "json": ["say", "json"], "files": ["draw", "files"]},
        variables=start(q="é"),
        ports=tools,
    ),
    "agent": chat(
        "start > agent > say",
        nodes=[node("agent", "agent", **agent("function_calling")), node("say", "answer", answer="{{#agent.text#}}")],
        variables=start(q="hello"),
        ports=tools,
    ),
    "human-answered": form({"action": "yes", "inputs": {"why": "she can"}}),
    "human-expired": form({"timeout": True}),
    "webhook": root(
        "trigger-webhook",
        {"webhook_data": {"method": "POST", "body": {"note": "ünï"}, "files": {"picture": PICTURE}}},
        shows="note",
        method="post",
        content_type="multipart/form-data",
        body=[{"name": "note", "type": "string"}, {"name": "picture", "type": "file"}],
    ),
    "schedule": root(
        "trigger-schedule", {}, shows="sys.timestamp", sys={"timestamp": 5}, mode="cron", cron_expression="0 9 * * *"
    ),
    "plugin-event": root(
        "trigger-plugin",
        {"issue": {"id": 1}},
        shows="issue",
        provider_id="langgenius/github/github",
        event_name="issue",
        subscription_id="",
        event_parameters={},
    ),
    "pipeline": Case(
        graph={
            "nodes": [
                node("source", "datasource", provider_type="website_crawl"),
                node(
                    "cut",
                    "code",
                    code="",
                    code_language="python3",
                    variables=[],
                    outputs={"result": {"type": "array[string]"}},
                ),
                node(
                    "index",
                    "knowledge-index",
                    chunk_structure="text_model",
                    index_chunk_variable_selector=["cut", "result"],
                ),
            ],
            "edges": edges("source > cut > index"),
        },
        variables={
            "sys": {
                "datasource_type": "website_crawl",
                "datasource_info": PAGE,
                "dataset_id": "kb",
                "document_id": "d-1",
                "batch": "b-1",
            }
        },
        ports=pipeline,
    ),
}
