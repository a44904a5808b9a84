"""The store: one collection a space, the partition as its key, everything read with strong consistency."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from dify_kernel.contracts.lexical import Bm25
from dify_kernel.contracts.threads import Blocking
from dify_kernel.contracts.vector import (
    EngineVersion,
    Filter,
    Hit,
    Page,
    Record,
    Space,
    VectorCapabilities,
    VectorStore,
)
from dify_kernel.contracts.vector_exact import full_text_pages, fused, over_fetch, pages, search_pages
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

from dify_vdb_milvus.faults import is_missing, is_released, translated
from dify_vdb_milvus.filters import among, conditions, within
from dify_vdb_milvus.rows import (
    FOUND,
    KEYS,
    STORED,
    batches,
    metadata_of,
    ordering_key,
    query_words,
    to_hit,
    to_record,
    to_row,
)
from dify_vdb_milvus.schema import create, dimension_of
from dify_vdb_milvus.settings import MilvusSettings

__all__ = ["MilvusVectorStore"]

SECONDS = 30.0
_BEING_MADE = (0.0, 0.1, 0.4, 1.0)
"""Seconds between looks for a collection that another call is making."""
MOST = 16_384
"""The longest list of an answer."""
IDS, READ = 1_000, 200
"""Ids in an expression, and records in an answer, which has to bear 200 of the longest texts."""
LONGEST_PAGE = 5_000
UNSORTED = 2_000
"""Records after which the engine in a file sorts what it has: until then each search goes through them anew."""
WORDED = 500
"""Records that the engine finds by words, of which the best are ranked here."""


def _imported() -> Any:
    """The client, which as it is imported reads MILVUS_URI by itself, also from `.env`, and fails at a file's path."""
    told = os.environ.get("MILVUS_URI")
    os.environ["MILVUS_URI"] = ""
    try:
        return importlib.import_module("pymilvus")
    finally:
        if told is None:
            del os.environ["MILVUS_URI"]
        else:
            os.environ["MILVUS_URI"] = told


