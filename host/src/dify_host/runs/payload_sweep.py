"""Deletes large values in the storage that nothing refers to: their runs are gone, or never got to write of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.storage import Entry, Storage

from dify_host.db.engine import Database
from dify_host.db.types import utc_now
from dify_host.runs.payloads import FOLDER, is_closed
from dify_host.runs.tables import workflow_payloads

__all__ = ["Swept", "sweep_payloads"]

_BATCH: Final = 500


class Swept(msgspec.Struct, kw_only=True):
    """How many objects went, their bytes, and how many are still needed or too young to tell."""

    objects: int = 0
    size: int = 0
    kept: int = 0


async def sweep_payloads(
    db: Database, storage: Storage, *, now: datetime | None = None, dry_run: bool = False
) -> Swept:
    """Look through all large values and delete those that nothing refers to; those of the last two days stay.

    A value of a day that is over can lose what refers to it, but nothing new can come to refer to it: what is found
    unneeded here stays so, whatever runs write meanwhile. With `dry_run` nothing is deleted.
    """
    swept, batch = Swept(), list[Entry]()
    now = now or utc_now()
    async for entry in storage.scan(FOLDER):
        if not is_closed(entry.key, now):
            swept.kept += 1
            continue
        batch.append(entry)
        if len(batch) == _BATCH:
            await _sweep(db, storage, batch, swept, dry_run)
            batch = []
    await _sweep(db, storage, batch, swept, dry_run)
    return swept


async def _sweep(db: Database, storage: Storage, batch: Sequence[Entry], swept: Swept, dry_run: bool) -> None:
    if not batch:
        return
    column = workflow_payloads.c.object_key
    query = sa.select(column).where(column.in_([entry.key for entry in batch])).distinct()
    async with db.read() as conn:
        needed = set((await conn.execute(query)).scalars())
    for entry in batch:
        if entry.key in needed:
            swept.kept += 1
            continue
        if not dry_run:
            await storage.delete(entry.key)
        swept.objects += 1
        swept.size += entry.size
