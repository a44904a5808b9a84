"""An index of Upstash for tests, in memory: what its REST documents and the vendor's client say, and not a key more.

`python index_service.py --port 8000 --folder DIR --dimension 16 --token WORD`

It keeps what is easy to get wrong: a query sees a write, and loses a deleted record, only after it was asked once more;
it compares only so many records with a filter; fetching and ranging see everything at once; a range gives its records
in no order of their ids; a namespace is made by its first use; numbers of vectors are of single precision. Whatever it
does not know is refused with 400. What it holds is in DIR when it is started again. It compares every vector where the
service follows a graph.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import json
import math
import re
import threading
from array import array
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import mul
from pathlib import Path
from typing import Any
from urllib.parse import unquote

LARGEST = 1_000
"""The longest list that a query or a range gives, and the most records that an upsert takes."""
BUDGET = 2_000
"""How many of the nearest records are compared with a filter."""
METADATA, DATA = 48_000, 1_000_000
NAMESPACED = ("upsert", "query", "fetch", "range", "delete", "delete-namespace")
FLAGS = {"includeVectors": bool, "includeMetadata": bool, "includeData": bool}
Test = Callable[[dict[str, Any]], bool]


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Namespace:
    """Records as they are, and as queries see them."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.seen: dict[str, dict[str, Any]] = {}
        self.late: list[str] = []
        self.asked = 0

    def write(self, id: str, item: dict[str, Any] | None) -> None:
        if item is None:
            del self.items[id]
        else:
            self.items[id] = item
        self.late.append(id)
        self.asked = 0

    def catch_up(self) -> None:
        """What came before the last question is seen by the next one."""
        self.asked += 1
        if self.asked < 2:
            return
        for id in self.late:
            if id in self.items:
                self.seen[id] = self.items[id]
            else:
                self.seen.pop(id, None)
        self.late = []


