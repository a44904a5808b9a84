"""The API loses power in the middle of many streamed runs: what had ended is whole, the next start ends the rest."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from dify_kernel.testing.openai_server import OpenAIServer

from .conftest import MODEL
from .running import Place, events, free_port, wait_for

pytestmark = [pytest.mark.xdist_group("cluster"), pytest.mark.timeout(300)]

LONG, SHORT = 16, 16
TOKENS = 300
LAST = f"word{TOKENS - 1:03d} "
ONCE = {"start": 1, "llm": 1, "end": 1}
APP = f"""
kind: app
version: 0.5.0
app: {{name: Echo, mode: workflow}}
workflow:
  graph:
    nodes:
    - {{id: start, data: {{type: start, title: Start, variables: [
        {{variable: say, label: Say, type: paragraph, required: true}}]}}}}
    - {{id: llm, data: {{type: llm, title: Model, prompt_template: [{{role: user, text: '{{{{#start.say#}}}}'}}],
        model: {{provider: openai, name: {MODEL}, mode: chat, completion_params: {{}}}}}}}}
    - {{id: end, data: {{type: end, title: End, outputs: [{{variable: text, value_selector: [llm, text]}}]}}}}
    edges:
    - {{source: start, target: llm}}
    - {{source: llm, target: end}}
"""


def stream(url: str, key: str, say: str, seen: list[dict[str, Any]]) -> None:
    """Read a run's events into a list for as long as they come."""
    body = {"inputs": {"say": say}, "user": "ada", "response_mode": "streaming"}
    headers = {"Authorization": f"Bearer {key}"}
    with (
        suppress(httpx.HTTPError),
        httpx.stream("POST", f"{url}/v1/workflows/run", json=body, headers=headers, timeout=60) as answer,
    ):
        for event in events(answer.iter_lines()):
            seen.append(event)


def stored(data: Path, statement: str) -> list[dict[str, Any]]:
    """Rows of the data folder's database."""
    with closing(sqlite3.connect(data / "dify.db")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(statement)]


def test_finished_runs_are_whole_after_a_kill(tmp_path: Path, openai: OpenAIServer) -> None:
    place = Place(tmp_path, SSRF_ALLOWED_HOSTS="127.0.0.1")
    (tmp_path / "echo.yml").write_text(APP)
    place.dify("models", "add", "openai", "-c", "openai_api_key=k", "-c", f"openai_api_base={openai.root}")
    key = place.dify("app", "import", str(tmp_path / "echo.yml"), "--publish", "--key")["api_key"]
    port = free_port()
    flows: list[list[dict[str, Any]]] = [[] for _ in range(LONG + SHORT)]
    with place.running("api", port=port) as api:
        api.healthy()
        says = [f"REPLY:done {at}" if at < SHORT else f"TOKENS:{TOKENS} DELAY:10" for at in range(SHORT + LONG)]
        asking = [
            threading.Thread(target=stream, args=(api.url, key, say, seen))
            for say, seen in zip(says, flows, strict=True)
        ]
        for thread in asking:
            thread.start()
        short, long = flows[:SHORT], flows[SHORT:]
        wait_for(lambda: all(seen and seen[-1]["event"] == "workflow_finished" for seen in short))
        wait_for(lambda: all(len(seen) > 10 for seen in long))
        api.kill()
        for thread in asking:
            thread.join(60)
    assert stored(place.data, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    runs = {row["id"]: row for row in stored(place.data, "SELECT * FROM workflow_runs")}
    nodes = stored(place.data, "SELECT * FROM workflow_node_executions")
    told = {seen[-1]["workflow_run_id"]: seen[-1]["data"] for seen in short}
    for run_id, data in told.items():  # what a client was told is stored, down to the last node
        assert (runs[run_id]["status"], json.loads(runs[run_id]["outputs"])) == ("succeeded", data["outputs"])
        assert runs[run_id]["finished_at"]
        ended = [row for row in nodes if row["workflow_run_id"] == run_id]
        assert Counter(row["node_id"] for row in ended) == ONCE
        assert all(row["status"] == "succeeded" and json.loads(row["outputs"]) is not None for row in ended)
    lost = runs.keys() - told.keys()
    assert len(lost) == LONG
    for run_id in lost:  # what was under way says so, and claims no end
        assert (runs[run_id]["status"], runs[run_id]["finished_at"]) == ("running", None)
    assert {row["workflow_run_id"] for row in nodes} <= runs.keys()
    with place.running("api", port=port) as api:
        again: list[dict[str, Any]] = []
        stream(api.healthy().url, key, "REPLY:back", again)
        assert again[-1]["data"]["outputs"] == {"text": "back"}
        with api.client(key) as web:
            for run_id, data in told.items():
                shown = web.get(f"/v1/workflows/run/{run_id}").json()
                assert json.loads(shown["outputs"]) == data["outputs"]
            wait_for(lambda: all(is_through(web, run_id) for run_id in lost), seconds=120)
        rest = stored(place.data, "SELECT * FROM workflow_node_executions WHERE status = 'succeeded'")
        for run_id in lost:
            assert Counter(row["node_id"] for row in rest if row["workflow_run_id"] == run_id) == ONCE
    for seen, run_id in ((seen, seen[0]["workflow_run_id"]) for seen in long):
        logged = [event for event in seen if event["event"] != "text_chunk"]
        assert [event["event"] for event in logged[:1]] == ["workflow_started"], run_id


def is_through(web: httpx.Client, run_id: str) -> bool:
    """Whether a run has come to its right end."""
    shown = web.get(f"/v1/workflows/run/{run_id}").json()
    assert shown["status"] in ("running", "succeeded"), shown
    return shown["status"] == "succeeded" and json.loads(shown["outputs"])["text"].endswith(LAST)
