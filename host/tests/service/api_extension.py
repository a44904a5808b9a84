"""An API-based extension on loopback: judges by the word BAD, masks the word SECRET, and knows the weather."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dify_kernel.testing.loopback import Answer, Asked, json_answer, loopback

__all__ = ["KEY", "ApiExtensionServer", "api_extension"]

KEY = "extension-key-1234"


class ApiExtensionServer:
    """Keeps what it was asked; `broken` makes it fail. It answers when `gate` is set, as it is at first."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.broken = False
        self.gate = threading.Event()
        self.gate.set()

    def points(self, point: str) -> list[dict[str, Any]]:
        """The parameters of every question of one kind."""
        return [params for name, params in self.asked if name == point]

    def answer(self, asked: Asked) -> Answer:
        """To those with the key."""
        body = asked.json()
        if asked.headers["authorization"] != f"Bearer {KEY}":
            return json_answer(401, {"error": "who are you"})
        if self.broken:
            return json_answer(500, {"error": "out of order"})
        self.asked.append((body["point"], body["params"]))
        self.gate.wait(60)
        return json_answer(200, _ANSWERS[body["point"]](body["params"]))


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
    extension = ApiExtensionServer()
    with loopback(extension.answer) as server:
        extension.url = f"{server.url}/extension"
        yield extension
        extension.gate.set()
