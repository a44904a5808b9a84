"""What knowledge bases hold in the end, in rows and in stores, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from dify_host.db.repository import to_struct
from dify_host.knowledge.records import Dataset
from dify_host.knowledge.tables import dataset_keywords, datasets, document_segments, documents
from dify_host.platform import Platform

__all__ = ["DocumentRow", "Shelf", "look", "shelf_problems"]

_PAGE = 500


class DocumentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `documents` with the texts of its segments by their position."""

    id: str
    name: str
    status: str
    error: str | None
    texts: list[str]


class Shelf(msgspec.Struct, kw_only=True):
    """One knowledge base: its documents, and what its index is to hold and holds.

    `wanted` and `held` are pairs of an id in the index and its text: vectors, or the segments that have words, whose
    text is not kept there. `strays` are segments of no document.
    """

    dataset_id: str
    documents: list[DocumentRow] = []
    wanted: list[tuple[str, str]] = []
    held: list[tuple[str, str]] = []
    strays: list[str] = []


async def look(platform: Platform, dataset_ids: Sequence[str]) -> list[Shelf]:
    """Look at knowledge bases, in that order."""
    return [await _shelf(platform, dataset_id) for dataset_id in dataset_ids]


async def _shelf(platform: Platform, dataset_id: str) -> Shelf:
    segment = document_segments.c
    ordered = sa.select(document_segments).where(segment.dataset_id == dataset_id)
    async with platform.db.read() as conn:
        dataset = to_struct((await conn.execute(sa.select(datasets).where(datasets.c.id == dataset_id))).one(), Dataset)
        mine = documents.c.dataset_id == dataset_id
        rows = (await conn.execute(sa.select(documents).where(mine).order_by(documents.c.position))).all()
        segments = (await conn.execute(ordered.order_by(segment.document_id, segment.position))).all()
        worded = sa.select(dataset_keywords.c.segment_id).where(dataset_keywords.c.dataset_id == dataset_id).distinct()
        words = (await conn.execute(worded)).scalars().all()
    texts: dict[str, list[str]] = {row.id: [] for row in rows}
    for found in segments:
        texts.setdefault(found.document_id, []).append(found.content)
    completed = [found for found in segments if found.status == "completed"]
    known = {row.id for row in rows}
    if dataset.indexing_technique == "high_quality":
        wanted, held = [(item.index_node_id, item.content) for item in completed], await _vectors(platform, dataset)
    else:
        wanted, held = [(item.id, "") for item in completed], [(segment_id, "") for segment_id in words]
    return Shelf(
        dataset_id=dataset_id,
        documents=[_document(row, texts[row.id]) for row in rows],
        wanted=wanted,
        held=held,
        strays=[found.id for found in segments if found.document_id not in known],
    )


def _document(row: Any, texts: list[str]) -> DocumentRow:
    return DocumentRow(id=row.id, name=row.name, status=row.indexing_status, error=row.error, texts=texts)


async def _vectors(platform: Platform, dataset: Dataset) -> list[tuple[str, str]]:
    """Everything that a store holds of a knowledge base."""
    index = dataset.index
    assert index is not None
    if index.space is None:
        return []
    store = await platform.vectors.open(index.store)
    found: list[tuple[str, str]] = []
    cursor = None
    while True:
        page = await store.scan(index.space, dataset.id, cursor=cursor, limit=_PAGE)
        found += [(record.id, record.text) for record in page.records]
        if (cursor := page.cursor) is None:
            return found


def shelf_problems(shelf: Shelf, pieces: Callable[[str], list[str] | None], *, may_fail: bool = False) -> Iterator[str]:
    """Documents without an end or with other segments than their name says, and what an index misses or has too much.

    `pieces` are those of a document of that name, None for one that must end with an error; with `may_fail` every
    other one may too, if it says why.
    """
    for row in shelf.documents:
        wanted = pieces(row.name)
        if row.status == "error" and row.error and (wanted is None or may_fail):
            if row.texts and wanted is None:
                yield f"document {row.name}: it failed and has {row.texts}"
        elif row.status != "completed" or wanted is None:
            yield f"document {row.name}: it is {row.status}: {row.error}"
        elif row.texts != wanted:
            yield f"document {row.name}: it has {row.texts} and not {wanted}"
    wants, holds = Counter(name for name, _ in shelf.wanted), Counter(name for name, _ in shelf.held)
    yield from (f"index: {name} is missing" for name in wants - holds)
    yield from (f"index: {name} is there twice, or nobody's" for name in holds - wants)
    texts = dict(shelf.wanted)
    yield from (f"index: {name} has another text" for name, text in shelf.held if texts.get(name, text) != text)
    yield from (f"segment {name}: its document is gone" for name in shelf.strays)
