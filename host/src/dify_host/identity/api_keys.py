"""API keys: of an app, of a workspace for its knowledge bases, or of one of these. Only their hashes are kept."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import BadInput, NotFound
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps.tables import apps
from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.identity.errors import TooManyKeys
from dify_host.identity.tables import api_tokens, tenants
from dify_host.knowledge.tables import datasets
from dify_host.net.crypto import hash_api_key, new_api_key

__all__ = ["MAX_KEYS", "ApiKeys", "CreatedKey", "KeyInfo", "KeyType"]

KeyType = Literal["app", "dataset"]
MAX_KEYS: Final = 10
_PREFIXES: Final[dict[str, str]] = {"app": "app-", "dataset": "dataset-"}
_PREFIX_OF_ONE: Final = "ds-"  # of one knowledge base


class CreatedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new key: `token` is its clear text, seen this one time."""

    id: str
    type: KeyType
    token: str
    app_id: str | None = None
    dataset_id: str | None = None
    created_at: datetime


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A key in a list: `token` shows its prefix and its last four characters."""

    id: str
    type: KeyType
    token: str
    app_id: str | None = None
    dataset_id: str | None = None
    created_at: datetime
    last_used_at: datetime | None = None


class ApiKeys(TenantRepository):
    """The API keys of one workspace. `forget` is told the id of a deleted key: `AuthService.forget_key`."""

    def __init__(self, db: Database, tenant: Tenant, *, forget: Callable[[str], None] | None = None) -> None:
        super().__init__(db, tenant)
        self._forget = forget

    async def create(self, type: KeyType, app_id: str | None = None, dataset_id: str | None = None) -> CreatedKey:
        """Make a key; a knowledge key without `dataset_id` is for every knowledge base of the workspace.

        NotFound for an app or knowledge base of somebody else, TooManyKeys for the eleventh of one of them, or of the
        workspace.
        """
        if type not in _PREFIXES or (type == "app") is (app_id is None) or (type == "app" and dataset_id is not None):
            raise BadInput(f"A key of type {type!r} is for an app, or for the knowledge of the workspace.")
        token = new_api_key(_prefix(type, dataset_id))
        bound = {"id": new_id(), "type": type, "app_id": app_id, "dataset_id": dataset_id, "created_at": utc_now()}
        async with self.db.write() as conn:
            # The lock on the workspace's row makes counting and adding one step for all processes.
            await conn.execute(sa.select(tenants.c.id).where(tenants.c.id == self.tenant.id).with_for_update())
            await self._require(conn, apps, app_id, "App not found.")
            await self._require(conn, datasets, dataset_id, "Dataset not found.")
            count = self.scoped_select(api_tokens, sa.func.count()).where(_group(type, app_id, dataset_id))
            if (await conn.execute(count)).scalar_one() >= MAX_KEYS:
                raise TooManyKeys(f"There are {MAX_KEYS} keys already.", hint="Delete one that is not used.")
            hashed = {"token": hash_api_key(token), "token_hint": token[-4:]}
            await conn.execute(self.scoped_insert(api_tokens, {**bound, **hashed}))
        return msgspec.convert({**bound, "token": token}, CreatedKey)

    async def list(
        self, type: KeyType | None = None, app_id: str | None = None, dataset_id: str | None = None
    ) -> builtins.list[KeyInfo]:
        """The keys of a type, oldest first: those of one app or knowledge base when it is named.

        Of the type `dataset` alone, those of the workspace.
        """
        query = self.scoped_select(api_tokens).order_by(api_tokens.c.created_at, api_tokens.c.id)
        if type is not None:
            query = query.where(api_tokens.c.type == type)
        if app_id is not None:
            query = query.where(api_tokens.c.app_id == app_id)
        if type == "dataset":
            query = query.where(_group(type, app_id, dataset_id))
        async with self.db.read() as conn:
            rows = (await conn.execute(query)).all()
        return [_info(row) for row in rows]

    async def delete(
        self, key_id: str, *, app_id: str | None = None, type: KeyType | None = None, dataset_id: str | None = None
    ) -> None:
        """Delete a key (of that app, type or knowledge base, when named; one of the type `dataset` alone is the
        workspace's); NotFound. Other processes refuse it within two seconds.
        """
        gone = self.scoped_delete(api_tokens).where(api_tokens.c.id == key_id)
        if app_id is not None:
            gone = gone.where(api_tokens.c.app_id == app_id)
        if type is not None:
            gone = gone.where(api_tokens.c.type == type)
        if type == "dataset":
            gone = gone.where(_group(type, app_id, dataset_id))
        async with self.db.write() as conn:
            if (await conn.execute(gone)).rowcount == 0:
                raise NotFound("API key not found", key=key_id)
        if self._forget is not None:
            self._forget(key_id)

    async def _require(self, conn: AsyncConnection, table: sa.Table, wanted: str | None, message: str) -> None:
        if wanted is None:
            return
        own = self.scoped_select(table, table.c.id).where(table.c.id == wanted)
        if (await conn.execute(own)).first() is None:
            raise NotFound(message, id=wanted)


def _group(type: KeyType, app_id: str | None, dataset_id: str | None) -> sa.ColumnElement[bool]:
    """Keys that are for the same thing; `==` with None is IS NULL."""
    same = api_tokens.c.app_id == app_id, api_tokens.c.dataset_id == dataset_id
    return sa.and_(api_tokens.c.type == type, *same)


def _prefix(type: str, dataset_id: str | None) -> str:
    return _PREFIXES[type] if dataset_id is None else _PREFIX_OF_ONE


def _info(row: sa.Row[Any]) -> KeyInfo:
    hint = f"{_prefix(row.type, row.dataset_id)}{'*' * 8}{row.token_hint}"
    return msgspec.structs.replace(to_struct(row, KeyInfo), token=hint)
