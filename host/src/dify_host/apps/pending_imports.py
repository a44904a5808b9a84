"""Imports that wait for somebody to say that another version of the text is all right; kept for ten minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from dify_kernel.errors import NotFound

from dify_host.apps.changes import AppChanges
from dify_host.db.tenant import Tenant

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["PendingImport", "PendingImports"]

_SECONDS: Final = 600


class PendingImport(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    text: str
    account_id: str
    app_id: str | None = None
    changes: dict[str, str | None] = {}

    def app_changes(self) -> AppChanges:
        """The name and drawing that go before the text's."""
        return msgspec.convert(self.changes, AppChanges)


class PendingImports:
    """The waiting imports of one workspace."""

    def __init__(self, redis: Redis, tenant: Tenant, *, prefix: str = "dify:") -> None:
        self._redis = redis
        self._prefix = f"{prefix}app_import:{tenant.id}:"

    async def put(self, import_id: str, pending: PendingImport) -> None:
        """Keep one."""
        await self._redis.set(self._prefix + import_id, msgspec.json.encode(pending), ex=_SECONDS)

    async def take(self, import_id: str) -> PendingImport:
        """One that is not over, which ends by this; NotFound."""
        found = await self._redis.getdel(self._prefix + import_id)
        if found is None:
            raise NotFound("The import does not exist, or has waited for too long.", hint="Import the text again.")
        return msgspec.json.decode(found, type=PendingImport)