class MilvusVectorStore(VectorStore):
    """Records in Milvus, on a server or in a file; scores are the engine's cosines, in single precision."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, max_dimension=32_768)

    def __init__(self, settings: MilvusSettings) -> None:
        self._settings = settings
        self._opened: Any = None
        self._threads: Blocking | None = None
        self._vendor: Any = None
        self._unsorted: Counter[str] = Counter()
        self._worded: dict[str, bool] = {}
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        async with self._opening:
            if self._opened is not None:
                return
            self._vendor = await asyncio.to_thread(_imported)
            logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs what it also raises
            if self._settings.local:  # the server in this process logs each call that it lacks, as a fault of its own
                logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
            threads = Blocking("milvus", threads=8)
            try:
                self._opened = await threads.run(self._connect)
            except Exception as exc:
                threads.close()
                raise translated(exc, self._settings) from None
            self._threads = threads

    def _connect(self) -> Any:
        if self._settings.local:
            Path(self._settings.uri).absolute().parent.mkdir(parents=True, exist_ok=True)
        return self._vendor.MilvusClient(**self._settings.arguments(), timeout=10)

    async def close(self) -> None:
        client, threads, self._opened, self._threads = self._opened, self._threads, None, None
        if client is not None and threads is not None:
            await threads.run(client.close)
            threads.close()

    async def version(self) -> EngineVersion | None:
        client = self._client
        try:
            told = str(await self._run(client.get_server_version))
        except Exception as exc:
            raise translated(exc, self._settings) from None
        if self._settings.local:
            return EngineVersion(name="Milvus Lite", version=told, supported=">=3")
        return EngineVersion(name="Milvus", version=told, supported=">=2.5")

    async def create(self, space: Space) -> None:
        check_space(space, self.capabilities.max_dimension)
        described = await self._described(space)
        if described is None:
            try:
                await self._run(
                    create,
                    self._vendor,
                    self._client,
                    _name(space),
                    space,
                    words=self._settings.enable_hybrid_search,
                    timeout=SECONDS,
                )
            except Exception as exc:  # another call may have been faster, and not be done yet
                for pause in _BEING_MADE:
                    await asyncio.sleep(pause)
                    described = await self._described(space)
                    if described is not None:
                        break
                if described is None:
                    raise translated(exc, self._settings) from None
            described = described or await self._described(space)
        if described is None:
            raise StoreUnavailable(f"Space {space.name} was dropped while it was made.")
        dimension, worded = dimension_of(described)
        self._worded[space.name] = worded
        if dimension != space.dimension:
            raise InvalidQuery(f"Space {space.name} exists with dimension {dimension}, not {space.dimension}.")

    async def drop(self, space: Space) -> None:
        self._worded.pop(space.name, None)
        await self._on(space, "drop_collection", None)

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        check_partition(partition)
        check_records(space, records)
        kept = last_by_id(records)
        worded = await self._has_words(space)
        for part in batches(kept):
            rows = [to_row(partition, record) for record in part]
            for row in [] if worded else rows:
                del row["words"]
            if await self._on(space, "upsert", None, data=rows) is None:
                raise InvalidQuery(f"Space {space.name} was not created.", hint="Call create first.")
        if self._settings.local:
            self._unsorted[space.name] += len(kept)
            if self._unsorted[space.name] >= UNSORTED:
                self._unsorted[space.name] = 0
                await self._on(space, "flush", None)

    async def delete(
        self,
        space: Space,
        partition: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Filter | None = None,
    ) -> None:
        check_filter(filter)
        said, whole = conditions(filter)
        known = None if ids is None else [id for id in dict.fromkeys(ids) if is_uuid(id)]
        if not whole:
            known = await self._matching(space, partition, filter, known)
        if known is None:
            await self._on(space, "delete", None, filter=within(partition, *said))
        for start in range(0, len(known or []), IDS):
            some = among((known or [])[start : start + IDS])
            await self._on(space, "delete", None, filter=within(partition, *said, some))

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
        said, whole = conditions(filter)
        expression, asked = within(partition, *said), unit(vector, length)
        complete = True

        async def fetch(limit: int) -> list[Hit]:
            nonlocal complete
            params = {"metric_type": "COSINE", "params": {"ef": max(128, limit)}}
            rows = await self._found(space, "vector", asked, expression, limit, FOUND, params)
            if len(rows) < limit:  # the end, or a graph that has lost some
                complete = len(rows) == await self._counted(space, expression)
            return [to_hit(row["id"], row["entity"], clamp(row["distance"])) for row in rows]

        def keep(hit: Hit) -> bool:
            return whole or matches(filter, hit.metadata)

        found = await over_fetch(fetch, keep, top_k, most=MOST)
        if found is None or not complete:
            return await search_pages(
                pages(self, space, partition), vector, top_k=top_k, threshold=threshold, filter=filter
            )
        return cut(found, top_k, threshold)

    async def full_text(
        self, space: Space, partition: str, query: str, *, top_k: int = 4, filter: Filter | None = None
    ) -> list[Hit]:
        check_limit("top_k", top_k)
        check_filter(filter)
        said, whole = conditions(filter)
        words, expression = query_words(query), within(partition, *said)
        if not words:
            return []
        if not await self._has_words(space):
            return await full_text_pages(pages(self, space, partition), query, top_k=top_k, filter=filter)

        async def fetch(limit: int) -> list[Hit]:
            rows = await self._found(space, "sparse", words, expression, limit, FOUND, {"metric_type": "BM25"})
            return [to_hit(row["id"], row["entity"], row["distance"]) for row in rows]

        def keep(hit: Hit) -> bool:
            return whole or matches(filter, hit.metadata)

        found = await over_fetch(fetch, keep, max(WORDED, top_k), most=MOST)
        if found is None:
            return await full_text_pages(pages(self, space, partition), query, top_k=top_k, filter=filter)
        ranks, hits = Bm25(query), {hit.id: hit for hit in found}
        await asyncio.to_thread(ranks.add, [(hit.id, hit.text) for hit in found])
        ranked = ranks.ranked()[:top_k]
        return [Hit(id=id, text=hits[id].text, score=score, metadata=hits[id].metadata) for id, score in ranked]

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

    async def get(self, space: Space, partition: str, ids: Sequence[str]) -> list[Record]:
        known = [id for id in dict.fromkeys(ids) if is_uuid(id)]
        self._client  # noqa: B018 - a closed store says so even when nothing is asked
        found: dict[str, Record] = {}
        for start in range(0, len(known), READ):
            expression = within(partition, among(known[start : start + READ]))
            rows = await self._on(space, "query", [], filter=expression, output_fields=STORED)
            found.update({row["id"]: to_record(row) for row in rows})
        return [found[id] for id in known if id in found]

    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        check_filter(filter)
        said, whole = conditions(filter)
        if whole:
            return await self._counted(space, within(partition, *said))
        return len(await self._matching(space, partition, filter, None))

    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        check_limit("limit", limit)
        after, size = _place(cursor)
        if cursor is None:
            size = await self._counted(space, within(partition))
        wanted = min(limit, LONGEST_PAGE)
        rows = await self._stretch(space, within(partition), after, size, wanted + 1, ["id"])
        ids = [row["id"] for row in rows]
        records = await self.get(space, partition, ids[:wanted])
        return Page(records=records, cursor=f"{ids[wanted - 1]}/{size}" if len(ids) > wanted else None)

    # -- asking the engine ----------------------------------------------------------------------------------------

    async def _found(
        self, space: Space, field: str, asked: Any, expression: str, limit: int, fields: list[str], params: Any
    ) -> list[dict[str, Any]]:
        answer = await self._on(
            space,
            "search",
            [[]],
            data=[asked],
            anns_field=field,
            filter=expression,
            limit=limit,
            output_fields=fields,
            search_params=params,
            consistency_level="Strong",
        )
        return list(answer[0])

    async def _stretch(
        self, space: Space, expression: str, after: str | None, size: int, wanted: int, fields: list[str]
    ) -> list[dict[str, Any]]:
        """Rows behind a place in the order of a scan, of some that are about `size` in number.

        No version of the engine is sure to order what a query finds: a stretch of keys is asked for that should hold
        enough, and another one when it held too few or more than an answer may.
        """
        low = 0 if after is None else ordering_key(after)
        width = max(1, min(KEYS, 2 * KEYS * wanted // max(1, size)))
        while True:
            some = f"{expression} and ordering >= {low} and ordering < {low + width}"
            rows = await self._on(space, "query", [], filter=some, output_fields=fields, limit=MOST)
            if len(rows) >= MOST and width > 1:
                width = max(1, width // 4)
                continue
            behind = [row for row in rows if after is None or _order(row["id"]) > _order(after)]
            if len(behind) >= wanted or low + width >= KEYS:
                return sorted(behind, key=lambda row: _order(row["id"]))[:wanted]
            width *= 2

    async def _counted(self, space: Space, expression: str) -> int:
        rows = await self._on(space, "query", [], filter=expression, output_fields=["count(*)"])
        return int(rows[0]["count(*)"]) if rows else 0

    async def _matching(
        self, space: Space, partition: str, filter: Filter | None, ids: Sequence[str] | None
    ) -> list[str]:
        """The ids of a partition, or among some of it, that satisfy a filter, by reading metadata."""
        said, _ = conditions(filter)
        expression, fields = within(partition, *said), ["id", "metadata"]
        found: list[str] = []
        for start in range(0, len(ids or []), IDS):
            some = f"{expression} and {among((ids or [])[start : start + IDS])}"
            rows = await self._on(space, "query", [], filter=some, output_fields=fields)
            found += [row["id"] for row in rows if matches(filter, metadata_of(row))]
        after, size = None, 0 if ids is not None else await self._counted(space, expression)
        while size:
            rows = await self._stretch(space, expression, after, size, IDS, fields)
            found += [row["id"] for row in rows if matches(filter, metadata_of(row))]
            if len(rows) < IDS:
                break
            after = rows[-1]["id"]
        return found

    async def _has_words(self, space: Space) -> bool:
        if space.name not in self._worded:
            described = await self._described(space)
            if described is None:
                return True
            self._worded[space.name] = dimension_of(described)[1]
        return self._worded[space.name]

    async def _described(self, space: Space) -> dict[str, Any] | None:
        return await self._on(space, "describe_collection", None)  # type: ignore[no-any-return]

    async def _on(self, space: Space, method: str, absent: Any, **arguments: Any) -> Any:
        """A call on the collection of a space, or `absent` when there is none."""
        call = getattr(self._client, method)
        try:
            try:
                return await self._run(call, _name(space), timeout=SECONDS, **arguments)
            except Exception as exc:
                if not is_released(exc):
                    raise
            await self._run(self._client.load_collection, _name(space), timeout=SECONDS)
            return await self._run(call, _name(space), timeout=SECONDS, **arguments)
        except Exception as exc:
            if is_missing(exc):
                return absent
            raise translated(exc, self._settings) from None  # its error may quote the address

    async def _run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        threads = self._threads
        if threads is None:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.")
        return await threads.run(function, *args, **kwargs)

    @property
    def _client(self) -> Any:
        if self._opened is None:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.")
        return self._opened


def _name(space: Space) -> str:
    """The collection of a space."""
    return native_name(space.name, prefix="dify_")


def _order(id: str) -> tuple[int, str]:
    return ordering_key(id), id


def _place(cursor: str | None) -> tuple[str | None, int]:
    """The last id of a page and the size of its partition."""
    if cursor is None:
        return None, 0
    id, _, size = cursor.partition("/")
    if not is_uuid(id) or not (size.isascii() and size.isdigit() and len(size) < 12):
        raise InvalidQuery(f"Cursor {cursor!r} is not one that scan gave.")
    return id, int(size)
