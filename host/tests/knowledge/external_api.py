"""An external knowledge API on loopback: two records about tea under the knowledge id `drinks`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dify_kernel.testing.loopback import Answer, Asked, json_answer, loopback

__all__ = ["KEY", "ExternalServer", "external_server"]

KEY = "external-key-1234"
RECORDS: list[dict[str, Any]] = [
    {"content": "Tea is grown in hills.", "score": 0.4, "title": "hills.txt", "metadata": {"page": 2}},
    {"content": "Tea is drunk in cups.", "score": 0.98, "title": "cups.txt", "metadata": None},
]


class ExternalServer:
    """Keeps what it was asked; `answer` replaces what it says to everybody, as (status, body)."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.answer: tuple[int, str] | None = None

    def reply(self, asked: Asked) -> Answer:
        """What it says to one request."""
        body = asked.json()
        if self.answer is not None:
            status, text = self.answer
            return status, {"Content-Type": "application/json"}, text.encode()
        if (asked.method, asked.path) != ("POST", "/v1/retrieval"):
            return 404, {}, b"not here"
        if asked.headers["authorization"] != f"Bearer {KEY}":
            return json_answer(403, {"error_code": 1002, "error_msg": "Authorization failed"})
        if not body:
            return 400, {}, b"what is the question"
        self.asked.append(body)
        if body["knowledge_id"] != "drinks":
            return json_answer(400, {"error_code": 2001, "error_msg": "The knowledge does not exist"})
        return json_answer(200, {"records": RECORDS})


@contextmanager
def external_server() -> Iterator[ExternalServer]:
    """A running server."""
    made = ExternalServer()
    with loopback(made.reply) as server:
        made.url = f"{server.url}/v1"
        yield made
