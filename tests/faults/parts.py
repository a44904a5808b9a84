"""The parts of graphs: nodes by their kind, edges, fields of forms."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.faults.basic_apps import MODEL, Data

__all__ = [
    "CHAT_MODEL",
    "answer",
    "case",
    "each",
    "edge",
    "end",
    "field",
    "inner",
    "inside",
    "llm",
    "node",
    "path",
    "post",
    "var",
]

CHAT_MODEL = {"provider": "openai", "name": MODEL, "mode": "chat", "completion_params": {}}


def node(node_id: str, kind: str, **data: Any) -> Data:
    return {"id": node_id, "type": "custom", "data": {"type": kind, "title": node_id, **data}}


def llm(node_id: str, text: str) -> Data:
    return node(node_id, "llm", model=CHAT_MODEL, prompt_template=[{"role": "user", "text": text}])


def post(node_id: str, effects: str, path: str, text: str, **data: Any) -> Data:
    body = {"type": "raw-text", "data": [{"type": "text", "value": text}]}
    request = {"method": "post", "url": f"{effects}/{path}", "headers": "", "params": "", "body": body}
    return node(node_id, "http-request", authorization={"type": "no-auth"}, **request, **data)


def answer(node_id: str, text: str) -> Data:
    return node(node_id, "answer", answer=text)


def end(**outputs: tuple[str, ...]) -> Data:
    listed = [{"variable": name, "value_selector": list(selector)} for name, selector in outputs.items()]
    return node("end", "end", outputs=listed)


def each(source: str, name: str, *output: str) -> Data:
    return {
        "iterator_selector": [source, name],
        "output_selector": list(output),
        "output_type": "array[string]",
        "error_handle_mode": "terminated",
        "flatten_output": False,
    }


def inside(container: str, node: Data) -> Data:
    return {**node, "parentId": container}


def inner(container: str, node_id: str, kind: str) -> Data:
    return {**node(node_id, kind), "parentId": container}


def field(name: str) -> Data:
    return {"variable": name, "label": name, "type": "text-input", "required": True, "max_length": 200}


def var(name: str, *selector: str) -> Data:
    return {"variable": name, "value_selector": list(selector)}


def case(case_id: str, selector: list[str], operator: str, value: str, kind: str = "string") -> Data:
    condition = {
        "id": "c",
        "varType": kind,
        "variable_selector": selector,
        "comparison_operator": operator,
        "value": value,
    }
    return {"case_id": case_id, "logical_operator": "and", "conditions": [condition]}


def edge(source: str, target: str, handle: str = "source") -> Data:
    return {"id": f"{source}-{handle}-{target}", "source": source, "target": target, "sourceHandle": handle}


def path(*names: str) -> list[Data]:
    return [edge(source, target) for source, target in pairwise(names)]
