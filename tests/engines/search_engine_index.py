"""One index of the search engine for tests: mappings, shards, and the queries of each dialect."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

Json = dict[str, Any]
Score = Callable[[str], float | None]
"""The score of a document by its id; None when it does not match."""

WINDOW, MOST_TERMS, DEEPEST, MOST_CLAUSES = 10_000, 65_536, 30, 1_024


class Refused(Exception):
    """What a client is told instead of an answer."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.error = {"type": kind, "reason": reason}


def bad(reason: str) -> Refused:
    return Refused(400, "parsing_exception", reason)


def only(value: Json, *names: str, of: str) -> Json:
    """The object, if it has no other key."""
    if not isinstance(value, dict) or set(value) - set(names):
        raise bad(f"[{of}] unknown field in {sorted(value)}")
    return value


class Shard:
    """The documents of a shard: as written, and as searches see them."""

    def __init__(self) -> None:
        self.written: dict[str, Json] = {}
        self.seen: dict[str, Json] = {}

    def refresh(self) -> None:
        self.seen = dict(self.written)


class Index:
    """The shards of an index and what its mappings allow."""

    def __init__(self, dialect: Json, body: Json, shards: int) -> None:
        only(body, "settings", "mappings", of="index")
        self.dialect = dialect
        self.mappings = body.get("mappings", {})
        only(self.mappings, "dynamic", "_meta", "properties", of="mappings")
        self.fields = self.mappings.get("properties", {})
        self.shards = [Shard() for _ in range(shards)]
        self.dimension = 0
        for field, mapping in self.fields.items():
            self._map(field, mapping, body.get("settings", {}).get("index", {}))

    def _map(self, field: str, mapping: Json, settings: Json) -> None:
        if mapping == {"type": "keyword"} or mapping == {"type": "text", "analyzer": "whitespace"}:
            return
        vector = dict(mapping)
        self.dimension = vector.pop("dimension", 0)
        if vector != self.dialect["field"] or not 1 <= self.dimension <= 16_000:
            raise Refused(400, "mapper_parsing_exception", f"Failed to parse mapping of [{field}]: {mapping}")
        if settings != self.dialect["settings"]:
            raise Refused(400, "illegal_argument_exception", f"unknown or missing setting: {settings}")

    def put(self, shard: int, id: str, source: Json) -> None:
        vector = source.get("vector")
        if self.dimension and (not isinstance(vector, list) or len(vector) != self.dimension or not any(vector)):
            raise Refused(400, "mapper_parsing_exception", "failed to parse field [vector]")
        for field, mapping in self.fields.items():
            values = source.get(field, [])
            for value in values if isinstance(values, list) else [values]:
                if mapping["type"] == "keyword" and len(str(value).encode()) > 32_766:
                    raise Refused(400, "illegal_argument_exception", f"immense term in field [{field}]")
        self.shards[shard].written[id] = source

    def refresh(self, shards: Iterable[int]) -> None:
        for shard in shards:
            self.shards[shard].refresh()

    def delete(self, body: Json, shards: list[int], refresh: bool) -> int:
        only(body, "query", of="delete_by_query")
        found = [(shard, id) for shard in shards for id, _ in self._matches(shard, body["query"])]
        for shard, id in found:
            self.shards[shard].written.pop(id, None)
        if refresh:
            self.refresh(range(len(self.shards)))
        return len(found)

    def search(self, body: Json, shards: list[int]) -> Json:
        allowed = ("query", "size", "sort", "search_after", "track_total_hits", "_source", *self.dialect["body"])
        only(body, *allowed, of="search")
        if any(body[key] != value for key, value in self.dialect["body"].items() if key in body):
            raise bad(f"unknown extension {body}")
        size = body.get("size", 10)
        if not 0 <= size <= WINDOW:
            raise Refused(400, "illegal_argument_exception", f"Result window is too large: [{size}] of [{WINDOW}]")
        hits = [(shard, id, score) for shard in shards for id, score in self._matches(shard, body["query"])]
        total, track = len(hits), body.get("track_total_hits", WINDOW)
        if "sort" in body:
            hits = self._sorted(hits, body)
        else:
            hits.sort(key=lambda hit: (-hit[2], hit[1]))
        found: Json = {"hits": [self._hit(hit, body) for hit in hits[:size]]}
        if track is not False:
            most = total if track is True else track
            found["total"] = {"value": min(total, most), "relation": "gte" if total > most else "eq"}
        return {"timed_out": False, "_shards": {"total": len(shards), "failed": 0}, "hits": found}

    def _sorted(self, hits: list[Any], body: Json) -> list[Any]:
        ((field, order),) = body["sort"][0].items()
        if len(body["sort"]) != 1 or order != "asc" or self.fields.get(field) != {"type": "keyword"}:
            raise bad(f"No mapping found for {body['sort']} in order to sort on")
        keyed = sorted((self.shards[shard].seen[id][field], shard, id, score) for shard, id, score in hits)
        (after,) = body.get("search_after", [""])
        return [(shard, id, score) for key, shard, id, score in keyed if key > after]

    def _hit(self, hit: Any, body: Json) -> Json:
        shard, id, score = hit
        source = self.shards[shard].seen[id]
        wanted = body.get("_source", list(source))
        shown = {field: source[field] for field in wanted if field in source}
        return {"_id": id, "_score": None if "sort" in body else score, "_source": shown}

    def _matches(self, shard: int, query: Json) -> list[tuple[str, float]]:
        score = Queries(self, self.shards[shard].seen).compiled(query)
        scored = ((id, score(id)) for id in self.shards[shard].seen)
        return [(id, value) for id, value in scored if value is not None]


