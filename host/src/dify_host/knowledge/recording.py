"""Records what was asked of knowledge bases and what was found, beside the answers and in batches.

A question is taken in memory and written with the others of a quarter of a second: one insert for all of them, and one
change for all segments that were found equally often. An orderly end writes what is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from dify_host.db.repository import TenantRepository
from dify_host.db.types import new_id, utc_now
from dify_host.db.writer import BatchWriter, Group
from dify_host.knowledge.tables import dataset_queries, document_segments

__all__ = ["Asker", "RetrievalLog"]

log = logging.getLogger(__name__)

_SECONDS: Final = 0.25
#: So many rows are not kept back any longer.
_ROWS: Final = 500
#: So many batches may wait for the database; who asks then waits with them.
_BATCHES: Final = 8


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: an account or an end user, from hit testing or from an app."""

    user_id: str
    role: str = "account"
    source: str = "hit_testing"
    app_id: str | None = None


class RetrievalLog:
    """The questions of all tenants of a process."""

    def __init__(self, writer: BatchWriter) -> None:
        self._writer = writer
        self._rows: list[dict[str, Any]] = []
        self._hits: dict[str, tuple[TenantRepository, Counter[str]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Future[None]] = set()

    async def note(
        self,
        repository: TenantRepository,
        dataset_ids: Sequence[str],
        query: str,
        segment_ids: Sequence[str],
        asker: Asker,
    ) -> None:
        """Take a question to the tenant's datasets, and a hit for each segment; waits only while the database lags."""
        content = msgspec.json.encode([{"content_type": "text_query", "content": query}]).decode()
        values = {
            "content": content,
            "source": asker.source,
            "source_app_id": asker.app_id,
            "created_by_role": asker.role,
            "created_by": asker.user_id,
            "created_at": utc_now(),
        }
        self._rows += [{"id": new_id(), "dataset_id": dataset_id, **values} for dataset_id in dataset_ids]
        if segment_ids:
            self._hits.setdefault(repository.tenant.id, (repository, Counter()))[1].update(segment_ids)
        if len(self._rows) >= _ROWS:
            self._send()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SECONDS, self._send)
        while len(self._writing) >= _BATCHES:
            await asyncio.wait(self._writing, return_when=asyncio.FIRST_COMPLETED)

    async def flush(self) -> None:
        """Write what was taken so far; returns when it is durable, or was refused."""
        self._send()
        if self._writing:
            await asyncio.wait(self._writing)

    async def close(self) -> None:
        """Write what is left, before the writer is closed; may be called twice."""
        await self.flush()

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._rows and not self._hits:
            return
        rows, self._rows = self._rows, []
        hits, self._hits = self._hits, {}
        group = Group()
        for row in rows:
            group.insert(dataset_queries, row)
        for repository, counted in hits.values():
            _count(group, repository, counted)
        future = self._writer.put(group)
        self._writing.add(future)
        future.add_done_callback(self._written)

    def _written(self, future: asyncio.Future[None]) -> None:
        self._writing.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            log.error("questions to knowledge bases are not recorded: %s", error)


def _count(group: Group, repository: TenantRepository, counted: Counter[str]) -> None:
    by_number: dict[int, list[str]] = {}
    for segment_id, number in counted.items():
        by_number.setdefault(number, []).append(segment_id)
    table = document_segments
    for number, ids in sorted(by_number.items()):
        # A hit does not change a segment, so its time of change stays.
        more = {"hit_count": table.c.hit_count + number, "updated_at": table.c.updated_at}
        for start in range(0, len(ids), _ROWS):
            group.execute(
                repository.scoped_update(table, more).where(table.c.id.in_(sorted(ids)[start : start + _ROWS]))
            )
