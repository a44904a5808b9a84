"""An API-based extension on loopback: judges by the word BAD, masks the word SECRET, and knows the weather."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["KEY", "ApiExtensionServer", "api_extension"]

KEY = "extension-key-1234"


class ApiExtensionServer(ThreadingHTTPServer):
    """Keeps what it was asked; `broken` makes it fail. It answers when `gate` is set, as it is at first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.broken = False
        self.gate = threading.Event()
        self.gate.set()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}/extension"

    def points(self, point: str) -> list[dict[str, Any]]:
        """The parameters of every question of one kind."""
        return [params for name, params in self.asked if name == point]


class _Handler(BaseHTTPRequestHandler):
    server: ApiExtensionServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {KEY}":
            return self._answer(401, {"error": "who are you"})
        if self.server.broken:
            return self._answer(500, {"error": "out of order"})
        self.server.asked.append((body["point"], body["params"]))
        self.server.gate.wait(60)
        return self._answer(200, _ANSWERS[body["point"]](body["params"]))

    def _answer(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


def _input(params: dict[str, Any]) -> dict[str, Any]:
    if "BAD" in params["query"]:
        return {"flagged": True, "action": "direct_output", "preset_response": "Not here."}
    if "SECRET" in params["query"]:
        masked = {name: str(value).replace("SECRET", "***") for name, value in params["inputs"].items()}
        query = params["query"].replace("SECRET", "***")
        return {"flagged": True, "action": "overridden", "inputs": masked, "query": query}
    return {"flagged": False, "action": "direct_output", "preset_response": ""}


def _output(params: dict[str, Any]) -> dict[str, Any]:
    if "FOUL" in params["text"]:
        return {"flagged": True, "action": "direct_output", "preset_response": "I would rather not."}
    if "MASK" in params["text"]:
        return {"flagged": True, "action": "overridden", "text": params["text"].replace("MASK", "####")}
    return {"flagged": False, "action": "direct_output", "preset_response": ""}


def _data(params: dict[str, Any]) -> dict[str, Any]:
    return {"result": f"Sunny in {params['inputs'].get('city')} ({params['tool_variable']})"}


_ANSWERS = {
    "ping": lambda params: {"result": "pong"},
    "app.moderation.input": _input,
    "app.moderation.output": _output,
    "app.external_data_tool.query": _data,
}


@contextmanager
def api_extension() -> Iterator[ApiExtensionServer]:
    """The server, listening."""
    with ApiExtensionServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)