class Queries:
    """Compiles queries over the documents of one shard."""

    def __init__(self, index: Index, documents: dict[str, Json]) -> None:
        self.index = index
        self.documents = documents

    def compiled(self, query: Json, depth: int = 1) -> Score:
        if depth > DEEPEST:
            raise bad("The nested depth of the query exceeds the maximum nested depth for queries set in [30]")
        ((kind, value),) = query.items()
        match kind:
            case "match_all" if not value:
                return lambda id: 1.0
            case "match_none" if not value:
                return lambda id: None
            case "term" | "terms":
                ((field, wanted),) = value.items()
                return self._terms(field, [wanted] if kind == "term" else wanted)
            case "range":
                ((field, bounds),) = value.items()
                return self._range(field, only(bounds, "gt", "gte", "lt", "lte", of="range"))
            case "match":
                return self._match(value)
            case "bool":
                return self._bool(
                    only(value, "must", "filter", "should", "must_not", "minimum_should_match", of="bool"), depth
                )
            case "script_score":
                return self._script(only(value, "query", "script", of="script_score"), depth)
            case "knn" | "vector" if kind == self.index.dialect["near"]:
                return self._near(value, depth)
        raise bad(f"unknown query [{kind}]")

    def _values(self, field: str, id: str) -> list[str]:
        if self.index.fields.get(field, {}).get("type") != "keyword":
            raise bad(f"[{field}] is no keyword")
        found = self.documents[id].get(field, [])
        return found if isinstance(found, list) else [found]

    def _terms(self, field: str, wanted: list[str]) -> Score:
        if len(wanted) > MOST_TERMS:
            raise bad(
                f"The number of terms [{len(wanted)}] used in the Terms Query request has exceeded [{MOST_TERMS}]"
            )
        some = set(wanted)
        return lambda id: 1.0 if not some.isdisjoint(self._values(field, id)) else None

    def _range(self, field: str, bounds: Json) -> Score:
        low, high = bounds.get("gte", bounds.get("gt", "")), bounds.get("lte", bounds.get("lt", "\U0010ffff"))
        open_low, open_high = "gt" in bounds, "lt" in bounds

        def within(value: str) -> bool:
            return (value > low if open_low else value >= low) and (value < high if open_high else value <= high)

        return lambda id: 1.0 if any(map(within, self._values(field, id))) else None

    def _match(self, value: Json) -> Score:
        ((field, inner),) = value.items()
        words = only(inner, "query", of="match")["query"].split()
        if self.index.fields.get(field, {}).get("type") != "text":
            raise bad(f"[{field}] is no text")
        if len(words) > MOST_CLAUSES:
            raise bad(f"too_many_clauses: maxClauseCount is set to {MOST_CLAUSES}")
        counts = {id: Counter(document[field].split()) for id, document in self.documents.items()}
        mean = sum(map(Counter.total, counts.values())) / max(1, len(counts))
        holding = {word: sum(word in found for found in counts.values()) for word in words}

        def score(id: str) -> float | None:
            found, total = counts[id], 0.0
            for word in words:
                if found[word]:
                    rare = math.log(1 + (len(counts) - holding[word] + 0.5) / (holding[word] + 0.5))
                    total += rare * found[word] / (found[word] + 1.2 * (0.25 + 0.75 * found.total() / mean))
            return total or None

        return score

    def _bool(self, value: Json, depth: int) -> Score:
        def inner(name: str) -> list[Score]:
            queries = value.get(name, [])
            return [self.compiled(query, depth + 1) for query in (queries if isinstance(queries, list) else [queries])]

        must, chosen, should, never = inner("must"), inner("filter"), inner("should"), inner("must_not")
        needed = value.get("minimum_should_match", 0 if must or chosen else 1) if should else 0

        def score(id: str) -> float | None:
            if any(each(id) is None for each in chosen) or any(each(id) is not None for each in never):
                return None
            scored = [each(id) for each in must]
            some = [found for each in should if (found := each(id)) is not None]
            if None in scored or len(some) < needed:
                return None
            return sum(found for found in scored if found is not None) + sum(some)

        return score

    def _script(self, value: Json, depth: int) -> Score:
        script, params = dict(value["script"]), dict(value["script"]["params"])
        vector = params.pop("vector")
        script["params"] = params
        if script != self.index.dialect["script"]:
            raise Refused(400, "script_exception", f"compile error in {script}")
        chosen, scale = self.compiled(value["query"], depth + 1), self.index.dialect["scale"]
        return lambda id: scale(self._cosine(id, vector)) if chosen(id) is not None else None

    def _near(self, value: Json, depth: int) -> Score:
        ((field, inner),) = value.items()
        limit = self.index.dialect["limit"]
        only(inner, "vector", limit, "filter", of=field)
        if (
            self.index.fields.get(field, {}).get("type") not in ("knn_vector", "vector")
            or not 1 <= inner[limit] <= WINDOW
        ):
            raise bad(f"failed to create query: [{field}]")
        chosen = self.compiled(inner["filter"], depth + 1) if "filter" in inner else lambda id: 1.0
        scored = [(self._cosine(id, inner["vector"]), id) for id in self.documents if chosen(id) is not None]
        nearest = {
            id: self.index.dialect["scale"](cosine) for cosine, id in sorted(scored, reverse=True)[: inner[limit]]
        }
        return nearest.get

    def _cosine(self, id: str, vector: list[float]) -> float:
        stored = self.documents[id]["vector"]
        if len(stored) != len(vector):
            raise bad(f"Query vector has invalid dimension: {len(vector)}. Dimension should be: {len(stored)}")
        return sum(a * b for a, b in zip(stored, vector, strict=True)) / (math.hypot(*stored) * math.hypot(*vector))


