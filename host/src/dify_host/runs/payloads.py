"""Large values of runs in the storage: each once a day and workspace, under the hash of its content.

The day in a key is what makes it safe to delete: nobody begins to refer to a value of a day that is over, so one that
nothing refers to a day later is never needed again, whoever writes the same content meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import LogError, ObjectNotFound, StorageError

from dify_host.db.types import utc_now
from dify_host.runs.large_values import PayloadLost, Places, is_frame, pack_column, restore

__all__ = ["FOLDER", "LIMIT", "PayloadNotKept", "Payloads", "is_closed", "payload_key"]

FOLDER: Final = "payloads/"
#: Bytes of JSON that a value may have in the database.
LIMIT: Final = 64 * 1024
#: Seconds before each further try to keep a value that the storage did not take just now.
_PAUSES: Final = (0.05, 0.2, 0.75, 2.0)
_AT_ONCE: Final = 8
_REMEMBERED: Final = 4096
_OPEN: Final = timedelta(days=2)


class PayloadNotKept(LogError):
    """The storage did not take a large value of a run; another process may have more luck."""

    code = "payload_not_kept"
    status = 503
    retryable = True


def payload_key(tenant_id: str, data: bytes, now: datetime) -> str:
    """Where a value of a workspace is kept that is written now."""
    return f"{FOLDER}{tenant_id}/{now.date().isoformat()}/{hashlib.sha256(data).hexdigest()}"


def is_closed(key: str, now: datetime) -> bool:
    """Whether nothing new can refer to this key; False for what is no key of a value."""
    try:
        return day_of(key) + _OPEN <= now.date()
    except (ValueError, IndexError):
        return False


def day_of(key: str) -> date:
    """The day that a value was first written on; ValueError or IndexError for what is no key of a value."""
    return date.fromisoformat(key.split("/")[2])


class Payloads:
    """Keeps and loads the large values of all runs. `limit` is in bytes of JSON; 0 keeps everything in the database.

    What the storage does not take just now is tried again after each of these `pauses`.
    """

    def __init__(self, storage: Storage, *, limit: int = LIMIT, pauses: Sequence[float] = _PAUSES) -> None:
        self._storage = storage
        self._pauses = pauses
        self.limit = limit
        self._kept: OrderedDict[str, None] = OrderedDict()
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def keep(self, values: Mapping[str, bytes], **where: Any) -> None:
        """Return when every value is in the storage; PayloadNotKept, which tells `where`, when one is not taken."""
        fresh = {key: data for key, data in values.items() if key not in self._kept}
        results = await asyncio.gather(*(self._save(key, data) for key, data in fresh.items()), return_exceptions=True)
        for error in results:
            if isinstance(error, StorageError):
                raise PayloadNotKept(
                    f"The storage does not take a large value of {_place(where)}: {error.message}",
                    hint="Check the storage; the run goes on when it is back.",
                    **where,
                ) from error
            if error is not None:
                raise error
        if any(is_closed(key, utc_now()) for key in values):
            # The process slept: what it has just written may be deleted before anything refers to it.
            raise PayloadNotKept(f"A large value of {_place(where)} was kept too late.", **where)

    async def _save(self, key: str, data: bytes) -> None:
        async with self._gate:
            for pause in (*self._pauses, None):
                try:
                    await self._storage.save(key, data)
                except StorageError as exc:
                    if pause is None or not exc.retryable:
                        raise
                    await asyncio.sleep(pause)
                else:
                    break
        self._kept[key] = None
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)

    async def load(self, wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, bytes]:
        """The values under these keys; PayloadLost when one is gone, with the place that stands beside its key."""
        values = await asyncio.gather(*(self._load(key, where) for key, where in wanted.items()))
        return dict(zip(wanted, values, strict=True))

    async def _load(self, key: str, where: Mapping[str, Any]) -> bytes:
        async with self._gate:
            try:
                data = await self._storage.load(key)
            except ObjectNotFound as exc:
                raise _lost(key, where, "is not in the storage any more") from exc
        if hashlib.sha256(data).hexdigest() != key.rpartition("/")[2]:
            raise _lost(key, where, "is not what was written")
        return data

    # -- columns ----------------------------------------------------------------------------------------------

    async def fill(self, columns: Mapping[str, Any], **where: Any) -> dict[str, Any]:
        """Columns of a row with what was taken out of them; PayloadLost, which tells `where` that was."""
        return (await self.fill_all([(columns, where)]))[0]

    async def fill_all(self, rows: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[dict[str, Any]]:
        """The same for rows, each with its place; a value that many share is loaded once."""
        taken = list(rows)
        wanted = {key: where for columns, where in taken for column in columns.values() for key in _places(column)}
        values = await self.load(wanted) if wanted else {}
        return [{name: _whole(column, values) for name, column in columns.items()} for columns, _ in taken]

    async def take(self, tenant_id: str, row: dict[str, Any], columns: Iterable[str], **where: Any) -> list[str]:
        """Take the large values out of these columns of a row and keep them; the keys of what was kept."""
        if not self.limit:
            return []
        values: dict[str, bytes] = {}
        now = utc_now()
        for column in columns:
            row[column] = pack_column(
                row[column], limit=self.limit, name=lambda data: payload_key(tenant_id, data, now), values=values
            )
        await self.keep(values, **where)
        return list(values)


def _places(column: Any) -> Places:
    places: Places = column[1] if is_frame(column) else {}
    return places


def _whole(column: Any, values: Mapping[str, bytes]) -> Any:
    return restore(column[0], column[1], values) if is_frame(column) else column


def _place(where: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.removesuffix('_id').replace('_', ' ')} {value}" for name, value in where.items())


def _lost(key: str, where: Mapping[str, Any], what: str) -> PayloadLost:
    return PayloadLost(
        f"A large value of {_place(where)} {what}.",
        hint="Bring it back from a backup of the storage, or run it again.",
        **{**where, "key": key},
    )
