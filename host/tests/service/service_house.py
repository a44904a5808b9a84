"""Workspaces to call: apps made of graphs, keys, requests with them, and the events of a stream."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import httpx
import msgspec
import yaml
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.accounts import insert_account
from dify_host.identity.workspaces import insert_workspace
from dify_host.platform import Platform
from dify_host.workspace import Workspace
from dify_kernel.testing.openai_server import OpenAIServer

__all__ = ["CHAT_MODEL", "House", "Key", "Workshop", "answers_with", "edge", "events", "graph", "names", "node"]

CHAT_MODEL = {"provider": "openai", "name": "gpt-4o-mini", "mode": "chat", "completion_params": {}}


def node(node_id: str, kind: str, **data: Any) -> dict[str, Any]:
    """A node of a graph."""
    return {"id": node_id, "type": "custom", "data": {"type": kind, "title": node_id.title(), **data}}


def edge(source: str, target: str, handle: str = "source") -> dict[str, Any]:
    """An edge of a graph."""
    return {"id": f"{source}-{handle}-{target}", "source": source, "target": target, "sourceHandle": handle}


def graph(*nodes: dict[str, Any], edges: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """These nodes, in a row unless edges are given."""
    row = [edge(a["id"], b["id"]) for a, b in pairwise(nodes)]
    return {"nodes": list(nodes), "edges": row if edges is None else edges}


def answers_with(prompt: str = "{{#sys.query#}}", **data: Any) -> dict[str, Any]:
    """The graph of a chat that asks the model and streams its answer."""
    return graph(
        node("start", "start", variables=[]),
        node("llm", "llm", model=CHAT_MODEL, prompt_template=[{"role": "user", "text": prompt}], **data),
        node("answer", "answer", answer="{{#llm.text#}}"),
    )


def events(response: httpx.Response) -> list[dict[str, Any]]:
    """The JSON events of a stream, in order; anything but events and pings is an error."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    found = []
    *blocks, last = response.text.split("\n\n")
    assert last == ""
    for block in blocks:
        if block.startswith("event: ping"):
            continue
        assert block.startswith("data: "), block
        assert "\n" not in block
        found.append(msgspec.json.decode(block.removeprefix("data: ")))
    return found


def names(found: list[dict[str, Any]]) -> list[str]:
    """The names of events, repetitions of one name in a row told once."""
    listed = [item["event"] for item in found]
    return [name for at, name in enumerate(listed) if at == 0 or listed[at - 1] != name]


class Key:
    """Requests with one API key."""

    def __init__(self, web: httpx.AsyncClient, token: str, app_id: str = "") -> None:
        self.web, self.token, self.app_id = web, token, app_id

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def __call__(self, method: str, path: str, json: Any = None, **more: Any) -> httpx.Response:
        """One request below `/v1`."""
        headers = {**self.headers, **more.pop("headers", {})}
        if json is not None:
            more["json"] = json
        return await self.web.request(method, f"/v1{path}", headers=headers, **more)

    async def stream(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The events of a streaming POST."""
        return events(await self("POST", path, {"inputs": {}, "user": "abc-123", **body, "response_mode": "streaming"}))

    async def wait(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """The answer to a blocking POST."""
        return await self("POST", path, {"inputs": {}, "user": "abc-123", **body, "response_mode": "blocking"})


class House:
    """One workspace."""

    def __init__(self, platform: Platform, web: httpx.AsyncClient, workspace: Workspace, owner_id: str) -> None:
        self.platform, self.web = platform, web
        self.workspace, self.owner_id = workspace, owner_id

    async def app(self, mode: str, body: dict[str, Any], *, publish: bool = True, **workflow: Any) -> Key:
        """Import an app (a graph, or a model_config), and make a key for it."""
        head = {
            "name": f"{mode} app",
            "mode": mode,
            "icon": "🤖",
            "icon_background": "#FFEAD5",
            "description": "It works",
        }
        data: dict[str, Any] = {"version": "0.5.0", "kind": "app", "app": head, "dependencies": []}
        if mode in ("workflow", "advanced-chat"):
            data["workflow"] = {"graph": body, "features": {}, **workflow}
        else:
            data["model_config"] = {"model": CHAT_MODEL, "prompt_type": "simple", **body}
        text = yaml.safe_dump(data, allow_unicode=True)
        made = await self.workspace.apps.import_dsl(text, account_id=self.owner_id, publish=publish)
        assert made.app_id, made.error
        return await self.key_of(made.app_id)

    async def key_of(self, app_id: str) -> Key:
        """Another key of an app."""
        created = await self.workspace.api_keys.create("app", app_id)
        return Key(self.web, created.token, app_id)

    async def dataset_key(self) -> Key:
        """A key of the workspace's knowledge."""
        created = await self.workspace.api_keys.create("dataset")
        return Key(self.web, created.token)


class Workshop:
    """Makes workspaces."""

    def __init__(self, platform: Platform, web: httpx.AsyncClient, openai: OpenAIServer) -> None:
        self.platform, self.web, self.openai = platform, web, openai

    async def open(self, name: str, *, models: bool = True) -> House:
        """A workspace with an owner and, unless told otherwise, the scripted models."""
        async with self.platform.db.write() as conn:
            owner = await insert_account(conn, email=f"{new_id()}@example.com", name="Owner", password=None)
            tenant_id = await insert_workspace(conn, self.platform.keyring, name=name, owner_id=owner)
        workspace = await self.platform.workspace(Tenant(tenant_id))
        if models:
            credentials = {"openai_api_key": "scripted-key", "openai_api_base": self.openai.url}
            await workspace.providers.add("openai", credentials)
        return House(self.platform, self.web, workspace, owner)
