"""The vector store `duckdb`: one table a space, one row a record, compared column by column and without an index."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from dify_kernel.contracts.lexical import Bm25, query_terms
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
from dify_kernel.contracts.vector_exact import fused, narrow, to_hit
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
)
from dify_kernel.errors import InvalidQuery, StoreUnavailable, VectorStoreError

from dify_vdb_duckdb.database import Database
from dify_vdb_duckdb.filters import Condition, said, to_sql
from dify_vdb_duckdb.rows import (
    WHOLE,
    columns,
    create,
    dimension_of,
    metadata_of,
    record_of,
    table_of,
    upsert,
    vector_text,
)
from dify_vdb_duckdb.settings import DuckdbSettings

__all__ = ["DuckdbVectorStore"]

T = TypeVar("T")
BATCH = 500
_AMONG = "id IN (SELECT unnest(?::UUID[]))"


class DuckdbVectorStore(VectorStore):
    """Vectors in a file of DuckDB; scores are inner products of vectors of length 1, in single precision."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, max_dimension=16_384)

    def __init__(self, settings: DuckdbSettings) -> None:
        self._database = Database(settings)
        self._threads: Blocking | None = None

    # -- opening ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        if self._threads is not None:
            return
        threads = self._threads = Blocking("duckdb")
        self._database.begin()
        try:
            await self._rows("SELECT 1", [])
        except BaseException:
            if self._threads is threads:
                await self.close()
            raise

    async def close(self) -> None:
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.close()
            await asyncio.to_thread(self._database.finish)

    async def version(self) -> EngineVersion | None:
        ((version,),) = await self._rows("SELECT version()", [])
        return EngineVersion(name="DuckDB", version=version, supported=">=2,<3")

    # -- spaces ----------------------------------------------------------------------------------------------------

    async def create(self, space: Space) -> None:
        check_space(space, self.capabilities.max_dimension)
        dimension = await self._dimension(space)
        if dimension is None:
            await self._write(create(space), list)
            dimension = await self._dimension(space)
        _check_dimension(space, dimension)

    async def drop(self, space: Space) -> None:
        await self._write(f"DROP TABLE IF EXISTS {table_of(space)}", list)

    # -- records ---------------------------------------------------------------------------------------------------

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        check_partition(partition)
        check_records(space, records)
        kept = last_by_id(records)
        for start in range(0, len(kept), BATCH):
            batch = kept[start : start + BATCH]
            try:
                written = await self._write(upsert(space), lambda batch=batch: columns(partition, batch))  # type: ignore[misc]
            except StoreUnavailable:
                raise
            except VectorStoreError:
                _check_dimension(space, await self._dimension(space))  # it may be what the engine refused
                raise
            if not written:
                raise InvalidQuery(f"Space {space.name} was not created.", hint="Call create first.")

    async def delete(
        self, space: Space, partition: str, *, ids: Sequence[str] | None = None, filter: Filter | None = None
    ) -> None:
        check_filter(filter)
        where, values = await self._where(space, partition, filter, ids)
        await self._write(f"DELETE FROM {table_of(space)} WHERE {where}", lambda: values)  # noqa: S608

    async def get(self, space: Space, partition: str, ids: Sequence[str]) -> list[Record]:
        where, values = await self._where(space, partition, None, ids)
        rows = await self._rows(f"SELECT {WHOLE} FROM {table_of(space)} WHERE {where}", values)  # noqa: S608
        found = {record.id: record for record in map(record_of, rows)}
        return [found[id] for id in dict.fromkeys(ids) if id in found]

    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        check_filter(filter)
        where, values = await self._where(space, partition, filter)
        rows = await self._rows(f"SELECT count(*) FROM {table_of(space)} WHERE {where}", values)  # noqa: S608
        return int(rows[0][0]) if rows else 0

    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        check_limit("limit", limit)
        if cursor is not None and not is_uuid(cursor):
            raise InvalidQuery(f"Cursor {cursor!r} is not one that scan gave.")
        check_partition(partition)
        after = ("AND id > ?::UUID", [cursor]) if cursor else ("", [])
        rows = await self._rows(
            f"SELECT {WHOLE} FROM {table_of(space)} WHERE partition = ? {after[0]} ORDER BY id LIMIT ?",  # noqa: S608
            [partition, *after[1], limit + 1],
        )
        records = [record_of(row) for row in rows[:limit]]
        return Page(records=records, cursor=records[-1].id if len(rows) > limit else None)

    # -- searching -------------------------------------------------------------------------------------------------

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
        where, values = await self._where(space, partition, filter)
        rows = await self._rows(
            "SELECT id::VARCHAR, text, metadata,"  # noqa: S608
            f" array_inner_product(vector, ?::VARCHAR::FLOAT[{space.dimension}]) AS score"
            f" FROM {table_of(space)} WHERE {where} ORDER BY score DESC, id LIMIT ?",
            [vector_text(vector), *values, top_k],
        )
        hits = [
            Hit(id=id, text=text, score=clamp(score), metadata=metadata_of(metadata))
            for id, text, metadata, score in rows
        ]
        return cut(hits, top_k, threshold)

    async def full_text(
        self, space: Space, partition: str, query: str, *, top_k: int = 4, filter: Filter | None = None
    ) -> list[Hit]:
        check_limit("top_k", top_k)
        check_filter(filter)
        terms = query_terms(query)
        if not terms:
            return []
        where, values = await self._where(space, partition, filter)
        rows = await self._rows(
            "SELECT id::VARCHAR, len(words), list_filter(words, lambda word: list_contains(?::VARCHAR[], word))"  # noqa: S608
            f" FROM {table_of(space)} WHERE {where} AND list_has_any(words, ?::VARCHAR[])",
            [terms, *values, terms],
        )
        ranking = Bm25(query)
        for id, length, held in rows:
            ranking.add_counted(id, length, Counter(held))
        best = ranking.ranked(await self.count(space, partition))[:top_k]
        found = {record.id: record for record in await self.get(space, partition, [id for id, _ in best])}
        return [to_hit(found[id], score) for id, score in best if id in found]

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

    # -- statements ------------------------------------------------------------------------------------------------

    async def _dimension(self, space: Space) -> int | None:
        rows = await self._rows(
            "SELECT data_type FROM duckdb_columns() WHERE table_name = ? AND column_name = 'vector'", [table_of(space)]
        )
        return dimension_of(rows[0][0]) if rows else None

    async def _where(
        self, space: Space, partition: str, filter: Filter | None, ids: Sequence[str] | None = None
    ) -> Condition:
        """The condition of a call; what DuckDB cannot say of a filter becomes the ids of those that satisfy it."""
        check_partition(partition)
        narrowed, whole = narrow(filter, said)
        condition, bound = to_sql(narrowed)
        sql, values = f"partition = ? AND {condition}", [partition, *bound]
        if ids is not None:
            sql, values = f"{sql} AND {_AMONG}", [*values, [id for id in ids if is_uuid(id)]]
        if whole:
            return sql, values
        rows = await self._rows(f"SELECT id::VARCHAR, metadata FROM {table_of(space)} WHERE {sql}", values)  # noqa: S608
        kept = [id for id, metadata in rows if matches(filter, metadata_of(metadata))]
        return f"partition = ? AND {_AMONG}", [partition, kept]

    async def _rows(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """What a statement finds; nothing when there is no such table."""

        def run() -> list[Any]:
            with self._database.reading() as connection:
                return connection.execute(sql, values).fetchall()

        return await self._run(run) or []

    async def _write(self, sql: str, values: Callable[[], list[Any]]) -> bool:
        """Run a statement with values that are made in its thread; false when there is no such table."""

        def run() -> bool:
            bound = values()
            with self._database.writing() as connection:
                connection.execute(sql, bound)
            return True

        return await self._run(run) or False

    async def _run(self, call: Callable[[], T]) -> T | None:
        threads = self._threads
        if threads is None:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.")
        return await threads.run(_translated, call)


def _check_dimension(space: Space, dimension: int | None) -> None:
    if dimension not in (None, space.dimension):
        raise InvalidQuery(f"Space {space.name} exists with dimension {dimension}, not {space.dimension}.")


def _translated(call: Callable[[], T]) -> T | None:
    """What the call gives, or None when a table is missing."""
    import duckdb

    try:
        return call()
    except duckdb.CatalogException:
        return None
    except (duckdb.IOException, duckdb.InterruptException) as exc:
        raise StoreUnavailable(f"DuckDB cannot use its file: {exc}", hint="Check that the disk has room.") from exc
    except duckdb.Error as exc:
        raise VectorStoreError(f"DuckDB failed: {exc}") from exc
