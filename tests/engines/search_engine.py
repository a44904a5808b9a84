"""A search engine for tests, in memory: what OpenSearch and its relatives document, and not a key more.

`python search_engine.py --port 9200 --folder DIR --dialect opensearch [--user NAME --password WORD] [--signed REGION]`

It keeps what is easy to get wrong: documents are on the shard of their routing value and nowhere else, a search sees a
write only after a refresh, a result is at most 10,000 long, lists and nesting have their limits, a bulk makes an index
that is missing, and whatever it does not know is refused with 400. What it holds is in DIR when it is started again.
It is exact where an engine is approximate, and has no analyzers but `whitespace`.
"""

from __future__ import annotations

import argparse
import base64
import json
import pickle
import re
import signal
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from search_engine_index import DIALECTS, Index, Refused

Answer = tuple[int, Any]
SHARDS = 3
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,254}")


#: What each says of itself, where that is documented.
VERSIONS = {
    "opensearch": {"distribution": "opensearch", "number": "2.19.1"},
    "huawei": {"number": "7.10.2", "build_flavor": "oss", "lucene_version": "8.7.0"},
}


class Cluster:
    """All indexes, and the requests on them."""

    def __init__(self, dialect: str, kept: Path) -> None:
        self.dialect = DIALECTS[dialect]
        self.version = VERSIONS.get(dialect)
        self.kept = kept
        self.indexes: dict[str, Index] = pickle.loads(kept.read_bytes()) if kept.is_file() else {}
        self.lock = threading.Lock()

    def save(self) -> None:
        self.kept.write_bytes(pickle.dumps(self.indexes))

    def answer(self, method: str, path: str, params: dict[str, str], body: bytes, kind: str) -> Answer:
        if (method, path) == ("GET", "/") and self.version:
            known(params)
            return 200, {"version": self.version}
        name, _, action = path.strip("/").partition("/")
        if not NAME.fullmatch(name):
            raise Refused(400, "invalid_index_name_exception", f"Invalid index name [{name}]")
        match method, action:
            case "PUT", "":
                known(params)
                return self.create(name, json_of(body, kind))
            case "DELETE", "":
                known(params)
                self.index(name)
                del self.indexes[name]
                return 200, {"acknowledged": True}
            case "GET", "_mapping":
                known(params)
                return 200, {name: {"mappings": self.index(name).mappings}}
            case "POST", "_bulk":
                known(params, "refresh")
                return self.bulk(name, params.get("refresh", "false"), lines_of(body, kind))
            case "POST", "_search":
                known(params, "routing")
                return 200, self.index(name).search(json_of(body, kind), shard_of(params))
            case "POST", "_delete_by_query":
                known(params, "routing", "refresh", "conflicts")
                refresh = params.get("refresh", "false")
                if refresh not in ("true", "false") or params.get("conflicts", "abort") not in ("abort", "proceed"):
                    raise Refused(400, "illegal_argument_exception", f"failed to parse {params}")
                deleted = self.index(name).delete(json_of(body, kind), shard_of(params), refresh == "true")
                return 200, {"deleted": deleted, "failures": [], "version_conflicts": 0, "timed_out": False}
        raise Refused(405, "method_not_allowed", f"Incorrect HTTP method for uri [{path}] and method [{method}]")

    def index(self, name: str) -> Index:
        if name not in self.indexes:
            raise Refused(404, "index_not_found_exception", f"no such index [{name}]")
        return self.indexes[name]

    def create(self, name: str, body: dict[str, Any]) -> Answer:
        if name in self.indexes:
            raise Refused(400, "resource_already_exists_exception", f"index [{name}/x] already exists")
        self.indexes[name] = Index(self.dialect, body, SHARDS)
        return 200, {"acknowledged": True, "shards_acknowledged": True, "index": name}

    def bulk(self, name: str, refresh: str, lines: list[Any]) -> Answer:
        if refresh not in ("true", "false", "wait_for"):
            raise Refused(400, "illegal_argument_exception", f"Unknown value for refresh: [{refresh}].")
        if len(lines) % 2:
            raise Refused(400, "illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]")
        index = self.indexes.setdefault(name, Index(self.dialect, {}, SHARDS))
        items, touched = [], set()
        for action, source in zip(lines[::2], lines[1::2], strict=True):
            if set(action) != {"index"} or not {"_id"} <= set(action["index"]) <= {"_id", "routing"}:
                raise Refused(400, "illegal_argument_exception", f"Malformed action/metadata line {action}")
            target = action["index"]
            shard = zlib.crc32(target.get("routing", target["_id"]).encode()) % SHARDS
            try:
                index.put(shard, target["_id"], source)
                items.append({"index": {"_id": target["_id"], "status": 201}})
            except Refused as exc:
                items.append({"index": {"_id": target["_id"], "status": exc.status, "error": exc.error}})
            touched.add(shard)
        if refresh != "false":
            index.refresh(touched)
        return 200, {"errors": any("error" in item["index"] for item in items), "items": items}