class Service:
    """The index, and the requests on it."""

    def __init__(self, dimension: int, folder: Path) -> None:
        self.dimension = dimension
        self.log = folder / "requests.jsonl"
        self.spaces: dict[str, Namespace] = {"": Namespace()}
        self.lock = threading.Lock()
        for line in self.log.read_text().splitlines() if self.log.is_file() else []:
            action, name, body = json.loads(line)
            self.spaces.setdefault(name, Namespace())  # reading may have made it
            self.act(action, name, body)

    def answer(self, path: str, body: Any) -> Any:
        """The result of a request that was let in."""
        action, _, name = path.strip("/").partition("/")
        if action in ("info", "list-namespaces"):
            if name or body is not None:
                raise Refused(400, f"{action} takes nothing")
            return self.info() if action == "info" else list(self.spaces)
        if action not in NAMESPACED or "/" in name:
            raise Refused(404, f"Not found: {path}")
        result = self.act(action, unquote(name), body)
        if action in ("upsert", "delete", "delete-namespace"):
            with self.log.open("a") as log:
                log.write(json.dumps([action, unquote(name), body]) + "\n")
        return result

    def act(self, action: str, name: str, body: Any) -> Any:
        if action == "delete-namespace":
            if body is not None or not name:
                raise Refused(400, "the default namespace stays, and nothing else is asked")
            if self.spaces.pop(name, None) is None:
                raise Refused(404, f"Namespace {name} for the index does not exist")
            return "Success"
        space = self.spaces.setdefault(name, Namespace())
        return {
            "upsert": self.upsert,
            "query": self.query,
            "fetch": self.fetch,
            "range": self.range,
            "delete": self.delete,
        }[action](space, body)

    def info(self) -> dict[str, Any]:
        every = {
            name: {"vectorCount": len(space.seen), "pendingVectorCount": len(space.late)}
            for name, space in self.spaces.items()
        }
        count = sum(len(space.seen) for space in self.spaces.values())
        return {
            "vectorCount": count,
            "pendingVectorCount": 0,
            "indexSize": count * self.dimension * 4,
            "dimension": self.dimension,
            "similarityFunction": "COSINE",
            "denseIndex": {"dimension": self.dimension, "similarityFunction": "COSINE", "embeddingModel": ""},
            "namespaces": every,
        }

    def upsert(self, space: Namespace, body: Any) -> str:
        items = body if isinstance(body, list) else [body]
        if not 1 <= len(items) <= LARGEST:
            raise Refused(400, f"{len(items)} vectors")
        for item in items:
            known(item, {"id": str, "vector": list, "metadata": dict, "data": str}, ("id", "vector"))
            if not item["id"]:
                raise Refused(400, "Vector id cannot be empty")
            if len(json.dumps(item.get("metadata", {})).encode()) > METADATA:
                raise Refused(400, "Metadata is too large")
            if len(item.get("data", "").encode()) > DATA:
                raise Refused(400, "Data is too large")
            item["vector"] = self.vector(item["vector"])
        for item in items:
            space.write(item["id"], item)
        return "Success"

    def vector(self, numbers: list[Any]) -> list[float]:
        if len(numbers) != self.dimension:
            raise Refused(422, f"Invalid vector dimension: {len(numbers)}, expected: {self.dimension}")
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise Refused(400, "A vector holds numbers")
        if not any(numbers):
            raise Refused(400, "A vector of zeros has no cosine")
        return array("f", numbers).tolist()

    def query(self, space: Namespace, body: Any) -> list[dict[str, Any]]:
        known(body, {"vector": list, "topK": int, "filter": str, **FLAGS}, ("vector",))
        limit = body.get("topK", 10)
        if not 1 <= limit <= LARGEST:
            raise Refused(400, f"topK is {limit}; it is 1 to {LARGEST}")
        vector = self.vector(body["vector"])
        test = parsed(body["filter"]) if body.get("filter") else None
        space.catch_up()
        length = math.hypot(*vector)
        scored = [
            (sum(map(mul, vector, item["vector"])) / (length * math.hypot(*item["vector"])), item)
            for item in space.seen.values()
        ]
        wanted = limit if test is None else BUDGET
        best = heapq.nlargest(wanted, scored, key=lambda pair: pair[0])
        found = [pair for pair in best if test is None or test(pair[1].get("metadata", {}))][:limit]
        return [{"score": (1 + score) / 2, **shown(item, body)} for score, item in found]

    def fetch(self, space: Namespace, body: Any) -> list[dict[str, Any] | None]:
        known(body, {"ids": list, **FLAGS}, ("ids",))
        ids = strings(body["ids"])
        return [shown(space.items[id], body) if id in space.items else None for id in ids]

    def range(self, space: Namespace, body: Any) -> dict[str, Any]:
        known(body, {"cursor": str, "limit": int, "prefix": str, **FLAGS}, ("cursor", "limit"))
        if not 1 <= body["limit"] <= LARGEST:
            raise Refused(400, f"limit is {body['limit']}; it is 1 to {LARGEST}")
        if not re.fullmatch(r"\d*", body["cursor"]):
            raise Refused(400, "Invalid cursor")
        start, end = int(body["cursor"] or 0), int(body["cursor"] or 0) + body["limit"]
        some = [item for id, item in space.items.items() if id.startswith(body.get("prefix", ""))]
        some.sort(key=lambda item: hashlib.sha1(item["id"].encode()).digest())
        vectors = [shown(item, body) for item in some[start:end]]
        return {"nextCursor": str(end) if end < len(some) else "", "vectors": vectors}

    def delete(self, space: Namespace, body: Any) -> dict[str, int]:
        known(body, {"ids": list}, ("ids",))
        ids = [id for id in dict.fromkeys(strings(body["ids"])) if id in space.items]
        for id in ids:
            space.write(id, None)
        return {"deleted": len(ids)}


def known(body: Any, fields: dict[str, type], needed: tuple[str, ...]) -> None:
    """Refuse a body with fields that are not documented, that lacks some, or whose values are of another type."""
    if not isinstance(body, dict):
        raise Refused(400, "an object is asked for")
    for name, value in body.items():
        if name not in fields or type(value) is not fields[name]:
            raise Refused(400, f"unknown field or wrong type: {name}")
    for name in needed:
        if name not in body:
            raise Refused(400, f"{name} is missing")


