"""The store: one table a space, filtered by the partition's index first, then compared exactly.

LanceDB writes a new version of a table with every write, and the rows of a write are a file of their own until they are
compacted. So writes of one process to one table stand in line, and every so often one of them tidies up.
"""

from __future__ import annotations

import asyncio
import importlib
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from dify_kernel.contracts.lexical import query_terms
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
from dify_kernel.contracts.vector_exact import fused, over_fetch
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
from dify_kernel.errors import InvalidQuery, StoreUnavailable, VectorStoreError

from dify_vdb_lancedb.filters import among, conditions, within
from dify_vdb_lancedb.rows import FOUND, STORED, schema_of, to_hit, to_record, to_table
from dify_vdb_lancedb.settings import LancedbSettings
from dify_vdb_lancedb.upkeep import Upkeep, make_indices, publish

if TYPE_CHECKING:
    from lancedb.db import AsyncConnection
    from lancedb.table import AsyncTable

__all__ = ["LancedbVectorStore"]

T = TypeVar("T")
BATCH = 2_000
IDS = 5_000
ALL = 2**31 - 1
ATTEMPTS = 4
USUAL = 1_000
"""A `top_k` up to here is asked for as it is; over it, no more than the table holds."""


class LancedbVectorStore(VectorStore):
    """Exact search over tables in a folder or bucket that several processes may share."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, max_dimension=65_535)

    def __init__(self, settings: LancedbSettings) -> None:
        self._settings = settings
        self._opened: AsyncConnection | None = None
        self._vendor: Any = None
        self._lines: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._upkeep: defaultdict[str, Upkeep] = defaultdict(Upkeep)

    async def open(self) -> None:
        self._vendor = await asyncio.to_thread(importlib.import_module, "lancedb")
        if self._opened is not None:
            return
        try:
            connection = await self._vendor.connect_async(self._settings.uri)
            await connection.list_tables(limit=1)
        except Exception as exc:
            raise self._fault(exc) from exc
        if self._opened is None:  # or opened by somebody else meanwhile
            self._opened = connection

    async def close(self) -> None:
        connection, self._opened = self._opened, None
        if connection is not None:
            connection.close()  # type: ignore[no-untyped-call]

    async def version(self) -> EngineVersion | None:
        await self._call(self._connection.list_tables(limit=1))
        return EngineVersion(name="LanceDB", version=str(self._vendor.__version__), supported=">=0.30")

    async def create(self, space: Space) -> None:
        check_space(space, self.capabilities.max_dimension)
        table = await self._table(space)
        if table is None:
            async with self._lines[space.name]:
                table = await self._table(space) or await self._make(space)
        await self._check_dimension(space, table)

    async def drop(self, space: Space) -> None:
        async with self._lines[space.name]:
            self._upkeep.pop(space.name, None)
            await self._call(self._connection.drop_table(_name(space), ignore_missing=True))

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        check_partition(partition)
        check_records(space, records)
        kept = last_by_id(records)
        for start in range(0, len(kept), BATCH):
            rows = await asyncio.to_thread(to_table, space, partition, kept[start : start + BATCH])

            async def write(table: AsyncTable, rows: Any = rows) -> object:
                await self._check_dimension(space, table)
                return (
                    await table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)
                )

            if not await self._write(space, write, rows.num_rows):
                raise InvalidQuery(f"Space {space.name} was not created.", hint="Call create first.")

    async def delete(
        self,
        space: Space,
        partition: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Filter | None = None,
    ) -> None:
        check_filter(filter)
        table = await self._table(space)
        said, whole = conditions(filter)
        known = None if ids is None else [id for id in dict.fromkeys(ids) if is_uuid(id)]
        if table is None or known == []:
            return
        if not whole:
            known = await self._matching(table, partition, filter, known)
        groups = [[]] if known is None else [[among(part)] for part in _batches(known)]
        for group in groups:
            condition = within(partition, *said, *group)

            async def write(table: AsyncTable, condition: str = condition) -> object:
                return await table.delete(condition)

            await self._write(space, write, 0)

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
        table = await self._table(space)
        if table is None:
            return []
        said, whole = conditions(filter)
        near = table.query().nearest_to(unit(vector, length)).distance_type("cosine").bypass_vector_index()
        query = near.where(within(partition, *said)).select([*FOUND, "_distance"])

        async def fetch(limit: int) -> list[Hit]:
            rows = await self._rows(query.limit(limit))
            return [to_hit(row, clamp(1.0 - row["_distance"])) for row in rows]

        return cut(await self._first(table, fetch, top_k, None if whole else filter), top_k, threshold)

    async def full_text(
        self, space: Space, partition: str, query: str, *, top_k: int = 4, filter: Filter | None = None
    ) -> list[Hit]:
        check_limit("top_k", top_k)
        check_filter(filter)
        words, table = query_terms(query), await self._table(space)
        if table is None or not words:
            return []
        said, whole = conditions(filter)
        wanted = self._vendor.query.MatchQuery(" ".join(words), "words")
        worded = table.query().nearest_to_text(wanted)
        asked = worded.where(within(partition, *said)).select([*FOUND, "_score"])

        async def fetch(limit: int) -> list[Hit]:
            hits = [to_hit(row, row["_score"]) for row in await self._rows(asked.limit(limit))]
            return sorted(hits, key=lambda hit: (-hit.score, hit.id))

        return await self._first(table, fetch, top_k, None if whole else filter)

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
        table = await self._table(space)
        if table is None:
            return []
        found: dict[str, Record] = {}
        for part in _batches(known):
            rows = await self._rows(table.query().where(within(partition, among(part))).select(STORED))
            found.update({row["id"]: to_record(row) for row in rows})
        return [found[id] for id in known if id in found]

    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        check_filter(filter)
        table = await self._table(space)
        if table is None:
            return 0
        said, whole = conditions(filter)
        if not whole:
            return len(await self._matching(table, partition, filter, None))
        return await self._call(table.count_rows(within(partition, *said)))

    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        check_limit("limit", limit)
        if cursor is not None and not is_uuid(cursor):
            raise InvalidQuery(f"Cursor {cursor!r} is not one that scan gave.")
        table = await self._table(space)
        if table is None:
            return Page(records=[])
        after = [] if cursor is None else [f"id > '{cursor}'"]
        by_id = self._vendor.query.ColumnOrdering(column_name="id", ascending=True, nulls_first=False)
        query = table.query().where(within(partition, *after)).select(STORED).order_by([by_id])
        records = [to_record(row) for row in await self._rows(query.limit(min(limit, ALL)))]
        return Page(records=records, cursor=records[-1].id if len(records) == limit else None)

    # -- asking the engine ----------------------------------------------------------------------------------------

    async def _first(
        self,
        table: AsyncTable,
        fetch: Callable[[int], Awaitable[list[Hit]]],
        top_k: int,
        rest: Filter | None,
    ) -> list[Hit]:
        """The first of a ranking that satisfy what the engine could not say; it has no longest list."""
        if rest is None and top_k <= USUAL:
            return await fetch(top_k)
        most = max(1, await self._call(table.count_rows()))
        if rest is None:
            return await fetch(min(top_k, most))
        found = await over_fetch(fetch, lambda hit: matches(rest, hit.metadata), top_k, most=most + 1)
        return found or []

    async def _matching(
        self, table: AsyncTable, partition: str, filter: Filter | None, ids: Sequence[str] | None
    ) -> list[str]:
        """The ids of a partition, or among some of it, that satisfy a filter, by reading metadata."""
        said, _ = conditions(filter)
        parts = [within(partition, *said)]
        if ids is not None:
            parts = [within(partition, *said, among(part)) for part in _batches(ids)]
        found = []
        for part in parts:
            rows = await self._rows(table.query().where(part).select(["id", "text", "metadata"]))
            hits = [to_hit(row, 0.0) for row in rows]
            found += [hit.id for hit in hits if matches(filter, hit.metadata)]
        return found

    async def _rows(self, query: Any) -> list[dict[str, Any]]:
        return (await self._call(query.to_arrow())).to_pylist()  # type: ignore[no-any-return]

    # -- tables ---------------------------------------------------------------------------------------------------

    @property
    def _connection(self) -> AsyncConnection:
        if self._opened is None:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.")
        return self._opened

    async def _check_dimension(self, space: Space, table: AsyncTable) -> None:
        dimension = (await self._call(table.schema())).field("vector").type.list_size
        if dimension != space.dimension:
            raise InvalidQuery(f"Space {space.name} exists with dimension {dimension}, not {space.dimension}.")

    async def _table(self, space: Space) -> AsyncTable | None:
        """The newest version of a space's table; opened for every call, because another process may have written."""
        name = _name(space)
        for attempt in range(ATTEMPTS):
            try:
                return await self._connection.open_table(name)
            except ValueError as exc:
                if not await self._is_there(name):
                    return None
                if attempt == ATTEMPTS - 1:
                    raise self._fault(exc) from exc
            except Exception as exc:
                raise self._fault(exc) from exc
            await asyncio.sleep(0.05 * 2**attempt)  # it is just being made or dropped
        return None

    async def _is_there(self, name: str) -> bool:
        token = None
        while True:
            page = await self._call(self._connection.list_tables(page_token=token, limit=1000))
            if name in page.tables or not page.page_token:
                return name in page.tables
            token = page.page_token

    async def _make(self, space: Space) -> AsyncTable:
        """Make the table of a space with its indices.

        LanceDB may overwrite a table that another process makes at the same moment. In a folder it is made under a name
        of its own, and renamed when it is whole: of several the first stays.
        """
        name = _name(space)
        if "://" in self._settings.uri:
            table = await self._call(self._connection.create_table(name, schema=schema_of(space), exist_ok=True))
            await self._call(make_indices(table, self._vendor.index))
            return table
        draft = f"{name}_{uuid.uuid4().hex}"
        table = await self._call(self._connection.create_table(draft, schema=schema_of(space)))
        await self._call(make_indices(table, self._vendor.index))
        await asyncio.to_thread(publish, Path(self._settings.uri), draft, name)
        await self._call(self._connection.drop_table(draft, ignore_missing=True))
        return await self._call(self._connection.open_table(name))

    async def _write(self, space: Space, write: Callable[[AsyncTable], Awaitable[object]], rows: int) -> bool:
        """Do a write in its turn; whether there is such a space. One that met another process's is repeated."""
        async with self._lines[space.name]:
            for attempt in range(ATTEMPTS):
                table = await self._table(space)
                if table is None:
                    return False
                try:
                    await write(table)
                    await self._upkeep[space.name].after(table, rows)
                    return True
                except RuntimeError as exc:  # a conflict of versions has no class of its own
                    if attempt == ATTEMPTS - 1:
                        raise self._fault(exc) from exc
                except Exception as exc:
                    raise self._fault(exc) from exc
                await asyncio.sleep(0.05 * 2**attempt)
        return False

    async def _call(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except Exception as exc:
            raise self._fault(exc) from exc

    def _fault(self, exc: Exception) -> Exception:
        """The error to raise from what the engine raised."""
        reason = " ".join(str(exc).split())[:300] or type(exc).__name__
        if isinstance(exc, OSError):
            return StoreUnavailable(
                f"LanceDB cannot use {self._settings.uri}: {reason}.", hint="Check LANCEDB_URI.", setting="LANCEDB_URI"
            )
        if isinstance(exc, ValueError | RuntimeError):
            return VectorStoreError(f"LanceDB in {self._settings.uri}: {reason}.", setting="LANCEDB_URI")
        return exc


def _name(space: Space) -> str:
    """The table of a space: a folder, and not every file system tells case apart."""
    return native_name(space.name)


def _batches(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + IDS] for start in range(0, len(ids), IDS)]