def known(params: dict[str, str], *names: str) -> None:
    unknown = set(params) - set(names)
    if unknown:
        raise Refused(400, "illegal_argument_exception", f"request contains unrecognized parameters: {unknown}")


def shard_of(params: dict[str, str]) -> list[int]:
    """The shards of routing values, which commas divide; without any, all."""
    values = params.get("routing", "").split(",")
    return sorted({zlib.crc32(value.encode()) % SHARDS for value in values}) if values != [""] else list(range(SHARDS))


def json_of(body: bytes, kind: str) -> dict[str, Any]:
    if kind != "application/json":
        raise Refused(406, "media_type_header_exception", f"Content-Type header [{kind}] is not supported")
    try:
        return dict(json.loads(body))
    except ValueError as exc:
        raise Refused(400, "parsing_exception", str(exc)) from exc


def lines_of(body: bytes, kind: str) -> list[Any]:
    if kind != "application/x-ndjson" or not body.endswith(b"\n"):
        raise Refused(400, "illegal_argument_exception", "The bulk request must be lines that end with a newline [\\n]")
    if len(body) > 100_000_000:
        raise Refused(413, "content_too_long", "over http.max_content_length")
    return [json.loads(line) for line in body.splitlines()]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    cluster: Cluster
    basic = ""
    signed = ""

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        split = urlsplit(self.path)
        kind = (self.headers.get("content-type") or "").partition(";")[0]
        try:
            self.check_credentials()
            with self.cluster.lock:
                params = dict(parse_qsl(split.query))
                status, answer = self.cluster.answer(self.command, split.path, params, body, kind)
        except Refused as exc:
            status, answer = exc.status, {"error": {"root_cause": [exc.error], **exc.error}, "status": exc.status}
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            error = {"type": "parsing_exception", "reason": f"{type(exc).__name__}: {exc}"}
            status, answer = 400, {"error": error, "status": 400}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json; charset=UTF-8")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def check_credentials(self) -> None:
        given = self.headers.get("authorization") or ""
        if self.basic and given != self.basic:
            raise Refused(401, "security_exception", "unable to authenticate user for REST request")
        scope = rf"AWS4-HMAC-SHA256 Credential=[^/]+/\d{{8}}/{self.signed}/es/aws4_request"
        if self.signed and not (
            re.fullmatch(scope + r", SignedHeaders=.+, Signature=\w{64}", given) and self.headers.get("x-amz-date")
        ):
            raise Refused(403, "security_exception", "The request signature does not match")

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def log_message(self, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--dialect", choices=sorted(DIALECTS), required=True)
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--signed", default="")
    args = parser.parse_args()
    cluster = Cluster(args.dialect, args.folder / "indexes")
    Handler.cluster, Handler.signed = cluster, args.signed
    if args.user:
        Handler.basic = f"Basic {base64.b64encode(f'{args.user}:{args.password}'.encode()).decode()}"
    ThreadingHTTPServer.daemon_threads = True
    server = ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(0.05)
    with cluster.lock:
        cluster.save()


if __name__ == "__main__":
    main()
