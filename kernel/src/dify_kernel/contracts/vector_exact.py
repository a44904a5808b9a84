"""Keeps a store exact over an engine that is not: filters it cannot say, limits on top_k, approximate scores, no words.

A store hands the engine what `narrow` leaves of a filter, checks the rest with `matches`, and takes the scores from the
vectors with `ranked`. `over_fetch` asks for more until enough is left, and says when the engine's limit is reached:
then `search_pages` and `full_text_pages` go through the partition. They also are the whole search of a store over a
plain key-value engine. `fused` is `hybrid` for every store that has `search` and `full_text`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from heapq import nsmallest
from typing import TypeVar

from dify_kernel.contracts.lexical import Bm25
from dify_kernel.contracts.vector import And, Compare, Exists, Filter, Hit, Not, Or, Record, Space, VectorStore
from dify_kernel.contracts.vector_rules import check_query, cosine, cut, fuse, matches

__all__ = [
    "Leaf",
    "full_text_pages",
    "fused",
    "narrow",
    "over_fetch",
    "pages",
    "plain",
    "ranked",
    "search_pages",
    "to_hit",
]

T = TypeVar("T")
Leaf = Compare | Exists
PAGE = 500


# -- filters -----------------------------------------------------------------------------------------------------


def plain(filter: Filter | None) -> Filter | None:
    """The same filter in fewer words: `eq`, `ne` and `not_in` become `in`, under a Not where they negate."""
    match filter:
        case And(items):
            return And([item for item in map(plain, items) if item is not None])
        case Or(items):
            return Or([item for item in map(plain, items) if item is not None])
        case Not(item):
            inner = plain(item)
            return filter if inner is None else Not(inner)
        case Compare(op, field, value) if op in ("eq", "ne", "not_in"):
            among = Compare("in", field, value if op == "not_in" else [value])
            return among if op == "eq" else Not(among)
    return filter


def narrow(filter: Filter | None, can: Callable[[Leaf], bool]) -> tuple[Filter | None, bool]:
    """What an engine can say of a filter, and whether that is all of it.

    `can` tells which leaves of a `plain` filter the engine says exactly as `matches` defines them. The answer is plain
    and made of these alone; when it is not all, every match satisfies it and `matches` must pick among what it finds.
    None says nothing.
    """
    return _narrow(plain(filter), can)


def _narrow(filter: Filter | None, can: Callable[[Leaf], bool]) -> tuple[Filter | None, bool]:
    match filter:
        case None:
            return None, True
        case And(items):
            parts = [_narrow(item, can) for item in items]
            said = [part for part, _ in parts if part is not None]
            whole = all(whole for _, whole in parts)
            return (And(said) if said or whole else None), whole
        case Or(items):
            parts = [_narrow(item, can) for item in items]
            said = [part for part, _ in parts if part is not None]
            return (Or(said) if len(said) == len(parts) else None), all(whole for _, whole in parts)
        case Not(item):
            inner, whole = _narrow(item, can)
            return (Not(inner), True) if whole and inner is not None else (None, False)
    if can(filter):
        return filter, True
    held = Exists(filter.field)
    return (held if isinstance(filter, Compare) and can(held) else None), False


# -- ranking by the vectors themselves -----------------------------------------------------------------------------


def to_hit(record: Record, score: float) -> Hit:
    """A record as found with a score."""
    return Hit(id=record.id, text=record.text, score=score, metadata=record.metadata)


def ranked(
    vector: Sequence[float],
    records: Iterable[Record],
    *,
    top_k: int,
    threshold: float | None = None,
    filter: Filter | None = None,
) -> list[Hit]:
    """The best of some records as `search` gives them: scored by their own vectors, filtered, cut."""
    scored = [(record, cosine(vector, record.vector)) for record in records if matches(filter, record.metadata)]
    best = nsmallest(top_k, scored, key=lambda item: (-item[1], item[0].id))
    return cut([to_hit(record, score) for record, score in best], top_k, threshold)


async def over_fetch(
    fetch: Callable[[int], Awaitable[Sequence[T]]], keep: Callable[[T], bool], top_k: int, *, most: int
) -> list[T] | None:
    """The first `top_k` that `keep` accepts of a ranked list of which `fetch(limit)` gives the beginning.

    Asks again for four times as many until there are enough or the list has ended. None when `most`, the longest list
    that the engine gives, holds too few and did not end it: then only going through the partition is exact.
    """
    limit = min(most, top_k)
    while True:
        found = await fetch(limit)
        kept = [item for item in found if keep(item)]
        if len(kept) >= top_k or len(found) < limit:
            return kept[:top_k]
        if limit >= most:
            return None
        limit = min(most, max(50, limit * 4))


# -- going through a partition ---------------------------------------------------------------------------------------


async def pages(store: VectorStore, space: Space, partition: str, limit: int = PAGE) -> AsyncIterator[list[Record]]:
    """The records of a partition, page by page, by the store's own `scan`."""
    cursor = None
    while True:
        page = await store.scan(space, partition, cursor=cursor, limit=limit)
        yield page.records
        cursor = page.cursor
        if cursor is None:
            return


async def search_pages(
    source: AsyncIterable[Sequence[Record]],
    vector: Sequence[float],
    *,
    top_k: int,
    threshold: float | None = None,
    filter: Filter | None = None,
) -> list[Hit]:
    """`search` by comparing with every record of some pages; holds no more than the best, and computes in a thread."""
    best: list[Hit] = []
    async for page in source:
        found = await asyncio.to_thread(ranked, vector, page, top_k=top_k, threshold=threshold, filter=filter)
        best = nsmallest(top_k, [*best, *found], key=lambda hit: (-hit.score, hit.id))
    return best


async def full_text_pages(
    source: AsyncIterable[Sequence[Record]], query: str, *, top_k: int, filter: Filter | None = None
) -> list[Hit]:
    """`full_text` by reading every record of some pages, ranked by BM25; holds the records that share a word."""
    words = Bm25(query)
    held: dict[str, Record] = {}
    async for page in source:
        some = [record for record in page if matches(filter, record.metadata)]
        sharing = await asyncio.to_thread(words.add, [(record.id, record.text) for record in some])
        held.update({record.id: record for record in some if record.id in sharing})
    return [to_hit(held[id], score) for id, score in words.ranked()[:top_k]]


# -- both ------------------------------------------------------------------------------------------------------------


async def fused(
    store: VectorStore,
    space: Space,
    partition: str,
    vector: Sequence[float],
    query: str,
    *,
    top_k: int,
    filter: Filter | None = None,
) -> list[Hit]:
    """`hybrid` out of the store's own `search` and `full_text`; what only words found gets its cosine from `get`."""
    check_query(space, vector, top_k, filter)
    depth = max(4 * top_k, 50)
    near, worded = await asyncio.gather(
        store.search(space, partition, vector, top_k=depth, filter=filter),
        store.full_text(space, partition, query, top_k=depth, filter=filter),
    )
    order = fuse([hit.id for hit in near], [hit.id for hit in worded])[:top_k]
    hits = {hit.id: hit for hit in near}
    far = await store.get(space, partition, [id for id in order if id not in hits])
    hits.update({record.id: to_hit(record, cosine(vector, record.vector)) for record in far})
    return [hits[id] for id in order if id in hits]
