"""An external knowledge API on loopback: two records about tea under the knowledge id `drinks`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["KEY", "ExternalServer", "external_server"]

KEY = "external-key-1234"
RECORDS: list[dict[str, Any]] = [
    {"content": "Tea is grown in hills.", "score": 0.4, "title": "hills.txt", "metadata": {"page": 2}},
    {"content": "Tea is drunk in cups.", "score": 0.98, "title": "cups.txt", "metadata": None},
]


class ExternalServer(ThreadingHTTPServer):
    """Keeps what it was asked; `answer` replaces what it says to everybody, as (status, body)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.answer: tuple[int, str] | None = None

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ExternalServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.answer is not None:
            return self._say(*self.server.answer)
        if self.path != "/v1/retrieval":
            return self._say(404, "not here")
        if self.headers["Authorization"] != f"Bearer {KEY}":
            return self._say(403, json.dumps({"error_code": 1002, "error_msg": "Authorization failed"}))
        if not body:
            return self._say(400, "what is the question")
        self.server.asked.append(body)
        if body["knowledge_id"] != "drinks":
            return self._say(400, json.dumps({"error_code": 2001, "error_msg": "The knowledge does not exist"}))
        return self._say(200, json.dumps({"records": RECORDS}))

    def _say(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@contextmanager
def external_server() -> Iterator[ExternalServer]:
    """A running server."""
    server = ExternalServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
