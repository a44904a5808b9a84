"""The store of every SQL engine with vectors: one table a space, the partition as the first part of its key.

A plugin gives the dialect, a pool of its client, and the codes of its client's errors. A partition is searched
exactly, within its range of the key, until it holds more than `LARGE` records; then it gets a nearest-neighbour index
of its own, if the engine has one for vectors of that length. So thousands of small partitions cost each other nothing,
and writing into them builds no graph. Where an index finds too few, because of a filter, the exact search follows.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import uuid
from abc import abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from dify_kernel.contracts.lexical import Bm25, query_terms, text_terms
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
from dify_kernel.contracts.vector_exact import fused, narrow
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
from dify_kernel.contracts.vector_tokens import metadata_tokens
from dify_kernel.errors import InvalidQuery, StoreUnavailable
from dify_kernel.families.sql_dialect import Condition, Dialect, to_sql
from dify_kernel.families.sql_faults import Fault, fault_of, is_missing, is_transient

__all__ = ["LARGE", "Pool", "SqlVectorStore", "partition_key"]

T = TypeVar("T")
LARGE = 50_000
"""The most records that are searched without an index."""
BATCH = 500
PAGE = 2_000
_OFTEN = 1_000
_PAUSES = (0.05, 0.5)
_METADATA = msgspec.json.Decoder(Metadata)
_logger = logging.getLogger(__name__)


class Pool(Protocol):
    """Connections of a client. One commits each statement, or a `transaction()` at its end, and is thrown away when it
    broke. It has `execute(sql, values)`, which gives a cursor with `fetchall`, and `cursor()` with `executemany`.
    After an error nothing of its transaction is left."""

    def connection(self) -> AbstractAsyncContextManager[Any]: ...

    async def close(self) -> None: ...


class SqlVectorStore(VectorStore):
    """Records in tables; scores are the engine's cosines of vectors that were normalised, in single precision."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, max_dimension=16_000)
    dialect: Dialect
    large: int = LARGE
    #: What has a version, how it is asked for (one row of one column), and the versions that the store is made for;
    #: without the last, nothing is asked.
    versioned: ClassVar[str] = ""
    asks_version: ClassVar[str] = "SELECT version()"
    supported: ClassVar[str] = ""

    def __init__(self) -> None:
        self._pool: Pool | None = None
        self._written: Counter[str] = Counter()
        self._indexing: dict[str, asyncio.Task[None]] = {}

    # -- what a plugin gives --------------------------------------------------------------------------------------

    @abstractmethod
    async def connect(self) -> Pool:
        """Connect once, so that a wrong address or password is told, and make the pool."""

    @abstractmethod
    def fault(self, exc: Exception) -> Fault | None:
        """What the client's error says; None when it is not the client's."""

    # -- the contract -----------------------------------------------------------------------------------------------

    async def open(self) -> None:
        if self._pool is not None:
            return
        pool = await self._translated(self.connect)
        if self._pool is not None:  # opened by somebody else meanwhile
            await pool.close()
            return
        self._pool = pool

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        tasks = list(self._indexing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if pool is not None:
            await pool.close()

    async def version(self) -> EngineVersion | None:
        self._connected()
        if not self.supported:
            return None
        rows = await self._rows(self.asks_version, [])
        return EngineVersion(name=self.versioned, version=str(rows[0][0]) if rows else "", supported=self.supported)

    async def create(self, space: Space) -> None:
        check_space(space, self.capabilities.max_dimension)
        dimension = await self._dimension(space)
        if dimension is None:
            await self._again(lambda: self._make(space))
            dimension = await self._dimension(space)
        if dimension not in (None, space.dimension):
            raise InvalidQuery(f"Space {space.name} exists with dimension {dimension}, not {space.dimension}.")

    async def drop(self, space: Space) -> None:
        if await self._dimension(space) is not None:
            await self._again(lambda: self._remove(space))

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        check_partition(partition)
        lengths = dict(zip((record.id for record in records), check_records(space, records), strict=True))
        table, key = _table(space), partition_key(partition)
        # In the order of the key, so that two writers of the same records never wait for each other.
        kept = sorted(last_by_id(records), key=lambda record: record.id)
        statement = self.dialect.upsert(table)
        for start in range(0, len(kept), BATCH):
            rows = [self._row(key, record, lengths[record.id]) for record in kept[start : start + BATCH]]
            try:
                await self._again(lambda rows=rows: self._write_rows(statement, rows))  # type: ignore[misc]
            except _Missing:
                raise InvalidQuery(f"Space {space.name} was not created.", hint="Call create first.") from None
        if space.dimension <= self.dialect.indexed_dimension:
            await self._count_written(table, key, len(kept))

    async def delete(
        self, space: Space, partition: str, *, ids: Sequence[str] | None = None, filter: Filter | None = None
    ) -> None:
        check_filter(filter)
        known = None if ids is None else [id for id in ids if is_uuid(id)]
        if known == []:
            return
        table, key = _table(space), partition_key(partition)
        where = await self._where(table, key, filter, ids=known)
        await self._delete(table, where)
        if ids is None and filter is None:
            await self._drop_index(table, key)

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
        bound = self.dialect.vector(unit(vector, check_query(space, vector, top_k, filter)))
        table, key = _table(space), partition_key(partition)
        where = await self._where(table, key, filter)
        hits = await self._near(table, where, bound, top_k)
        if len(hits) < top_k and await self._has_index(space, table, key):
            hits = await self._near(table, where, bound, top_k, exact=True)
        return cut(hits, top_k, threshold)

    async def full_text(
        self, space: Space, partition: str, query: str, *, top_k: int = 4, filter: Filter | None = None
    ) -> list[Hit]:
        check_limit("top_k", top_k)
        check_filter(filter)
        table, key = _table(space), partition_key(partition)
        ranked = await self._worded(table, key, query, filter)
        scores = dict(ranked[:top_k])
        if not scores:
            return []
        condition, values = self.dialect.among(list(scores))
        rows = await self._rows(
            f"SELECT id, text, metadata FROM {table} WHERE partition_id = %s AND {condition}",  # noqa: S608
            [key, *values],
        )
        found = {str(id): (text, metadata) for id, text, metadata in rows}
        return [
            Hit(id=id, text=found[id][0] or "", score=score, metadata=_metadata(found[id][1]))
            for id, score in scores.items()
            if id in found
        ]

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
        found: dict[str, Record] = {}
        for start in range(0, len(known), PAGE):
            condition, values = self.dialect.among(known[start : start + PAGE])
            rows = await self._rows(
                f"SELECT id, text, metadata, embedding FROM {_table(space)}"  # noqa: S608 - see sql_dialect
                f" WHERE partition_id = %s AND {condition}",
                [partition_key(partition), *values],
            )
            found.update({record.id: record for record in map(self._record, rows)})
        return [found[id] for id in known if id in found]

    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        check_filter(filter)
        table = _table(space)
        condition, values = await self._where(table, partition_key(partition), filter)
        rows = await self._rows(f"SELECT count(*) FROM {table} WHERE {condition}", values)  # noqa: S608
        return int(rows[0][0]) if rows else 0

    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        check_limit("limit", limit)
        if cursor is not None and not is_uuid(cursor):
            raise InvalidQuery(f"Cursor {cursor!r} is not one that scan gave.")
        rows = await self._rows(
            f"SELECT id, text, metadata, embedding FROM {_table(space)}"  # noqa: S608 - see sql_dialect
            f" WHERE partition_id = %s {'AND id > %s' if cursor else ''} ORDER BY id LIMIT %s",
            [partition_key(partition), *([cursor] if cursor else []), limit + 1],
        )
        records = [self._record(row) for row in rows[:limit]]
        return Page(records=records, cursor=records[-1].id if len(rows) > limit else None)

    # -- spaces --------------------------------------------------------------------------------------------------

    async def _dimension(self, space: Space) -> int | None:
        rows = await self._rows(*self.dialect.find_dimension(_table(space)))
        return self.dialect.read_dimension(rows[0][0]) if rows else None

    async def _make(self, space: Space) -> None:
        table = _table(space)
        async with self._connected() as connection, connection.transaction():
            for statement in self.dialect.prepare:
                await connection.execute(statement)
            cursor = await connection.execute(*self.dialect.find_dimension(table))
            if await cursor.fetchall():  # another process was faster
                return
            for statement, values in self.dialect.create(table, space.dimension):
                await connection.execute(statement, values)

    async def _remove(self, space: Space) -> None:
        async with self._connected() as connection, connection.transaction():
            for statement in self.dialect.prepare:
                await connection.execute(statement)
            for statement, values in self.dialect.drop(_table(space)):
                await connection.execute(statement, values)

    # -- searching -------------------------------------------------------------------------------------------------

    async def _near(self, table: str, where: Condition, bound: Any, top_k: int, *, exact: bool = False) -> list[Hit]:
        # An index serves the order by the bare distance; by an expression of it, none does.
        order = "distance" if not exact else f"({self.dialect.distance}) + 0, id"
        rows = await self._rows(
            f"SELECT id, text, metadata, {self.dialect.distance} AS distance FROM {table}"  # noqa: S608
            f" WHERE {where[0]} ORDER BY {order} LIMIT %s",
            [bound, *where[1], *([bound] if exact else []), top_k],
        )
        return [
            Hit(id=str(id), text=text or "", score=clamp(1.0 - distance), metadata=_metadata(metadata))
            for id, text, metadata, distance in rows
        ]

    async def _worded(self, table: str, key: str, query: str, filter: Filter | None) -> list[tuple[str, float]]:
        terms = {self.dialect.word(key, term): term for term in query_terms(query)}
        if not terms:
            return []
        sharing, sought = self.dialect.sharing(list(terms))
        condition, values = await self._where(table, key, filter)
        rows = await self._sharing(table, key, (f"{sharing} AND {condition}", [*sought, *values]), list(terms))
        if not rows:
            return []
        words = Bm25(query)
        for id, length, held in rows:
            words.add_counted(str(id), length, Counter(terms[word] for word in held))
        ((documents,),) = await self._rows(
            f"SELECT count(*) FROM {table} WHERE partition_id = %s",  # noqa: S608
            [key],
        ) or [(0,)]
        return words.ranked(int(documents))

    async def _sharing(self, table: str, key: str, where: Condition, words: list[Any]) -> list[tuple[Any, ...]]:
        """The id and length of records, and those of some words that each holds, each as often as it does."""
        shared, wanted = self.dialect.shared(words)
        return await self._rows(f"SELECT id, length, {shared} FROM {table} WHERE {where[0]}", [*wanted, *where[1]])  # noqa: S608

    async def _where(
        self, table: str, key: str, filter: Filter | None, *, ids: Sequence[str] | None = None
    ) -> Condition:
        """The condition of a call; what the engine cannot say of a filter becomes the ids of those that satisfy it."""
        sql, values = "partition_id = %s", [key]
        if ids is not None:
            among, bound = self.dialect.among(ids)
            sql, values = f"{sql} AND {among}", [*values, *bound]
        if filter is None:
            return sql, values
        narrowed, whole = narrow(filter, self.dialect.said)
        if narrowed is not None:
            condition, bound = to_sql(self.dialect, narrowed)
            sql, values = f"{sql} AND {condition}", [*values, *bound]
        if whole:
            return sql, values
        among, bound = self.dialect.among(await self._matching(table, sql, values, filter))
        return f"partition_id = %s AND {among}", [key, *bound]

    async def _matching(self, table: str, where: str, values: list[Any], filter: Filter) -> list[str]:
        """The ids among some records that satisfy a filter, by reading their metadata."""
        ids: list[str] = []
        after = str(uuid.UUID(int=0))
        while True:
            rows = await self._rows(
                f"SELECT id, metadata FROM {table} WHERE {where} AND id >= %s ORDER BY id LIMIT %s",  # noqa: S608
                [*values, after, PAGE],
            )
            ids += [str(id) for id, metadata in rows if matches(filter, _metadata(metadata))]
            if len(rows) < PAGE:
                return ids
            after = str(uuid.UUID(int=uuid.UUID(str(rows[-1][0])).int + 1))

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _row(self, key: str, record: Record, length: float) -> tuple[Any, ...]:
        dialect = self.dialect
        terms = Counter(text_terms(record.text))
        words = [word for term, times in terms.items() for word in [dialect.word(key, term)] * times]
        return (
            key,
            record.id,
            record.text,
            msgspec.json.encode(record.metadata).decode(),
            dialect.vector(unit(record.vector, length)),
            dialect.words(words),
            len(words),
            dialect.tokens(metadata_tokens(record.metadata)),
        )

    def _record(self, row: Sequence[Any]) -> Record:
        id, text, metadata, vector = row  # an engine may take an empty text for none
        return Record(
            id=str(id), text=text or "", vector=self.dialect.read_vector(vector), metadata=_metadata(metadata)
        )

    async def _delete(self, table: str, where: Condition) -> None:
        sql, most = f"DELETE FROM {table} WHERE {where[0]}", self.dialect.deleted_at_once  # noqa: S608 - see sql_dialect
        if not most:
            await self._rows(sql, where[1], read=False)
            return
        left = f"SELECT 1 FROM {table} WHERE {where[0]} LIMIT 1"  # noqa: S608 - see sql_dialect
        while await self._rows(left, where[1]):
            await self._rows(f"{sql} LIMIT {most}", where[1], read=False)

    # -- the index of a large partition ------------------------------------------------------------------------

    async def _count_written(self, table: str, key: str, records: int) -> None:
        """Now and then look whether a partition that is written to has become large, and give it its index."""
        index = _index(table, key)
        self._written[index] += records
        if self._written[index] < min(_OFTEN, self.large) or index in self._indexing:
            return
        del self._written[index]
        ((held,),) = await self._rows(
            f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE partition_id = %s LIMIT %s) AS held",  # noqa: S608
            [key, self.large + 1],
        ) or [(0,)]
        if held > self.large and not await self._rows(*self.dialect.find_index(index)):
            task = asyncio.create_task(self._build_index(index, table, key), name=index)
            self._indexing[index] = task
            task.add_done_callback(lambda _: self._indexing.pop(index, None))

    async def _build_index(self, index: str, table: str, key: str) -> None:
        """Takes minutes, while everybody reads and writes; until then, and when it fails, search is exact."""
        try:
            async with self._connected() as connection:
                await connection.execute(self.dialect.make_index(index, table, key))
        except Exception as exc:
            _logger.warning("The index %s of a large partition could not be made: %s", index, exc)
            await self._rows(self.dialect.drop_index(index), [], read=False)

    async def _has_index(self, space: Space, table: str, key: str) -> bool:
        if space.dimension > self.dialect.indexed_dimension:
            return False
        return bool(await self._rows(*self.dialect.find_index(_index(table, key))))

    async def _drop_index(self, table: str, key: str) -> None:
        index = _index(table, key)
        if self.dialect.indexed_dimension and await self._rows(*self.dialect.find_index(index)):
            await self._rows(self.dialect.drop_index(index), [], read=False)

    # -- asking the engine -------------------------------------------------------------------------------------------

    async def _rows(self, sql: str, values: Sequence[Any], *, read: bool = True) -> list[tuple[Any, ...]]:
        """The rows of one statement; none when its table does not exist."""

        async def ask() -> list[tuple[Any, ...]]:
            async with self._connected() as connection:
                cursor = await connection.execute(sql, values)
                return await cursor.fetchall() if read else []

        try:
            return await self._again(ask)
        except _Missing:
            return []

    async def _write_rows(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        async with self._connected() as connection, connection.transaction():
            await connection.cursor().executemany(statement, rows)

    def _connected(self) -> AbstractAsyncContextManager[Any]:
        if self._pool is None:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.")
        return self._pool.connection()

    async def _again(self, call: Callable[[], Awaitable[T]]) -> T:
        """Every call may be repeated: it reads, or writes and deletes by id. Done so when the connection broke."""
        for pause in _PAUSES:
            try:
                return await call()
            except Exception as exc:
                fault = self.fault(exc)
                if fault is None or not is_transient(fault) or self._pool is None:
                    raise self._raised(exc) from exc
            await asyncio.sleep(pause)
        return await self._translated(call)

    async def _translated(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except Exception as exc:
            raise self._raised(exc) from exc

    def _raised(self, exc: Exception) -> Exception:
        fault = self.fault(exc)
        if fault is None:
            return exc
        return _Missing() if is_missing(fault) else fault_of(fault)


class _Missing(Exception):
    """The table does not exist."""


def partition_key(partition: str) -> str:
    """The UUID that stands for a partition: its name, if that is one, else made from it."""
    if is_uuid(partition):
        return partition
    return str(uuid.UUID(bytes=hashlib.blake2b(partition.encode(errors="surrogatepass"), digest_size=16).digest()))


@functools.lru_cache(maxsize=256)
def _table(space: Space) -> str:
    return native_name(space.name, prefix="dify_", limit=50)


def _index(table: str, key: str) -> str:
    return native_name(f"{table} {key}", prefix="dify_near_", limit=50)


def _metadata(value: Any) -> Metadata:
    """Metadata from a column that a client may have decoded already."""
    return value if isinstance(value, dict) else _METADATA.decode(value)
