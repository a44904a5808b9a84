"""What the watchers count is what the page shows."""

from __future__ import annotations

from typing import Any

from dify_hooks_metrics import plugin
from dify_hooks_metrics.metrics import metrics_app
from dify_kernel.contracts.model import Usage
from dify_kernel.graph.events import NodeFinished, RunFinished


async def page() -> str:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    await metrics_app()(scope, receive, send)
    return b"".join(message.get("body", b"") for message in sent).decode()


async def test_counts_reach_the_page() -> None:
    plugin.run_event(event=NodeFinished(execution_id="e", node_id="n", node_type="counted-node", status="failed"))
    plugin.run_event(event=RunFinished(status="counted-status", elapsed_time=0.5))
    plugin.model_invoked("prov", "mod", "llm", Usage(prompt_tokens=3, completion_tokens=4), None)
    plugin.model_invoked("prov", "mod", "llm", None, ValueError("no"))
    plugin.document_indexed(status="counted-end")
    text = await page()
    for line in (
        'dify_nodes_total{node_type="counted-node",status="failed"} 1.0',
        'dify_runs_total{status="counted-status"} 1.0',
        'dify_model_calls_total{model="mod",model_type="llm",outcome="ok",provider="prov"} 1.0',
        'dify_model_calls_total{model="mod",model_type="llm",outcome="ValueError",provider="prov"} 1.0',
        'dify_model_tokens_total{direction="out",model="mod",provider="prov"} 4.0',
        'dify_documents_total{status="counted-end"} 1.0',
    ):
        assert line in text


def test_the_page_is_mounted_at_metrics() -> None:
    mounted: dict[str, Any] = {}
    plugin.configure_app(mount=mounted.__setitem__)
    assert list(mounted) == ["/metrics"]
