"""The store: records in parallel tables, searched within one partition's range of keys.

A small partition is searched by a full pass over its vectors; a large one by a pass over short codes first, and then
exactly among those whose codes are nearest. Scores are exact either way.
"""

from __future__ import annotations

import array
import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec
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
from dify_kernel.contracts.vector_rules import (
    check_filter,
    check_limit,
    check_partition,
    check_query,
    check_records,
    check_space,
    clamp,
    cut,
    fuse,
    is_uuid,
    last_by_id,
    unit,
)
from dify_kernel.errors import InvalidQuery, StoreUnavailable

from dify_vdb_sqlite.codes import LARGE, encode, encode_all, is_encodable, levels_of
from dify_vdb_sqlite.database import KEY_BITS, Database, keys_of
from dify_vdb_sqlite.filters import to_sql
from dify_vdb_sqlite.full_text import WordCounts, ranked_by_words
from dify_vdb_sqlite.nearest import nearest
from dify_vdb_sqlite.settings import SqliteVectorSettings
from dify_vdb_sqlite.words import to_words

if TYPE_CHECKING:
    import apsw

__all__ = ["SqliteVectorStore"]

T = TypeVar("T")
CHUNK = 2_000
"""Rows deleted in one transaction, so that other processes get their turn."""


class SqliteVectorStore(VectorStore):
    """Exact search over one file that several processes may share. Vectors are kept normalised in single precision."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, max_dimension=8192)

    def __init__(self, settings: SqliteVectorSettings) -> None:
        self._settings = settings
        self._threads: Blocking | None = None
        self._database: Database | None = None
        self._counts = WordCounts()

    async def open(self) -> None:
        if self._threads is not None:
            return
        threads, database = Blocking("sqlite-vec", threads=4), Database(self._settings.path)
        try:
            await threads.run(database.prepare)
        except BaseException:
            threads.close()
            database.close()
            raise
        if self._threads is not None:  # opened by somebody else meanwhile
            threads.close()
            database.close()
            return
        self._threads, self._database = threads, database

    async def close(self) -> None:
        threads, database, self._threads, self._database = self._threads, self._database, None, None
        if threads is not None and database is not None:
            database.close()
            threads.close()

    async def version(self) -> EngineVersion | None:
        ((told,),) = await self._read(_rows, "SELECT sqlite_version()")
        return EngineVersion(name="SQLite", version=told, supported=">=3.45")

    async def create(self, space: Space) -> None:
        check_space(space, self.capabilities.max_dimension)
        await self._write(_create, space)

    async def drop(self, space: Space) -> None:
        while await self._write(_drop_some, space):
            pass

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        check_partition(partition)
        lengths = check_records(space, records)
        known = {record.id: length for record, length in zip(records, lengths, strict=True)}
        if records:
            await self._write(_upsert, space, partition, last_by_id(records), known)

    async def delete(
        self,
        space: Space,
        partition: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Filter | None = None,
    ) -> None:
        check_filter(filter)
        known = None if ids is None else [id for id in ids if is_uuid(id)]
        while await self._write(_delete_some, space, partition, known, filter):
            pass

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
        check_query(space, vector, top_k, filter)
        hits = await self._read(_search, space, partition, _blob(vector), top_k, filter)
        return cut(hits, top_k, threshold)

    async def full_text(
        self, space: Space, partition: str, query: str, *, top_k: int = 4, filter: Filter | None = None
    ) -> list[Hit]:
        check_limit("top_k", top_k)
        check_filter(filter)
        return await self._read(_full_text, space, partition, query, top_k, filter, self._counts)

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
        check_query(space, vector, top_k, filter)
        blob, depth = _blob(vector), max(4 * top_k, 50)
        near, worded = await asyncio.gather(  # side by side: in a large partition each takes tens of milliseconds
            self._read(_near, space, partition, blob, depth, filter),
            self._read(_worded, space, partition, query, depth, filter, self._counts),
        )
        return await self._read(_by_distance, blob, fuse(near, worded)[:top_k])

    async def get(self, space: Space, partition: str, ids: Sequence[str]) -> list[Record]:
        return await self._read(_get, space, partition, [id for id in dict.fromkeys(ids) if is_uuid(id)])

    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        check_filter(filter)
        return await self._read(_count, space, partition, filter)

    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        check_limit("limit", limit)
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
            raise InvalidQuery(f"Cursor {cursor!r} is not one that scan gave.")
        return await self._read(_scan, space, partition, int(cursor or -1), limit)

    async def _read(self, function: Callable[..., T], *arguments: Any) -> T:
        threads, database = self._opened()

        def read() -> T:
            with database.read() as db:
                return function(db, *arguments)

        return await threads.run(read)

    async def _write(self, function: Callable[..., T], *arguments: Any) -> T:
        threads, database = self._opened()

        def write() -> T:
            with database.write() as db:
                return function(db, *arguments)

        return await threads.run(write)

    def _opened(self) -> tuple[Blocking, Database]:
        if self._threads is None or self._database is None:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.")
        return self._threads, self._database


# -- writing; each function is one transaction --------------------------------------------------------------------


def _create(db: apsw.Connection, space: Space) -> None:
    db.execute("INSERT OR IGNORE INTO spaces (name, dimension) VALUES (?, ?)", (space.name, space.dimension))
    ((dimension,),) = _rows(db, "SELECT dimension FROM spaces WHERE name = ?", space.name)
    _check_dimension(space, dimension)


def _drop_some(db: apsw.Connection, space: Space) -> bool:
    """Remove a chunk of the space and, when nothing is left, the space; whether to go on."""
    rows = _rows(
        db,
        "SELECT key FROM spaces s JOIN partitions p ON p.space_id = s.id JOIN texts t ON t.partition_id = p.id"
        " WHERE s.name = ? LIMIT ?",
        space.name,
        CHUNK,
    )
    _remove(db, [key for (key,) in rows])
    if len(rows) == CHUNK:
        return True
    db.execute("DELETE FROM partitions WHERE space_id IN (SELECT id FROM spaces WHERE name = ?)", (space.name,))
    db.execute("DELETE FROM spaces WHERE name = ?", (space.name,))
    return False


def _upsert(db: apsw.Connection, space: Space, name: str, records: Sequence[Record], lengths: dict[str, float]) -> None:
    found = _rows(db, "SELECT id, dimension FROM spaces WHERE name = ?", space.name)
    if not found:
        raise InvalidQuery(f"Space {space.name} was not created.", hint="Call create first.")
    space_id, dimension = found[0]
    _check_dimension(space, dimension)
    db.execute("INSERT OR IGNORE INTO partitions (space_id, name) VALUES (?, ?)", (space_id, name))
    ((partition, number, levels),) = _rows(
        db, "SELECT id, next, levels FROM partitions WHERE space_id = ? AND name = ?", space_id, name
    )
    known = _keys(db, partition, [record.id for record in records])
    keys = []
    for record in records:
        keys.append(known.get(record.id) or (partition << KEY_BITS) + number)
        number += record.id not in known
    _remove(db, list(known.values()))
    vectors = _packed(dimension, records, lengths)
    _put(db, partition, levels, list(zip(keys, records, vectors, strict=True)))
    if levels is None and number >= LARGE and is_encodable(dimension):
        levels = levels_of(db, *keys_of(partition))
        if levels is not None:
            encode_all(db, levels, *keys_of(partition))
    db.execute("UPDATE partitions SET next = ?, levels = ? WHERE id = ?", (number, levels, partition))


def _keys(db: apsw.Connection, partition: int, ids: list[str]) -> dict[str, int]:
    """The keys of those of the records that are there."""
    query = "SELECT id, key FROM texts WHERE partition_id = ? AND id IN (SELECT value FROM json_each(?))"
    return dict(_rows(db, query, partition, _json(ids)))


def _put(
    db: apsw.Connection, partition: int, levels: bytes | None, records: Sequence[tuple[int, Record, bytes]]
) -> None:
    """Write records with their vectors under keys that are free, table by table."""
    db.executemany(
        "INSERT INTO texts VALUES (?, ?, ?, ?)", [(key, partition, item.id, item.text) for key, item, _ in records]
    )
    db.executemany("INSERT INTO vectors VALUES (?, vec_normalize(?))", [(key, vector) for key, _, vector in records])
    db.executemany(
        "INSERT INTO facts VALUES (?, jsonb(?))",
        [(key, msgspec.json.encode(item.metadata).decode()) for key, item, _ in records],
    )
    if levels:
        encode(db, levels, [key for key, *_ in records])
    words = [(key, to_words(partition, item.text)) for key, item, _ in records]
    db.executemany("INSERT INTO terms (rowid, words) VALUES (?, ?)", words)


def _delete_some(
    db: apsw.Connection, space: Space, name: str, ids: Sequence[str] | None, filter: Filter | None
) -> bool:
    """Remove a chunk of what is asked; whether there may be more."""
    partition = _partition(db, space, name)
    condition, values = to_sql(filter)
    if ids is not None:
        condition += " AND id IN (SELECT value FROM json_each(?))"
        values.append(_json(ids))
    query = f"SELECT key FROM texts JOIN facts USING (key) WHERE partition_id = ? AND {condition} LIMIT ?"  # noqa: S608
    rows = _rows(db, query, partition, *values, CHUNK)
    _remove(db, [key for (key,) in rows])
    db.execute("UPDATE partitions SET gone = gone + ? WHERE id = ?", (len(rows), partition))
    if len(rows) == CHUNK:
        return True
    if ids is None and filter is None:
        db.execute("DELETE FROM partitions WHERE id = ?", (partition,))
    return False


def _remove(db: apsw.Connection, keys: list[int]) -> None:
    if not keys:
        return
    chosen = (_json(keys),)
    db.execute("DELETE FROM terms WHERE rowid IN (SELECT value FROM json_each(?))", chosen)
    db.execute("DELETE FROM vectors WHERE key IN (SELECT value FROM json_each(?))", chosen)
    db.execute("DELETE FROM facts WHERE key IN (SELECT value FROM json_each(?))", chosen)
    db.execute("DELETE FROM codes WHERE key IN (SELECT value FROM json_each(?))", chosen)
    db.execute("DELETE FROM texts WHERE key IN (SELECT value FROM json_each(?))", chosen)


# -- reading; each function sees one state of the file --------------------------------------------------------------


def _search(
    db: apsw.Connection, space: Space, name: str, vector: bytes, top_k: int, filter: Filter | None
) -> list[Hit]:
    return _hits(db, nearest(db, _partition(db, space, name), vector, top_k, filter))


def _full_text(
    db: apsw.Connection,
    space: Space,
    name: str,
    query: str,
    top_k: int,
    filter: Filter | None,
    counts: WordCounts,
) -> list[Hit]:
    return _hits(db, ranked_by_words(db, _partition(db, space, name), query, top_k, filter, counts))


def _near(db: apsw.Connection, space: Space, name: str, vector: bytes, top_k: int, filter: Filter | None) -> list[int]:
    return [key for key, _ in nearest(db, _partition(db, space, name), vector, top_k, filter)]


def _worded(
    db: apsw.Connection, space: Space, name: str, query: str, top_k: int, filter: Filter | None, counts: WordCounts
) -> list[int]:
    return [key for key, _ in ranked_by_words(db, _partition(db, space, name), query, top_k, filter, counts)]


def _by_distance(db: apsw.Connection, vector: bytes, order: list[int]) -> list[Hit]:
    """The records in this order with their cosines; those that went since they were found are left out."""
    rows = _rows(
        db,
        "SELECT key, vec_distance_cosine(vector, ?) FROM vectors WHERE key IN (SELECT value FROM json_each(?))",
        vector,
        _json(order),
    )
    scores = {key: clamp(1.0 - distance) for key, distance in rows}
    return _hits(db, [(key, scores[key]) for key in order if key in scores])


def _hits(db: apsw.Connection, ranked: list[tuple[int, float]]) -> list[Hit]:
    rows = _rows(
        db,
        "SELECT key, id, text, json(metadata) FROM texts JOIN facts USING (key)"
        " WHERE key IN (SELECT value FROM json_each(?))",
        _json([key for key, _ in ranked]),
    )
    held = {row[0]: row[1:] for row in rows}
    return [
        Hit(id=id, text=text, score=score, metadata=msgspec.json.decode(metadata))
        for (id, text, metadata), score in ((held[key], score) for key, score in ranked)
    ]


def _get(db: apsw.Connection, space: Space, name: str, ids: list[str]) -> list[Record]:
    rows = _rows(
        db,
        _RECORDS + " WHERE partition_id = ? AND id IN (SELECT value FROM json_each(?))",  # noqa: S608
        _partition(db, space, name),
        _json(ids),
    )
    found = {record.id: record for record in map(_record, rows)}
    return [found[id] for id in ids if id in found]


def _count(db: apsw.Connection, space: Space, name: str, filter: Filter | None) -> int:
    partition = _partition(db, space, name)
    if filter is None:
        ((count,),) = _rows(db, "SELECT count(*) FROM texts WHERE partition_id = ?", partition)
    else:
        condition, values = to_sql(filter)
        query = f"SELECT count(*) FROM facts WHERE key BETWEEN ? AND ? AND {condition}"  # noqa: S608
        ((count,),) = _rows(db, query, *keys_of(partition), *values)
    return int(count)


def _scan(db: apsw.Connection, space: Space, name: str, after: int, limit: int) -> Page:
    first, last = keys_of(_partition(db, space, name))
    rows = _rows(
        db,
        _RECORDS + " WHERE texts.key BETWEEN ? AND ? ORDER BY texts.key LIMIT ?",
        max(first, after + 1),
        last,
        limit + 1,
    )
    page = rows[:limit]
    return Page(records=[_record(row) for row in page], cursor=str(page[-1][0]) if len(rows) > len(page) else None)


# -- rows and values ----------------------------------------------------------------------------------------------

_RECORDS = (
    "SELECT texts.key, id, text, vector, json(metadata) FROM texts JOIN vectors USING (key) JOIN facts USING (key)"
)


def _rows(db: apsw.Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """All rows at once: every value is bound, and what stands in the text is made from checked names alone."""
    return db.execute(query, values).fetchall()


def _partition(db: apsw.Connection, space: Space, name: str) -> int:
    """The partition's number; 0, which no row has, when the space or the partition is unknown."""
    rows = _rows(
        db,
        "SELECT p.id, s.dimension FROM partitions p JOIN spaces s ON s.id = p.space_id WHERE s.name = ? AND p.name = ?",
        space.name,
        name,
    )
    if not rows:
        return 0
    ((partition, dimension),) = rows
    _check_dimension(space, dimension)
    return int(partition)


def _check_dimension(space: Space, dimension: int) -> None:
    if dimension != space.dimension:
        raise InvalidQuery(f"Space {space.name} exists with dimension {dimension}, not {space.dimension}.")


def _record(row: tuple[Any, ...]) -> Record:
    _, id, text, vector, metadata = row
    floats = array.array("f")
    floats.frombytes(vector)
    return Record(id=id, text=text, vector=floats.tolist(), metadata=msgspec.json.decode(metadata))


def _blob(vector: Sequence[float]) -> bytes:
    """The vector with length 1."""
    return struct.pack(f"={len(vector)}f", *unit(vector))  # a third of the time that an array of the same takes


def _packed(dimension: int, records: Sequence[Record], lengths: dict[str, float]) -> list[bytes]:
    """The vectors with lengths that the engine brings to 1 in single precision, faster than it is done here."""
    pack = struct.Struct(f"{dimension}f").pack
    return [pack(*record.vector) if 1e-9 < lengths[record.id] < 1e9 else _blob(record.vector) for record in records]


def _json(values: Sequence[Any]) -> str:
    return msgspec.json.encode(list(values)).decode()
