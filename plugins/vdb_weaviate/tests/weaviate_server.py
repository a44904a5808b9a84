"""A Weaviate server for tests, in memory, on both of its interfaces: what the vendor publishes of them, and no more.

`python weaviate_server.py --port 8080 --grpc-port 50051 --folder DIR [--key KEY] [--old]`

A request with a field that is not published, with one that this stand-in does not know, or of another shape than the
vendor's client would give is refused. `--old` is a server that does not count (before 1.29). What it holds is in DIR
when it is started again.
"""

from __future__ import annotations

import argparse
import json
import pickle
import signal
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from weaviate_engine import MOST, Collection, Object, Refused, check_collection
from weaviate_messages import classes, has_unknown

MESSAGE = 10 * 1024 * 1024
SEARCHES = {"collection", "tenant", "properties", "metadata", "limit", "after", "filters", "bm25_search", "near_vector"}
SEARCHES |= {"uses_123_api", "uses_125_api", "uses_127_api"}
METADATA = {"uuid", "vector", "distance", "score"}
METHODS = {
    "Search": ("SearchRequest", "SearchReply"),
    "BatchObjects": ("BatchObjectsRequest", "BatchObjectsReply"),
    "BatchDelete": ("BatchDeleteRequest", "BatchDeleteReply"),
    "Aggregate": ("AggregateRequest", "AggregateReply"),
}
PUBLISHED = classes()


class Holdings:
    """All collections."""

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self.collections: dict[str, Collection] = pickle.loads(kept.read_bytes()) if kept.is_file() else {}
        self.lock = threading.Lock()

    def save(self) -> None:
        with self.lock:
            self.kept.write_bytes(pickle.dumps(self.collections))

    def collection(self, name: str) -> Collection:
        if name not in self.collections:
            raise Refused(f"could not find class {name} in schema", 404)
        return self.collections[name]

    # -- the REST interface ----------------------------------------------------------------------------------------

    def rest(self, method: str, path: list[str], body: Any) -> tuple[int, Any]:
        match method, path:
            case "GET", ["meta"]:
                return 200, {"hostname": "http://[::]:8080", "version": "1.32.0", "grpcMaxMessageSize": MESSAGE}
            case "POST", ["schema"]:
                check_collection(body)
                taken = {name.lower() for name in self.collections}
                if body["class"].lower() in taken:
                    raise Refused(f"class name {body['class']} already exists")
                self.collections[body["class"]] = Collection(body)
                return 200, body
            case "GET", ["schema", name]:
                return 200, self.collection(name).body
            case "DELETE", ["schema", name]:
                self.collections.pop(name, None)
                return 200, None
            case "GET", ["schema", name, "tenants", tenant]:
                found = self.collection(name)
                found.check_tenancy(tenant)
                if tenant not in found.tenants:
                    raise Refused(f"tenant {tenant} not found", 404)
                return 200, {"name": tenant, "activityStatus": "HOT"}
            case "DELETE", ["schema", name, "tenants"]:
                if not isinstance(body, list) or not all(isinstance(item, str) for item in body):
                    raise Refused("tenants are a list of names")
                found = self.collection(name)
                for tenant in body:
                    found.check_tenancy(tenant)
                    found.tenants.pop(tenant, None)
                return 200, None
        raise Refused(f"path {'/'.join(path)} was not found", 404)

    # -- the gRPC interface ----------------------------------------------------------------------------------------

    def search(self, request: Any) -> Any:
        known(request, SEARCHES)
        known(request.metadata, METADATA)
        if not (request.uses_123_api and request.uses_125_api and request.uses_127_api):
            raise Refused("this stand-in answers in the newest form alone")
        limit = request.limit or 10
        if limit > MOST:
            raise Refused("query maximum results exceeded")
        collection = self.collection(request.collection)
        wanted = list(request.properties.non_ref_properties)
        for name in wanted:
            collection.property(name)
        shard = collection.tenant(request.tenant)
        near, words = request.HasField("near_vector"), request.HasField("bm25_search")
        filters = request.filters if request.HasField("filters") else None
        if near + words + bool(request.after) > 1 or (request.after and filters is not None):
            raise Refused("other params cannot be set with after or search parameters")
        listed = not (near or words or filters is not None)
        objects = shard.after(request.after, limit) if listed else collection.left(shard, filters)
        scored: list[tuple[Object, float]]
        if near:
            known(request.near_vector, {"vector_bytes"})
            scored = collection.near(shard, objects, request.near_vector.vector_bytes)
        elif words:
            known(request.bm25_search, {"query", "properties"})
            scored = collection.words(shard, objects, request.bm25_search.query, list(request.bm25_search.properties))
        else:
            scored = [(held, 0.0) for held in objects]
        reply = PUBLISHED["SearchReply"]()
        for held, score in scored[:limit]:
            add_result(reply.results.add(), held, score, request.metadata, wanted)
        return reply

    def batch_objects(self, request: Any) -> Any:
        reply = PUBLISHED["BatchObjectsReply"]()
        for index, object in enumerate(request.objects):
            known(object, {"uuid", "properties", "collection", "tenant", "vector_bytes"})
            known(object.properties, {"non_ref_properties", "text_array_properties"})
            if object.collection not in self.collections:  # the server makes one, of what it sees
                self.collections[object.collection] = Collection({"class": object.collection, "vectorizer": "none"})
            try:
                self.collections[object.collection].put(
                    object.tenant, object.uuid, values_of(object.properties), object.vector_bytes
                )
            except Refused as exc:
                reply.errors.add(index=index, error=str(exc))
        return reply

    def batch_delete(self, request: Any) -> Any:
        known(request, {"collection", "filters", "tenant"})
        if not request.HasField("filters"):
            raise Refused("no filters in batch delete request")
        collection = self.collection(request.collection)
        shard = collection.tenant(request.tenant)
        objects = collection.left(shard, request.filters)
        for held in objects[:MOST]:
            shard.remove(held.id)
        return PUBLISHED["BatchDeleteReply"](matches=len(objects), successful=len(objects[:MOST]))

    def aggregate(self, request: Any) -> Any:
        known(request, {"collection", "tenant", "objects_count", "filters"})
        collection = self.collection(request.collection)
        shard = collection.tenant(request.tenant)
        counted = len(collection.numbers(shard, request.filters) if request.HasField("filters") else shard.objects)
        return PUBLISHED["AggregateReply"](single_result={"objects_count": counted})


