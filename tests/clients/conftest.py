"""A whole API process on loopback for published clients: SQLite, an embedded Valkey, a scripted OpenAI server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
import yaml
from dify_host.app import create_app
from dify_host.db.types import new_id
from dify_host.identity.setup import ensure_local_workspace
from dify_host.jobs.embedded import ensure_running
from dify_host.knowledge.datasets import NewDataset
from dify_host.knowledge.documents import DocumentOptions, DocumentText
from dify_host.knowledge.rules import read_rule
from dify_host.platform import Platform
from dify_host.settings import HostSettings
from dify_kernel.testing.openai_server import OpenAIServer

MODEL = {"provider": "openai", "name": "gpt-4o-mini", "mode": "chat", "completion_params": {}}
FIELD = {"variable": "query", "label": "Query", "required": True}


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Where the API is, a key for an app of each mode, and one for knowledge.

    `library` makes a knowledge base with one indexed document, and gives the ids of all that is in it.
    """

    url: str
    keys: dict[str, str]
    knowledge: str
    library: Callable[[], dict[str, str]]


def _graph(*nodes: dict[str, Any]) -> dict[str, Any]:
    listed = [{"id": data["type"], "type": "custom", "data": {"title": data["type"], **data}} for data in nodes]
    edges = [
        {"id": f"{a['id']}-{b['id']}", "source": a["id"], "target": b["id"], "sourceHandle": "source"}
        for a, b in pairwise(listed)
    ]
    return {"nodes": listed, "edges": edges}


def _llm(source: str) -> dict[str, Any]:
    return {"type": "llm", "model": MODEL, "prompt_template": [{"role": "user", "text": source}]}


APPS: dict[str, dict[str, Any]] = {
    "workflow": {
        "workflow": {
            "graph": _graph(
                {"type": "start", "variables": [{"type": "paragraph", **FIELD}]},
                _llm("{{#start.query#}}"),
                {"type": "end", "outputs": [{"variable": "text", "value_selector": ["llm", "text"]}]},
            )
        }
    },
    "advanced-chat": {
        "workflow": {
            "graph": _graph(
                {"type": "start", "variables": []},
                _llm("{{#sys.query#}}"),
                {"type": "answer", "answer": "{{#llm.text#}}"},
            )
        }
    },
    "chat": {
        "model_config": {
            "model": MODEL,
            "pre_prompt": "Be brief.",
            "speech_to_text": {"enabled": True},
            "text_to_speech": {"enabled": True, "voice": "alloy"},
            "suggested_questions_after_answer": {"enabled": True},
        }
    },
    "completion": {
        "model_config": {"model": MODEL, "pre_prompt": "{{query}}", "user_input_form": [{"paragraph": FIELD}]}
    },
}


async def _make_apps(platform: Platform, openai: OpenAIServer) -> tuple[dict[str, str], str]:
    owner = await ensure_local_workspace(platform.db, platform.keyring)
    workspace = await platform.workspace(owner.tenant)
    await workspace.providers.add("openai", {"openai_api_key": "scripted-key", "openai_api_base": openai.url})
    keys = {}
    for mode, body in APPS.items():
        app = {"name": mode, "mode": mode, "icon": "A", "icon_background": "#FFEAD5"}
        text = yaml.safe_dump({"version": "0.5.0", "kind": "app", "app": app, **body})
        made = await workspace.apps.import_dsl(text, account_id=owner.id, publish=True)
        assert made.app_id, made.error
        keys[mode] = (await workspace.api_keys.create("app", made.app_id)).token
    return keys, (await workspace.api_keys.create("dataset")).token


PARENTS = {
    "pre_processing_rules": [],
    "segmentation": {"separator": "\n\n", "max_tokens": 200},
    "parent_mode": "paragraph",
    "subchunk_segmentation": {"separator": ".", "max_tokens": 100},
}


async def _library(platform: Platform) -> dict[str, str]:
    owner = await ensure_local_workspace(platform.db, platform.keyring)
    workspace = await platform.workspace(owner.tenant)
    new = NewDataset(name=new_id(), indexing_technique="economy")
    dataset = (await workspace.datasets.create(new, owner.id)).id
    options = DocumentOptions(process_rule=read_rule("hierarchical", PARENTS), doc_form="hierarchical_model")
    text = DocumentText(name="parts.txt", text="The pad costs eighteen. The wheel is heavy.\n\nThe crane is new.")
    made = await workspace.documents.create_by_text(dataset, text, options, owner.id)
    await platform.indexer.run(made.document.id)
    segment = (await workspace.segments.find(dataset, made.document.id)).data[0]
    field = await workspace.metadata_fields.create(dataset, "color", "string", owner.id)
    return {
        "dataset_id": dataset,
        "document_id": made.document.id,
        "batch": made.batch,
        "segment_id": segment.id,
        "child_chunk_id": segment.child_chunks[0].id,
        "metadata_id": field.id,
    }


class _Process(threading.Thread):
    """Serves from a loop of its own, so that blocking clients can be driven from the test."""

    def __init__(self, env: dict[str, str], openai: OpenAIServer) -> None:
        super().__init__(name="dify-api", daemon=True)
        self._env, self._openai = env, openai
        self.ready = threading.Event()
        self.served: Served | None = None
        self._server: uvicorn.Server | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self.ready.set()

    async def _serve(self) -> None:
        async with Platform.opened(self._env, role="api") as platform:
            keys, knowledge = await _make_apps(platform, self._openai)
            with socket.socket() as listening:
                listening.bind(("127.0.0.1", 0))
                listening.listen()  # a client that is early waits in its queue
                self._server = uvicorn.Server(uvicorn.Config(create_app(platform), log_config=None, lifespan="on"))
                port = listening.getsockname()[1]
                loop = asyncio.get_running_loop()

                def library() -> dict[str, str]:
                    return asyncio.run_coroutine_threadsafe(_library(platform), loop).result(60)

                url = f"http://127.0.0.1:{port}/v1"
                self.served = Served(url=url, keys=keys, knowledge=knowledge, library=library)
                self.ready.set()
                await self._server.serve(sockets=[listening])

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self.join(20)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The API, served on loopback."""
    data: Path = tmp_path_factory.mktemp("clients")
    env = {"DIFY_DATA": str(data), "SSRF_ALLOWED_HOSTS": "127.0.0.1"}
    embedded = ensure_running(HostSettings.read(env))
    with OpenAIServer() as openai:
        process = _Process(env, openai)
        process.start()
        process.ready.wait(60)
        try:
            assert process.served is not None, "the API did not start"
            yield process.served
        finally:
            process.stop()
            if embedded is not None:
                embedded.close()
