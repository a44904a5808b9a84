"""Plays a case: imports and publishes its app, runs it over the Service API, and notes what came back as recorded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx
import msgspec
from dify_host.workspace import Workspace
from dify_kernel.errors import DifyError

from .recordings import Case

__all__ = ["Seen", "Stage"]

USER = "u1"
_KEPT = (
    *("node_id", "node_type", "index", "title", "status", "inputs", "process_data", "outputs", "error"),
    *("retry_index", "steps", "total_steps", "exceptions_count", "text", "from_variable_selector"),
)
_CHUNKS = {"text_chunk": "text", "message": "answer"}


class Seen(msgspec.Struct, kw_only=True):
    """What a case did here: the status of its import, and its runs in the form of the recording."""

    imported: str
    problem: str = ""
    runs: list[dict[str, Any]] = []


class Stage:
    """One workspace in which cases are played, each as an app of its own."""

    def __init__(
        self, workspace: Workspace, owner_id: str, web: httpx.AsyncClient, *, node_types: Iterable[str]
    ) -> None:
        self._workspace, self._owner_id, self._web = workspace, owner_id, web
        self.node_types = frozenset(node_types)

    async def play(self, case: Case) -> Seen:
        """Import, publish, and run everything that was recorded."""
        apps = self._workspace.apps
        try:
            made = await apps.import_dsl(case.dsl, account_id=self._owner_id)
            first = made.status
            if first == "pending":
                made = await apps.import_dsl(case.dsl, account_id=self._owner_id, confirmed=True)
            await apps.publish(made.app_id, self._owner_id)
        except DifyError as exc:
            return Seen(imported="failed", problem=str(exc))
        key = (await self._workspace.api_keys.create("app", made.app_id)).token
        player = _Player(self._web, key, chat=case.data["mode"] == "advanced-chat")
        return Seen(imported=first, runs=[await player.play(run) for run in case.data["runs"]])


class _Player:
    """Runs one app with one key. The runs of a chat are turns of one conversation."""

    def __init__(self, web: httpx.AsyncClient, key: str, *, chat: bool) -> None:
        self._web, self._chat = web, chat
        self._headers = {"Authorization": f"Bearer {key}"}
        self._path = "/v1/chat-messages" if chat else "/v1/workflows/run"
        self._conversation = ""

    async def play(self, recorded: dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {"inputs": {}, "user": USER}
        for name, value in {**recorded["inputs"], **recorded.get("files", {})}.items():
            body["inputs"][name] = await self._value(value)
        if self._chat:
            body |= {"query": recorded["query"], "conversation_id": self._conversation}
        seen = await self._stream(body)
        if "blocking" in recorded:
            seen["blocking"] = await self._wait(body)
        return seen

    async def _stream(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._web.post(self._path, json={**body, "response_mode": "streaming"}, headers=self._headers)
        if answer.status_code != 200:
            return {"http": answer.status_code, "error_body": answer.json(), "events": []}
        events = []
        for block in answer.text.split("\n\n"):
            if block.startswith("data: "):
                events.append(msgspec.json.decode(block.removeprefix("data: ")))
        self._conversation = next((event["conversation_id"] for event in events if "conversation_id" in event), "")
        return _summary(events) | {"http": 200, "events": [_trimmed(event) for event in events]}

    async def _wait(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._web.post(self._path, json={**body, "response_mode": "blocking"}, headers=self._headers)
        data = answer.json()
        if answer.status_code != 200:
            return {"http": answer.status_code, "body": data}
        data = data["data"]
        return {"http": 200, **{name: data[name] for name in ("status", "outputs", "error", "total_steps")}}

    async def _value(self, value: Any) -> Any:
        """What was recorded, except files: they are [name, text, MIME type, type] and are uploaded."""
        if isinstance(value, list) and value and all(isinstance(item, list) for item in value):
            return [await self._value(item) for item in value]
        if not (isinstance(value, list) and len(value) == 4):
            return value
        name, text, mime_type, kind = value
        files = {"file": (name, text.encode(), mime_type)}
        sent = await self._web.post("/v1/files/upload", files=files, data={"user": USER}, headers=self._headers)
        assert sent.status_code == 201, sent.text
        return {"type": kind, "transfer_method": "local_file", "upload_file_id": sent.json()["id"]}


def _summary(events: list[dict[str, Any]]) -> dict[str, Any]:
    ends = [event["data"] for event in events if event["event"] == "workflow_finished"]
    end = ends[0] if ends else {}
    told = {name: end.get(name) for name in ("status", "outputs", "error", "total_steps", "exceptions_count")}
    if any(event["event"] == "message_end" or "conversation_id" in event for event in events):
        told["answer"] = "".join(event["answer"] for event in events if event["event"] == "message")
    return told


def _trimmed(event: dict[str, Any]) -> dict[str, Any]:
    """The parts of an event that were recorded; empty ones are left out, as there."""
    name = event["event"]
    body = event.get("data") or event
    if name == "message_end":
        return {"event": name}
    if name == "error":
        return {"event": name} | {part: event[part] for part in ("status", "code", "message")}
    kept = {part: body[part] for part in _KEPT if body.get(part) not in (None, "", {}, [])}
    if name in _CHUNKS:
        kept = {"text": body[_CHUNKS[name]], "from_variable_selector": body["from_variable_selector"]}
    return {"event": name, **kept}
