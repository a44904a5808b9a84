"""`/workflows/run` as clients see it: blocking and streaming, versions, failures, stops."""

from __future__ import annotations

from .service_house import House, graph, node

ECHO = graph(
    node("start", "start", variables=[{"type": "text-input", "variable": "name", "label": "Name", "required": True}]),
    node(
        "greet",
        "template-transform",
        template="Hello {{ name }}",
        variables=[{"variable": "name", "value_selector": ["start", "name"]}],
    ),
    node("end", "end", outputs=[{"variable": "text", "value_selector": ["greet", "output"]}]),
)


async def test_blocking(house: House) -> None:
    app = await house.app("workflow", ECHO)
    answer = await app.wait("/workflows/run", {"inputs": {"name": "Ada"}})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == ["task_id", "workflow_run_id", "data"]
    print(body)
