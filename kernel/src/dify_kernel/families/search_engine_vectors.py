"""The store of every search engine that speaks documents, bulk and `_search`: one index a space, partitions by routing.

A plugin gives two things: an `Engine`, which carries requests by its vendor's client, and a `Dialect`, which says how
vectors are mapped and asked for. A partition is a keyword and the routing value, so its records are on one shard and a
search asks that one alone. Up to `exact_up_to` matching records are compared one by one, beyond that the engine's
index is asked. A scan goes on after the last id, which is unique and never changes: it needs no snapshot on the server.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, ClassVar, Protocol

import msgspec

from dify_kernel.contracts.lexical import query_terms
from dify_kernel.contracts.vector import (
    EngineVersion,
    Filter,
    Hit,
    Metadata,
    Page,
    Record,
    Space,
    VectorCapabilities,
    VectorStore,
)
from dify_kernel.contracts.vector_exact import full_text_pages, fused, over_fetch, pages, ranked, search_pages
from dify_kernel.contracts.vector_fit import native_name
from dify_kernel.contracts.vector_rules import (
    check_filter,
    check_limit,
    check_partition,
    check_query,
    check_records,
    check_space,
    clamp,
    cut,
    is_uuid,
    last_by_id,
    matches,
    unit,
)
from dify_kernel.errors import InvalidQuery, StoreUnavailable
from dify_kernel.families.search_engine_faults import fault_of, is_taken, stranger
from dify_kernel.families.search_engine_queries import Json, all_of, index_body, routing, to_document, within

__all__ = ["Answer", "Dialect", "Engine", "SearchEngineStore", "cosine_script", "index_path"]

#: The longest list an engine gives (`index.max_result_window`), and what goes into one request.
WINDOW = 10_000
PAGE = 500
BULK_RECORDS, BULK_BYTES = 500, 5_000_000
IDS = 5_000
#: An engine allows a query 1,024 clauses; a query with more words is found by its first ones.
WORDS = 1_000
ATTEMPTS = 10
#: For how long a partition passes for small, and of how many that is remembered.
SECONDS, REMEMBERED = 60.0, 10_000
SHOWN = ["page_content", "metadata"]
PREFIX = "dify_"

Answer = tuple[int, Any]
"""The status of a response and its decoded body."""


class Engine(Protocol):
    """Carries requests. Retries on a broken connection are its own; it raises StoreUnavailable when nobody answers."""

    async def request(self, method: str, path: str, params: dict[str, str], body: bytes | None) -> Answer:
        """Send a JSON body, or for `_bulk` lines of JSON; gives the answer whatever its status is."""
        ...

    async def close(self) -> None: ...


class Dialect(Protocol):
    """How an engine maps vectors and is asked for them; the field is called `vector`, and all vectors have length 1."""

    settings: Json
    """Settings of the index, without which it knows no vectors."""
    cosine_scores: bool
    """Whether `_score` of both searches is 1 + cosine. If not, scores come from the stored vectors."""
    vectors_in_fields: bool
    """Whether a stored vector is asked for by `fields`; if not, it is in the source."""
    exact_up_to: int
    """The most records that are compared one by one."""

    def field(self, dimension: int) -> Json:
        """The mapping of the field."""
        ...

    def exact(self, vector: list[float], query: Json) -> Json | None:
        """The body of a search that compares every record of a query; None: they are read and compared here."""
        ...

    def near(self, vector: list[float], top_k: int, query: Json) -> Json:
        """The body of a search for the nearest records of a query, which applies before the cut."""
        ...


def cosine_script(vector: list[float], query: Json, source: str) -> Json:
    """A search by a script that computes 1 + the cosine to `params.vector`, and no less than 0 by rounding."""
    return {"query": {"script_score": {"query": query, "script": {"source": source, "params": {"vector": vector}}}}}


class SearchEngineStore(VectorStore):
    """Records in a search engine. A subclass gives the dialect, the names for errors, and `connect`."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True)
    dialect: Dialect
    engine: str
    """The engine with its address, for errors."""
    setting: str
    """The variable of the address."""
    credentials: str
    """The variables of the credentials."""
    supported: ClassVar[str] = ""
    """Versions of the engine that the store is made for; nothing is asked where none are said."""

    def __init__(self) -> None:
        self._opened: Engine | None = None
        self._running: set[asyncio.Future[Answer]] = set()
        self._small: dict[tuple[str, str], tuple[float, bool]] = {}

    @abstractmethod
    async def connect(self) -> Engine:
        """Import the client and make an engine of it; nothing needs to be sent."""

    async def open(self) -> None:
        if self._opened is not None:
            return
        engine = await self.connect()
        if self._opened is None:
            self._opened = engine
        else:  # another call was faster
            await engine.close()

    async def close(self) -> None:
        engine, self._opened = self._opened, None
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if engine is not None:
            await engine.close()

    async def version(self) -> EngineVersion | None:
        self._engine()
        if not self.supported:
            return None
        status, answer = await self._request("GET", "/")
        if status >= 400:
            raise self._fault(status, answer)
        told = answer.get("version", {}) if isinstance(answer, dict) else {}
        name = self.engine.partition(" ")[0]
        return EngineVersion(name=name, version=str(told.get("number", "")), supported=self.supported)

    # -- spaces ------------------------------------------------------------------------------------------------

    async def create(self, space: Space) -> None:
        check_space(space, self.capabilities.max_dimension)
        held = await self._dimension(space)
        if held is None:
            body = index_body(space.dimension, self.dialect.settings, self.dialect.field(space.dimension))
            status, answer = await self._request("PUT", index_path(space), body=body)
            if status >= 400 and not is_taken(answer):
                raise self._fault(status, answer)
            held = await self._dimension(space) if status >= 400 else space.dimension
        if not held:
            message = f"An index with the name of space {space.name} exists, {index_path(space)}, which is no space."
            raise InvalidQuery(message, hint="Look at what is in it, and delete it.", setting=self.setting)
        if held != space.dimension:
            raise InvalidQuery(f"Space {space.name} exists with dimension {held}, not {space.dimension}.")

    async def drop(self, space: Space) -> None:
        await self._ask("DELETE", index_path(space), absent=None)

    async def _dimension(self, space: Space) -> int | None:
        """The dimension of an index that is there; None when it is not."""
        answer = await self._ask("GET", f"{index_path(space)}/_mapping", absent=None)
        if answer is None:
            return None
        if not isinstance(answer, dict) or len(answer) != 1:
            raise stranger(self.engine, self.setting)
        (index,) = answer.values()
        return int((index["mappings"].get("_meta") or {}).get("dimension", 0))

    # -- writing -----------------------------------------------------------------------------------------------

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        check_partition(partition)
        check_records(space, records)
        if not records:
            return
        if await self._dimension(space) is None:  # a bulk would make the index by itself, without its mapping
            raise InvalidQuery(f"Space {space.name} was not created.", hint="Call create first.")
        batches = list(_bulks(partition, last_by_id(records)))
        for number, body in enumerate(batches, start=1):
            # The last refresh shows them all: they are on one shard.
            params = {"refresh": "wait_for"} if number == len(batches) else {}
            status, answer = await self._request("POST", f"{index_path(space)}/_bulk", params, lines=body)
            if status >= 400:
                raise self._fault(status, answer)
            failed = [item["index"] for item in answer["items"] if item["index"]["status"] >= 400]
            if failed:
                worst = max(failed, key=lambda item: int(item["status"]))
                raise self._fault(int(worst["status"]), worst)

    async def delete(
        self,
        space: Space,
        partition: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Filter | None = None,
    ) -> None:
        check_filter(filter)
        query, whole = within(partition, filter)
        chosen = None if ids is None else list(dict.fromkeys(id for id in ids if is_uuid(id)))
        if not whole:
            found = [id async for id in self._matching(space, partition, query, filter)]
            chosen = found if chosen is None else [id for id in found if id in set(chosen)]
        if chosen is None:
            await self._delete(space, partition, query)
        for start in range(0, len(chosen or ()), IDS):
            some = {"terms": {"id": (chosen or [])[start : start + IDS]}}
            await self._delete(space, partition, all_of([query, some]))

    async def _delete(self, space: Space, partition: str, query: Json) -> None:
        """Delete what a query finds, again while others write the same records beside it."""
        params = {"routing": routing(partition), "refresh": "true", "conflicts": "proceed"}
        for _ in range(ATTEMPTS):
            answer = await self._ask(
                "POST", f"{index_path(space)}/_delete_by_query", params, {"query": query}, absent={}
            )
            failures = answer.get("failures")
            if failures:
                raise self._fault(int(failures[0].get("status", 500)), {"error": failures[0].get("cause")})
            if answer.get("timed_out"):
                raise StoreUnavailable(f"{self.engine} did not delete everything in time.", setting=self.setting)
            if not answer.get("version_conflicts"):
                return
        raise StoreUnavailable(
            f"{self.engine} could not delete records that others write all the time.", hint="Try again later."
        )

    # -- searching ---------------------------------------------------------------------------------------------

    async def search(
        self,
        space: Space,
        partition: str,
        vector: Sequence[float],
        *,
        top_k: int = 4,
        threshold: float | None = None,
        filter: Filter | None = None,
    ) -> list[Hit]:
        length = check_query(space, vector, top_k, filter)
        query, whole = within(partition, filter)
        wanted = unit(vector, length)
        small = await self._is_small(space, partition) or await self._few(space, partition, query)
        exact = self.dialect.exact(wanted, query) if small else None
        missed = small and exact is None

        async def fetch(limit: int) -> list[Hit]:
            nonlocal missed
            hits = await self._scored(space, partition, wanted, exact or self.dialect.near(wanted, limit, query), limit)
            missed = exact is None and len(hits) < limit
            return hits

        found = None
        if not missed:
            found = await over_fetch(fetch, lambda hit: whole or matches(filter, hit.metadata), top_k, most=WINDOW)
        if missed or found is None:
            source = self._pages(space, partition, query)
            return await search_pages(source, vector, top_k=top_k, threshold=threshold, filter=filter)
        return cut(found, top_k, threshold)

    async def full_text(
        self, space: Space, partition: str, query: str, *, top_k: int = 4, filter: Filter | None = None
    ) -> list[Hit]:
        check_limit("top_k", top_k)
        check_filter(filter)
        words = query_terms(query)[:WORDS]
        if not words:
            return []
        chosen, whole = within(partition, filter)
        worded = {"bool": {"must": [{"match": {"terms": {"query": " ".join(words)}}}], "filter": [chosen]}}

        async def fetch(limit: int) -> list[Hit]:
            hits = await self._hits(space, partition, {"size": limit, "query": worded, "_source": SHOWN})
            return [_to_hit(hit, float(hit["_score"])) for hit in hits]

        found = await over_fetch(fetch, lambda hit: whole or matches(filter, hit.metadata), top_k, most=WINDOW)
        if found is None:
            return await full_text_pages(pages(self, space, partition), query, top_k=top_k, filter=filter)
        return found

    async def hybrid(
        self,
        space: Space,
        partition: str,
        vector: Sequence[float],
        query: str,
        *,
        top_k: int = 4,
        filter: Filter | None = None,
    ) -> list[Hit]:
        return await fused(self, space, partition, vector, query, top_k=top_k, filter=filter)

    async def _is_small(self, space: Space, partition: str) -> bool:
        """Whether a whole partition is one to compare with. What was so is remembered for a while: either way finds."""
        key, now = (space.name, partition), time.monotonic()
        known = self._small.get(key)
        if known is None or known[0] < now:
            if len(self._small) >= REMEMBERED:
                self._small.clear()
            here, _ = within(partition, None)
            known = self._small[key] = (now + SECONDS, await self._few(space, partition, here))
        return known[1]

    async def _few(self, space: Space, partition: str, query: Json) -> bool:
        most = self.dialect.exact_up_to
        return await self._count(space, partition, query, most + 1) <= most

    async def _scored(self, space: Space, partition: str, vector: list[float], body: Json, limit: int) -> list[Hit]:
        """Hits of a search by vector with their cosines, best first."""
        body = {**body, "size": limit}
        if self.dialect.cosine_scores:
            hits = await self._hits(space, partition, {**body, "_source": SHOWN})
            return [_to_hit(hit, clamp(float(hit["_score"]) - 1.0)) for hit in hits]
        records = await self._records(space, partition, body)
        return ranked(vector, records, top_k=limit)

    # -- reading -----------------------------------------------------------------------------------------------

    async def get(self, space: Space, partition: str, ids: Sequence[str]) -> list[Record]:
        known = [id for id in dict.fromkeys(ids) if is_uuid(id)]
        found: dict[str, Record] = {}
        here, _ = within(partition, None)
        for start in range(0, len(known), PAGE):
            some = all_of([here, {"terms": {"id": known[start : start + PAGE]}}])
            records = await self._records(space, partition, {"size": PAGE, "query": some})
            found.update((record.id, record) for record in records)
        return [found[id] for id in known if id in found]

    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        check_filter(filter)
        query, whole = within(partition, filter)
        if whole:
            return await self._count(space, partition, query, None)
        return len([id async for id in self._matching(space, partition, query, filter)])

    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        check_limit("limit", limit)
        if cursor is not None and not is_uuid(cursor):
            raise InvalidQuery(f"Cursor {cursor!r} is not one that scan gave.")
        here, _ = within(partition, None)
        size = min(limit, PAGE)
        records = await self._records(space, partition, _after({"size": size, "query": here}, cursor))
        return Page(records=records, cursor=records[-1].id if len(records) == size else None)

    async def _pages(self, space: Space, partition: str, query: Json) -> AsyncIterator[list[Record]]:
        """The records of a query, page by page."""
        cursor = None
        while True:
            records = await self._records(space, partition, _after({"size": PAGE, "query": query}, cursor))
            yield records
            if len(records) < PAGE:
                return
            cursor = records[-1].id

    async def _matching(self, space: Space, partition: str, query: Json, filter: Filter | None) -> AsyncIterator[str]:
        """The ids among the records of a query that satisfy a filter, by reading their metadata."""
        cursor = None
        while True:
            body = _after({"size": WINDOW // 5, "query": query, "_source": ["metadata"]}, cursor)
            hits = await self._hits(space, partition, body)
            for hit in hits:
                if matches(filter, _metadata(hit)):
                    yield hit["_id"]
            if len(hits) < body["size"]:
                return
            cursor = hits[-1]["_id"]

    async def _records(self, space: Space, partition: str, body: Json) -> list[Record]:
        if self.dialect.vectors_in_fields:
            hits = await self._hits(space, partition, {**body, "_source": SHOWN, "fields": ["vector"]})
            return [_to_record(hit, hit["fields"]["vector"]) for hit in hits]
        hits = await self._hits(space, partition, {**body, "_source": [*SHOWN, "vector"]})
        return [_to_record(hit, hit["_source"]["vector"]) for hit in hits]

    async def _hits(self, space: Space, partition: str, body: Json) -> list[Json]:
        answer = await self._find(space, partition, {"track_total_hits": False, **body})
        return list(answer["hits"]["hits"])

    async def _count(self, space: Space, partition: str, query: Json, most: int | None) -> int:
        """How many records a query finds, counted up to `most`."""
        body = {"size": 0, "query": query, "track_total_hits": True if most is None else most}
        return int((await self._find(space, partition, body))["hits"]["total"]["value"])

    async def _find(self, space: Space, partition: str, body: Json) -> Json:
        empty = {"hits": {"hits": [], "total": {"value": 0}}}
        params = {"routing": routing(partition)}
        answer: Json = await self._ask("POST", f"{index_path(space)}/_search", params, body, absent=empty)
        if answer.get("timed_out") or answer.get("_shards", {}).get("failed"):
            raise StoreUnavailable(f"{self.engine} answered in part only.", hint="Look at its shards and its log.")
        return answer

    # -- the engine --------------------------------------------------------------------------------------------

    async def _ask(
        self, method: str, path: str, params: dict[str, str] | None = None, body: Json | None = None, *, absent: Any
    ) -> Any:
        """The answer to a request on an index, or `absent` when there is no such index."""
        status, answer = await self._request(method, path, params, body)
        if status == 404:
            return absent
        if status >= 400:
            raise self._fault(status, answer)
        return answer

    async def _request(
        self,
        method: str,
        path: str,
        params: dict[str, str] | None = None,
        body: Json | None = None,
        *,
        lines: bytes | None = None,
    ) -> Answer:
        """One request; StoreUnavailable when `close` cuts it short."""
        engine = self._engine()
        content = lines if body is None else msgspec.json.encode(body)
        task = asyncio.ensure_future(engine.request(method, path, params or {}, content))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await task
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if own is not None and own.cancelling():
                raise
            raise StoreUnavailable("The vector store was closed.", hint="Call open first.") from None

    def _engine(self) -> Engine:
        if self._opened is None:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.")
        return self._opened

    def _fault(self, status: int, answer: Any) -> Exception:
        return fault_of(status, answer, engine=self.engine, setting=self.setting, credentials=self.credentials)


def index_path(space: Space) -> str:
    """Where the index of a space is: names of indexes have no capitals."""
    return f"/{native_name(space.name, prefix=PREFIX)}"


def _bulks(partition: str, records: Sequence[Record]) -> Iterator[bytes]:
    """The bodies that write the records, each below the size an engine takes."""
    encode, by = msgspec.json.encode, routing(partition)
    body, count = bytearray(), 0
    for record in records:
        action = encode({"index": {"_id": record.id, "routing": by}})
        document = encode(to_document(partition, record))
        if count and (count >= BULK_RECORDS or len(body) + len(document) > BULK_BYTES):
            yield bytes(body)
            body, count = bytearray(), 0
        body += action + b"\n" + document + b"\n"
        count += 1
    if count:
        yield bytes(body)


def _after(body: Json, cursor: str | None) -> Json:
    """A search in the order of ids, from behind one."""
    ordered = {**body, "sort": [{"id": "asc"}]}
    return ordered if cursor is None else {**ordered, "search_after": [cursor]}


def _to_hit(hit: Json, score: float) -> Hit:
    return Hit(id=hit["_id"], text=hit["_source"]["page_content"], score=score, metadata=_metadata(hit))


def _to_record(hit: Json, vector: list[float]) -> Record:
    return Record(id=hit["_id"], text=hit["_source"]["page_content"], vector=vector, metadata=_metadata(hit))


def _metadata(hit: Json) -> Metadata:
    return msgspec.json.decode(hit["_source"]["metadata"], type=dict[str, Any])