def known(message: Any, fields: set[str]) -> None:
    """Nothing is set but what this stand-in knows."""
    more = {field.name for field, _ in message.ListFields()} - fields
    if more:
        raise Refused(f"this stand-in does not know {sorted(more)}")


def values_of(properties: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for entry in properties.non_ref_properties.fields:
        known(entry.value, {"string_value"})
        values[entry.key] = entry.value.string_value
    for entry in properties.text_array_properties:
        if not entry.values:
            raise Refused("an empty list is told by empty_list_props")
        values[entry.prop_name] = list(entry.values)
    return values


def add_result(result: Any, held: Object, score: float, metadata: Any, wanted: list[str]) -> None:
    if metadata.uuid:
        result.metadata.id = held.id
        result.metadata.id_as_bytes = bytes.fromhex(held.id.replace("-", "")).lstrip(b"\0")
    if metadata.vector:
        result.metadata.vector_bytes = struct.pack(f"<{len(held.vector)}f", *held.vector)
    if metadata.distance:
        result.metadata.distance, result.metadata.distance_present = score, True
    if metadata.score:
        result.metadata.score, result.metadata.score_present = score, True
    fields = result.properties.non_ref_props.fields
    for name in wanted:
        fields.add(key=name).value.text_value = held.values[name]


def grpc_server(holdings: Holdings, port: int, key: str, old: bool) -> grpc.Server:
    """The service, with the codes of the real one: what it refuses is UNKNOWN."""

    def behaviour(name: str, handler: Any) -> Any:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            told = dict(context.invocation_metadata()).get("authorization", "")
            if key and told != f"Bearer {key}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "anonymous access not enabled")
            if old and name == "Aggregate":
                context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown method Aggregate")
            if has_unknown(request):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a field that is not published")
            try:
                with holdings.lock:
                    return handler(request)
            except Refused as exc:
                return context.abort(grpc.StatusCode.UNKNOWN, str(exc))

        sent, answered = METHODS[name]
        return grpc.unary_unary_rpc_method_handler(
            answer, PUBLISHED[sent].FromString, PUBLISHED[answered].SerializeToString
        )

    handlers = {
        "Search": holdings.search,
        "BatchObjects": holdings.batch_objects,
        "BatchDelete": holdings.batch_delete,
        "Aggregate": holdings.aggregate,
    }
    lengths = [("grpc.max_receive_message_length", MESSAGE), ("grpc.max_send_message_length", MESSAGE)]
    server = grpc.server(ThreadPoolExecutor(8), options=[*lengths, ("grpc.so_reuseport", 0)])
    methods = {name: behaviour(name, handler) for name, handler in handlers.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("weaviate.v1.Weaviate", methods),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    return server


def handler_of(holdings: Holdings, key: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self.reply(*self.answer())

        do_POST = do_DELETE = do_PUT = do_GET

        def answer(self) -> tuple[int, Any]:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if key and self.headers.get("Authorization") != f"Bearer {key}":
                return 401, {"code": 401, "message": "anonymous access not enabled"}
            version, *path = self.path.strip("/").split("/")
            try:
                body = json.loads(sent) if sent else None
                if version != "v1" or (sent and self.headers.get("Content-Type") != "application/json"):
                    raise Refused(f"path {self.path} was not found", 404)
                with holdings.lock:
                    return holdings.rest(self.command, path, body)
            except Refused as exc:
                return exc.status, {"error": [{"message": str(exc)}]}
            except ValueError:
                return 400, {"code": 400, "message": "parsing body"}

        def reply(self, status: int, body: Any) -> None:
            content = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--grpc-port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--old", action="store_true")
    given = parser.parse_args()
    holdings = Holdings(given.folder / "holdings")
    service = grpc_server(holdings, given.grpc_port, given.key, given.old)
    service.start()
    rest = ThreadingHTTPServer(("127.0.0.1", given.port), handler_of(holdings, given.key))
    rest.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=rest.shutdown).start())
    rest.serve_forever()
    service.stop(0).wait()
    holdings.save()


if __name__ == "__main__":
    main()
