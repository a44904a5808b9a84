"""Simulates an HTTP service for tests: a server on 127.0.0.1 that answers as the test says and keeps what it was asked.

    def answer(asked: Asked) -> Answer:
        if asked.headers.get("authorization") != "Bearer right":
            return json_answer(401, {"message": "Who are you?"})
        return json_answer(200, {"echo": asked.json()})

    with loopback(answer) as server:
        ...  server.url, server.asked
        server.queued.append((503, {}, b""))  # for the next request
        server.answer = json_answer(429, {})  # for all that come, in place of the function

What the function raises, an assertion too, fails the test when the block ends; the client is answered with 500 until
then. The standard library alone is used; nothing is printed.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

__all__ = ["Answer", "Answering", "Asked", "Loopback", "json_answer", "loopback"]

#: Status, headers and body. The length is told by the server.
Answer = tuple[int, Mapping[str, str], bytes]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it arrived; the path is as the client encoded it, header names are lower case."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body decoded, None when there is none; ValueError when it is no JSON or not said to be."""
        if not self.body:
            return None
        kind = self.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "application/json":
            raise ValueError(f"{self.method} {self.path} has a body, and says {kind or 'nothing'!r} of it")
        return json.loads(self.body)


Answering = Callable[[Asked], Answer]


def json_answer(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a value as JSON."""
    return status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode()


class Loopback:
    """A running server: where it is, what it was asked, and how it answers.

    `queued` are answers that come first, one a request. `answer` is the function that gives the others, or one answer
    for all. It is called in threads, at once for requests that come at once.
    """

    def __init__(self, port: int, answer: Answering | Answer) -> None:
        self.port = port
        self.answer = answer
        self.asked: list[Asked] = []
        self.queued: list[Answer] = []
        self.faults: list[BaseException] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def reply(self, asked: Asked) -> Answer:
        """Note a request and answer it; 500 with the fault where the function has one."""
        with self._lock:
            self.asked.append(asked)
            if self.queued:
                return self.queued.pop(0)
        try:
            status, headers, body = self.answer(asked) if callable(self.answer) else self.answer
            if not isinstance(body, bytes):
                raise TypeError(f"a body is bytes, and not {type(body).__name__}")
            return status, headers, body
        except BaseException as exc:  # those of pytest are no Exceptions; all are raised when the block ends
            exc.add_note(f"The loopback could not answer {asked.method} {asked.path}.")
            self.faults.append(exc)
            return 500, {"Content-Type": "text/plain"}, f"The answering function failed: {exc!r}".encode()


@contextmanager
def loopback(answer: Answering | Answer) -> Iterator[Loopback]:
    """Serve on a free port until the block ends; then all connections are closed, and a fault is raised."""
    listening = _Server(answer)
    thread = threading.Thread(
        target=listening.serve_forever, kwargs={"poll_interval": 0.01}, name="loopback", daemon=True
    )
    thread.start()
    served = listening.served
    try:
        yield served
    except BaseException as exc:
        for fault in served.faults:
            exc.add_note("".join(traceback.format_exception(fault)))
        raise
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
    if served.faults:
        raise served.faults[0]


class _Server(ThreadingHTTPServer):
    """Takes as many connections at once as a suite makes, and closes them in the end, whoever keeps them alive."""

    request_queue_size = 128

    def __init__(self, answer: Answering | Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.served = Loopback(self.server_port, answer)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        fault = sys.exception()
        if fault is not None and not isinstance(fault, ConnectionError):  # a client may leave
            self.served.faults.append(fault)

    def server_close(self) -> None:
        super().server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def serve(self) -> None:
        if "Transfer-Encoding" in self.headers:
            raise NotImplementedError("the loopback reads no body in chunks")
        parts = urlsplit(self.path)
        asked = Asked(
            method=self.command,
            path=parts.path,
            query=parse_qsl(parts.query, keep_blank_values=True),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        )
        status, headers, body = self.server.served.reply(asked)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = serve

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""
