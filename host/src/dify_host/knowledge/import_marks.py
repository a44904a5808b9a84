"""Marks of imports of knowledge bases that are under way: what one that is cut off has left is found and taken out.

The mark is written before anything else, and goes in the transaction in which the knowledge base appears. An import
says with each part that it is alive; one that was silent for an hour is taken for dead, and a daily job takes back what
it wrote. The same import begun anew does so at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import DifyError
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseError
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.knowledge.errors import ImportCutOff
from dify_host.knowledge.links import Links
from dify_host.knowledge.records import Dataset
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import (
    child_chunks,
    dataset_imports,
    dataset_keywords,
    dataset_metadata_bindings,
    datasets,
    document_segments,
    documents,
    segment_attachment_bindings,
)
from dify_host.knowledge.vectors import VectorStores

__all__ = ["SILENT", "ImportMark", "take_back", "take_back_cut_off"]

log = logging.getLogger(__name__)

SILENT: Final = timedelta(hours=1)
_SCOPED: Final = (segment_attachment_bindings, child_chunks, document_segments, documents, dataset_metadata_bindings)


class ImportMark:
    """The mark of one import of one tenant; `files` are the ids that its uploads have here."""

    def __init__(self, rows: KnowledgeRepository, dataset: Dataset, files: Sequence[str]) -> None:
        self._rows = rows
        self._dataset = dataset
        self._files = list(files)
        self._token = new_id()

    async def set(self) -> None:
        """Write it; of two processes with one import the later one goes on."""
        values = {
            "dataset": msgspec.to_builtins(self._dataset),
            "files": self._files,
            "token": self._token,
            "looked_at": utc_now(),
        }
        mine = dataset_imports.c.id == self._dataset.id
        async with self._rows.db.write() as conn:
            changed = await conn.execute(self._rows.scoped_update(dataset_imports, values).where(mine))
            if changed.rowcount == 0:
                row = {"id": self._dataset.id, **values}
                await conn.execute(self._rows.scoped_insert(dataset_imports, row))

    async def alive(self) -> None:
        """Say that the import is under way; ImportCutOff when another process has taken it over or back."""
        change = self._rows.scoped_update(dataset_imports, {"looked_at": utc_now()}).where(*self._own)
        async with self._rows.db.write() as conn:
            if (await conn.execute(change)).rowcount == 0:
                raise self._lost()

    async def done(self, conn: AsyncConnection) -> None:
        """Take it away in the transaction in which the knowledge base appears; ImportCutOff as in `alive`."""
        if (await conn.execute(self._rows.scoped_delete(dataset_imports).where(*self._own))).rowcount == 0:
            raise self._lost()

    @property
    def _own(self) -> tuple[sa.ColumnElement[bool], ...]:
        return dataset_imports.c.id == self._dataset.id, dataset_imports.c.token == self._token

    def _lost(self) -> DifyError:
        return ImportCutOff(
            "The import was begun anew elsewhere, or was silent for an hour and taken back.",
            hint="Begin it again.",
            dataset_id=self._dataset.id,
        )


async def take_back(
    rows: KnowledgeRepository, storage: Storage, stores: VectorStores, dataset: Dataset, files: Sequence[str]
) -> None:
    """Take out what an import wrote, unless its knowledge base is there: rows, files, vectors, and at last the mark."""
    links = Links(rows.db, rows.tenant)
    async with rows.db.write() as conn:
        present = rows.scoped_select(datasets, datasets.c.id).where(datasets.c.id == dataset.id)
        if (await conn.execute(present)).one_or_none() is not None:
            return
        for table in _SCOPED:
            await conn.execute(rows.scoped_delete(table).where(table.c.dataset_id == dataset.id))
        await conn.execute(dataset_keywords.delete().where(dataset_keywords.c.dataset_id == dataset.id))
        gone = [upload for group in _groups(files) for upload in await links.uploads(conn, group)]
        for group in _groups(files):
            await links.drop_uploads(conn, group)
    for upload in gone:
        await storage.delete(upload.key)
    if dataset.index is not None and dataset.index.space is not None:
        store = await stores.ready(dataset.index.store, dataset.index.space)
        await store.delete(dataset.index.space, dataset.id)
    async with rows.db.write() as conn:
        await conn.execute(rows.scoped_delete(dataset_imports).where(dataset_imports.c.id == dataset.id))


async def take_back_cut_off(db: Database, storage: Storage, stores: VectorStores) -> int:
    """Take back every import that is silent; returns how many. One whose store is away is tried again another time."""
    async with db.read() as conn:
        silent = sa.select(dataset_imports).where(dataset_imports.c.looked_at < utc_now() - SILENT)
        found: Sequence[sa.Row[Any]] = (await conn.execute(silent)).all()
    taken = 0
    for row in found:
        async with db.write() as conn:
            # From here on the import that is not dead after all fails, and so does another sweep.
            claim = dataset_imports.update().where(
                dataset_imports.c.id == row.id, dataset_imports.c.looked_at == row.looked_at
            )
            if (await conn.execute(claim.values(token=new_id()))).rowcount == 0:
                continue
        rows = KnowledgeRepository(db, Tenant(row.tenant_id))
        try:
            await take_back(rows, storage, stores, msgspec.convert(row.dataset, Dataset), row.files)
        except DatabaseError:
            raise
        except DifyError as exc:
            log.warning("What the import of knowledge base %s has left stays for now: %s", row.id, exc)
        else:
            taken += 1
    return taken


def _groups(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), 500):
        yield ids[start : start + 500]