def one_plus(cosine: float) -> float:
    return max(0.0, 1 + cosine)


def strange(cosine: float) -> float:
    """A score in the right order that no one should take for a cosine."""
    return 1 / (1 + (1 - cosine) * 7)


_OPENSEARCH_METHOD = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
_HUAWEI_FIELD = {"indexing": True, "algorithm": "GRAPH", "metric": "cosine", "neighbors": 32, "efc": 128}
_LINDORM_METHOD = {"name": "hnsw", "engine": "lvector", "space_type": "l2"}

DIALECTS: dict[str, Json] = {
    "opensearch": {
        "settings": {"knn": True},
        "field": {"type": "knn_vector", "method": _OPENSEARCH_METHOD},
        "script": {"source": "Math.max(0.0, 1.0 + cosineSimilarity(params.vector, doc['vector']))", "params": {}},
        "near": "knn", "limit": "k", "scale": one_plus, "body": {},
    },
    "huawei": {
        "settings": {"vector": True},
        "field": {"type": "vector", **_HUAWEI_FIELD},
        "script": {"source": "vector_score", "lang": "vector", "params": {"field": "vector", "metric": "cosine"}},
        "near": "vector", "limit": "topk", "scale": strange, "body": {},
    },
    "lindorm": {
        "settings": {"knn": True, "number_of_shards": 4, "knn_routing": True},
        "field": {"type": "knn_vector", "method": _LINDORM_METHOD},
        "script": None,
        "near": "knn", "limit": "k", "scale": strange, "body": {"ext": {"lvector": {"filter_type": "pre_filter"}}},
    },
}  # fmt: skip
