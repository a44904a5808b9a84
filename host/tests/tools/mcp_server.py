"""A small server of the Model Context Protocol: sessions, two pages of tools, answers as JSON or as a stream."""

from __future__ import annotations

import base64
import json
from typing import Any

from dify_kernel.testing.loopback import Answer, Asked, json_answer

__all__ = ["McpServer"]

ADD = {
    "name": "add",
    "description": "Adds.",
    "outputSchema": {"type": "object", "properties": {"sum": {"type": "number"}}},
    "inputSchema": {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "First"},
            "b": {"$ref": "#/$defs/number"},
            "note": {"type": "string"},
            "how": {"enum": ["plain", "structured", "json", "list"], "default": "plain"},
        },
        "required": ["a", "b"],
        "$defs": {"number": {"type": "number"}},
    },
}
OTHERS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("picture", "fail", "crash", "vanish")]


class McpServer:
    """Answers for `loopback`; `streams` makes it answer with events, `key` ask for one, `deaf` refuse notifications."""

    def __init__(self, *, streams: bool = False, key: str = "", deaf: bool = False) -> None:
        self.streams, self.key, self.deaf = streams, key, deaf
        self.sessions: set[str] = set()
        self.opened = 0

    def __call__(self, asked: Asked) -> Answer:
        if self.key and asked.headers.get("authorization") != f"Bearer {self.key}":
            return 401, {}, b"who are you"
        session = asked.headers.get("mcp-session-id", "")
        if asked.method == "DELETE":
            self.sessions.discard(session)
            return 200, {}, b""
        message = asked.json()
        if message["method"] == "initialize":
            self.opened += 1
            session = f"session-{self.opened}"
            self.sessions.add(session)
            result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {}, "serverInfo": {}}
            return self._answer(message, {"result": result}, {"Mcp-Session-Id": session})
        if session not in self.sessions or asked.headers.get("mcp-protocol-version") is None:
            return 400, {}, b"no session"
        if "id" not in message:
            if self.deaf:
                return 400, {}, b"no notes"
            return 202, {}, b""
        return self._answer(message, self._result(message["method"], message["params"]), {})

    def _result(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "tools/list":
            last = params.get("cursor") == "2"
            return {"result": {"tools": OTHERS} if last else {"tools": [ADD], "nextCursor": "2"}}
        name, given = params["name"], params["arguments"]
        if name == "crash":
            return {"error": {"code": -32603, "message": "It crashed."}}
        if name == "fail":
            return {"result": {"isError": True, "content": [{"type": "text", "text": "Out of order."}]}}
        if name == "picture":
            data = base64.b64encode(b"\x89PNG").decode()
            link = {"type": "resource_link", "uri": "https://a.test/doc", "name": "doc"}
            return {"result": {"content": [{"type": "image", "data": data, "mimeType": "image/png"}, link]}}
        if name == "vanish":
            return {}
        if "note" in given:
            return {"result": {"content": [{"type": "text", "text": f"noted {given['note']}"}]}}
        return {"result": self._sum(given["a"] + given["b"], given["how"])}

    def _sum(self, total: float, how: str) -> dict[str, Any]:
        text = {"json": json.dumps({"sum": total}), "list": json.dumps([{"sum": total}])}.get(how, f"It is {total}.")
        found: dict[str, Any] = {"content": [{"type": "text", "text": text}]}
        return {**found, "structuredContent": {"sum": total}} if how == "structured" else found

    def _answer(self, message: dict[str, Any], rest: dict[str, Any], headers: dict[str, str]) -> Answer:
        said = {"jsonrpc": "2.0", "id": message["id"], **rest} if rest else {"jsonrpc": "2.0", "id": -1, "result": {}}
        if not self.streams:
            return json_answer(200, said, headers)
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {}}
        pretty = json.dumps(said, indent=1).splitlines()
        lines = [": hello", "event: message", f"data: {json.dumps(note)}", "", *(f"data: {line}" for line in pretty)]
        return 200, {"Content-Type": "text/event-stream", **headers}, ("\n".join(lines) + "\n\n").encode()