def strings(values: list[Any]) -> list[str]:
    if not values or len(values) > LARGEST or not all(isinstance(value, str) for value in values):
        raise Refused(400, "ids are some strings")
    return values


def shown(item: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """What a request asked for of a record; what the record has not is left out."""
    fields = {"vector": "includeVectors", "metadata": "includeMetadata", "data": "includeData"}
    return {"id": item["id"], **{name: item[name] for name, flag in fields.items() if asked.get(flag) and name in item}}


# -- filters: `=`, `IN`, `AND`, `OR` and parentheses ---------------------------------------------------------------

WORDS = re.compile(
    r"\s*(?:(?P<text>'[^']*'|\"[^\"]*\")|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w.]*)|(?P<sign>[=(),]))"
)


def parsed(text: str) -> Test:
    """The test that a filter is; AND binds before OR."""
    words: list[tuple[str, str]] = []
    place = 0
    text = text.rstrip()
    while place < len(text):
        found = WORDS.match(text, place)
        if found is None or found.lastgroup is None:
            raise Refused(400, f"Invalid filter near {text[place : place + 20]!r}")
        words.append((found.lastgroup, found[found.lastgroup]))
        place = found.end()
    test = either(words)
    if words:
        raise Refused(400, f"Invalid filter at {words[0][1]!r}")
    return test


def either(words: list[tuple[str, str]]) -> Test:
    tests = [both(words)]
    while taken(words, "OR"):
        tests.append(both(words))
    return lambda metadata: any(test(metadata) for test in tests)


def both(words: list[tuple[str, str]]) -> Test:
    tests = [single(words)]
    while taken(words, "AND"):
        tests.append(single(words))
    return lambda metadata: all(test(metadata) for test in tests)


def single(words: list[tuple[str, str]]) -> Test:
    if taken(words, "("):
        test = either(words)
        must(words, ")")
        return test
    kind, name = words.pop(0) if words else ("", "")
    if kind != "name":
        raise Refused(400, f"Invalid filter at {name!r}")
    if taken(words, "="):
        values = [literal(words)]
    else:
        must(words, "IN")
        must(words, "(")
        values = [literal(words)]
        while taken(words, ","):
            values.append(literal(words))
        must(words, ")")
    return lambda metadata: any(value_at(metadata, name) == value for value in values)


def taken(words: list[tuple[str, str]], word: str) -> bool:
    if words and words[0][0] in ("name", "sign") and words[0][1].upper() == word:
        words.pop(0)
        return True
    return False


def must(words: list[tuple[str, str]], word: str) -> None:
    if not taken(words, word):
        raise Refused(400, f"Invalid filter: {word} is missing")


def literal(words: list[tuple[str, str]]) -> Any:
    kind, text = words.pop(0) if words else ("", "")
    if kind == "text":
        return text[1:-1]
    if kind == "number":
        return float(text)
    raise Refused(400, f"Invalid filter: {text!r} is no literal")


def value_at(metadata: Any, name: str) -> Any:
    """The value behind dots, None when there is none."""
    for part in name.split("."):
        if not isinstance(metadata, dict):
            return None
        metadata = metadata.get(part)
    return metadata


# -- the server -----------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Lets in who has the token; only POST, as the vendor's client does."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: Service
    token: str

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            if self.headers.get("authorization") != f"Bearer {self.token}":
                raise Refused(401, "Unauthorized: Invalid auth token")
            with self.service.lock:
                self.reply(200, {"result": self.service.answer(self.path, json.loads(data) if data else None)})
        except Refused as exc:
            self.reply(exc.status, {"error": str(exc), "status": exc.status})
        except ValueError as exc:
            self.reply(400, {"error": f"Invalid JSON: {exc}", "status": 400})

    def reply(self, status: int, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--folder", type=Path, required=True)
    arguments.add_argument("--dimension", type=int, required=True)
    arguments.add_argument("--token", required=True)
    asked = arguments.parse_args()
    Handler.service = Service(asked.dimension, asked.folder)
    Handler.token = asked.token
    Server(("127.0.0.1", asked.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
