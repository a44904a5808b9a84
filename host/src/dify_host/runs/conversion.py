"""Makes a workflow app of a chat or completion app: a new app whose draft is the graph that the old one runs as."""

from __future__ import annotations

from typing import Any

from dify_kernel.errors import BadInput

from dify_host.apps.changes import AppChanges
from dify_host.apps.dsl import WORKFLOW_MODES
from dify_host.apps.errors import AppUnavailable
from dify_host.apps.records import AppMode, AppRecord
from dify_host.apps.service import AppService
from dify_host.runs.basic import basic_graph

__all__ = ["convert_to_workflow"]

#: What a chat's configuration and a workflow's features have in common.
_FEATURES = (
    "opening_statement", "suggested_questions", "suggested_questions_after_answer", "speech_to_text", "text_to_speech",
    "retriever_resource", "sensitive_word_avoidance", "file_upload",
)  # fmt: skip
_WIDTH = 300  # pixels from one node to the next


async def convert_to_workflow(service: AppService, app_id: str, account_id: str, changes: AppChanges) -> AppRecord:
    """The new app: of a chat an advanced-chat app, of a completion a workflow. The old one stays as it is.

    Raises AppNotFound, BadInput for an app that is a workflow already, AppUnavailable without a configuration.
    """
    app = await service.repository.get(app_id)
    if app.mode in WORKFLOW_MODES:
        raise BadInput(f"Current App mode: {app.mode} is not supported convert to workflow.", app_id=app_id)
    config = await service.repository.model_config(app_id)
    if config is None:
        raise AppUnavailable("App unavailable, please check your app configurations.", app_id=app_id)
    mode: AppMode = "workflow" if app.mode == "completion" else "advanced-chat"
    graph = _placed(basic_graph(config, app.mode), ends=mode == "workflow")
    given = changes.given()
    name = str(given.pop("name", None) or f"{app.name} workflow")
    kept = {key: getattr(app, key) for key in ("icon_type", "icon", "icon_background", "description")}
    head = AppChanges(**{**{key: value for key, value in kept.items() if value is not None}, **given})
    made = await service.create(name, mode, account_id=account_id, changes=head)
    features = {key: getattr(config, key) for key in _FEATURES} if mode == "advanced-chat" else {}
    await service.save_draft(made.id, graph=graph, features=features, account_id=account_id)
    return made


def _placed(graph: dict[str, Any], *, ends: bool) -> dict[str, Any]:
    """The graph as an editor shows it: in a row, its edges named; a workflow ends where a chat answers."""
    nodes = []
    for at, node in enumerate(graph["nodes"]):
        data = node["data"]
        if ends and data["type"] == "answer":
            output = {"variable": "result", "value_selector": ["llm", "text"]}
            data = {"type": "end", "title": "end", "outputs": [output]}
        place = {"x": _WIDTH * at, "y": 0}
        nodes.append({**node, "data": data, "position": place, "positionAbsolute": place})
    edges = [
        {
            **edge,
            "id": f"{edge['source']}-source-{edge['target']}-target",
            "sourceHandle": "source",
            "targetHandle": "target",
            "type": "custom",
        }
        for edge in graph["edges"]
    ]
    return {"nodes": nodes, "edges": edges, "viewport": {"x": 0, "y": 0, "zoom": 1}}
