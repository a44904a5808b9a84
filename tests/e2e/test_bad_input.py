"""Bad input over real sockets: an answer that names code and place reaches the caller, and nothing is stored."""

from __future__ import annotations

import json
import socket
import sqlite3
from contextlib import closing, suppress
from typing import Any

import pytest

from .conftest import Home

pytestmark = [pytest.mark.xdist_group("home"), pytest.mark.timeout(300)]

RUN = {"inputs": {}, "query": "hi", "user": "ada"}
#: Who calls is remembered from the first call on, as in Dify; what is asked for is not, when it is refused.
COUNTED = ("messages", "conversations", "workflow_runs", "workflow_node_executions", "upload_files")


def counts(home: Home) -> dict[str, int]:
    """How many rows there are of what a call may make."""
    with closing(sqlite3.connect(home.place.data / "dify.db")) as connection:
        return {name: connection.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in COUNTED}


def raw(home: Home, head: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """Send bytes as they are; returns the status and the body of the answer."""
    address = ("127.0.0.1", int(home.up.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        with suppress(ConnectionError):  # it has answered already and reads no further
            connection.sendall(body)
        answer = b""
        while not _is_complete(answer):
            piece = connection.recv(65536)
            if not piece:
                break
            answer += piece
    first, _, rest = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]), json.loads(rest)


def _is_complete(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(separator and length and len(body) >= int(length[0].split(b":")[1]))


def head(key: str, path: str, **more: str) -> str:
    """The head of a request."""
    fields = {"Host": "dify", "Authorization": f"Bearer {key}", "Content-Type": "application/json", **more}
    return "\n".join([f"POST {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {text}" for name, text in fields.items())])


def test_a_body_of_20_mb_is_answered_and_not_cut_off(home: Home, chat_key: str) -> None:
    before = counts(home)
    body = json.dumps({**RUN, "query": "a" * 20_000_000}).encode()
    said = head(chat_key, "/v1/chat-messages", Content_Length=str(len(body)))
    status, answer = raw(home, said, body)
    assert (status, answer["code"]) == (413, "request_entity_too_large")
    parts = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    unsaid = head(chat_key, "/v1/chat-messages", Transfer_Encoding="chunked")
    status, answer = raw(home, unsaid, pieces + b"0\r\n\r\n")
    assert (status, answer["code"]) == (413, "request_entity_too_large")
    assert counts(home) == before


def test_what_is_refused_stores_nothing(home: Home, chat_key: str, order: dict[str, Any]) -> None:
    before = counts(home)
    json_type = {"Content-Type": "application/json"}
    elf = {"file": ("a.txt", b"\x7fELF\x02\x01\x01" + bytes(64))}
    untold, wrong = {"amount": 1}, {"part": "wheel motor", "amount": "x"}
    cases: list[tuple[int, str, str, str, str, dict[str, Any]]] = [
        (400, "invalid_param", "query", chat_key, "chat-messages", {"json": {**RUN, "query": 7}}),
        (400, "invalid_param", "colour", chat_key, "chat-messages", {"json": {**RUN, "colour": "red"}}),
        (400, "bad_request", "", chat_key, "chat-messages", {"content": b"{", "headers": json_type}),
        (400, "not_workflow_app", "", chat_key, "workflows/run", {"json": {"inputs": {}, "user": "ada"}}),
        (
            415,
            "unsupported_file_type",
            "program",
            chat_key,
            "files/upload",
            {"files": elf, "data": {"user": "ada"}},
        ),
        (400, "invalid_param", "part", order["api_key"], "workflows/run", {"json": {"inputs": untold, "user": "ada"}}),
        (400, "invalid_param", "amount", order["api_key"], "workflows/run", {"json": {"inputs": wrong, "user": "ada"}}),
    ]
    for status, code, place, key, path, request in cases:
        with home.up.client(key) as web:
            answer = web.post(f"/v1/{path}", **request)
        body = answer.json()
        assert (answer.status_code, body["code"], body["status"]) == (status, code, status), body
        assert place in body["message"].lower() + str(body.get("params")), body
    assert counts(home) == before
