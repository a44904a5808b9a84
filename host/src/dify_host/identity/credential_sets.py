"""Stored credentials of providers: any number of sets a provider, one of them the default, each encrypted.

One class a table; tools and data sources keep theirs alike.
"""

from __future__ import annotations

import builtins
from collections.abc import Awaitable
from datetime import datetime
from typing import Any, ClassVar, TypeVar

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import BadInput, Conflict, NotFound
from dify_kernel.forms import decode_form, masked, revealed
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.net.crypto import DecryptionFailed

__all__ = ["CredentialSets", "StoredCredentials", "readable", "shown"]

T = TypeVar("T")


async def readable(opening: Awaitable[T]) -> T | None:
    """What was opened; None for what has to be entered anew.

    A newer plugin may ask for more than was entered once, and another key than it was written with opens nothing. That
    must not hide the other sets, nor stand in the way of entering it.
    """
    try:
        return await opening
    except (BadInput, DecryptionFailed):
        return None


async def shown(opening: Awaitable[msgspec.Struct]) -> dict[str, Any]:
    """Credentials as responses show them, of secrets the last four characters; empty for those to be entered anew."""
    opened = await readable(opening)
    return {} if opened is None else masked(opened)


class StoredCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """One set of credentials, still encrypted."""

    id: str
    provider: str
    name: str
    encrypted_credentials: str | None = None
    is_default: bool = False
    created_at: datetime
    updated_at: datetime


class CredentialSets(TenantRepository):
    """The credentials of one workspace in one table; provider names are registered names."""

    table: ClassVar[sa.Table]

    def __init__(self, db: Database, tenant: Tenant, keys: TenantKeys) -> None:
        super().__init__(db, tenant)
        self._keys = keys

    async def list(self, provider: str | None = None) -> builtins.list[StoredCredentials]:
        """Every set, the default of each provider first, then the oldest."""
        async with self.db.read() as conn:
            return await self._list(conn, provider)

    async def chosen(self, provider: str, credential_id: str | None) -> StoredCredentials | None:
        """The set of that id, else the default one; None when there is none at all. NotFound for an unknown id."""
        stored = await self.list(provider)
        if credential_id:
            return _one(stored, provider, credential_id)
        return stored[0] if stored else None

    async def open(self, stored: StoredCredentials, struct: type[msgspec.Struct]) -> Any:
        """The credentials in clear, as their struct; fields that the struct no longer has are left out."""
        cipher = await self._keys.cipher(self.tenant)
        values = msgspec.json.decode(cipher.decrypt_bytes(stored.encrypted_credentials or "", self._place(stored.id)))
        known = set(struct.__struct_fields__)
        return decode_form(struct, {name: value for name, value in values.items() if name in known})

    async def add(self, provider: str, name: str, credentials: msgspec.Struct, user_id: str) -> str:
        """Keep a new set and return its id; the first of a provider is its default. Conflict for a taken name."""
        sealed_id = new_id()
        sealed = await self._sealed(sealed_id, credentials)
        async with self.db.write() as conn:
            stored = await self._list(conn, provider)
            if any(item.name == name for item in stored):
                raise Conflict(f"{provider} has credentials named {name!r} already.", field="name")
            row = {"id": sealed_id, "provider": provider, "name": name, "is_default": not stored, **self._more(user_id)}
            await conn.execute(self.scoped_insert(self.table, {**row, "encrypted_credentials": sealed}))
        return sealed_id

    async def update(
        self, provider: str, credential_id: str, *, name: str | None = None, credentials: msgspec.Struct | None = None
    ) -> None:
        """Rename a set, or replace what it holds; NotFound, Conflict for a taken name."""
        values: dict[str, Any] = {}
        if name is not None:
            values["name"] = name
        if credentials is not None:
            values["encrypted_credentials"] = await self._sealed(credential_id, credentials)
        async with self.db.write() as conn:
            stored = await self._list(conn, provider)
            _one(stored, provider, credential_id)
            if any(item.name == name and item.id != credential_id for item in stored):
                raise Conflict(f"{provider} has credentials named {name!r} already.", field="name")
            if values:
                change = self.scoped_update(self.table, values)
                await conn.execute(change.where(self.table.c.id == credential_id))

    async def set_default(self, provider: str, credential_id: str) -> None:
        """Use another set where nothing names one; NotFound."""
        async with self.db.write() as conn:
            _one(await self._list(conn, provider), provider, credential_id)
            await self._make_default(conn, provider, credential_id)

    async def remove(self, provider: str, credential_id: str) -> None:
        """Delete a set; when it was the default, the oldest of the rest takes its place. NotFound."""
        async with self.db.write() as conn:
            stored = await self._list(conn, provider)
            gone = _one(stored, provider, credential_id)
            delete = self.scoped_delete(self.table)
            await conn.execute(delete.where(self.table.c.id == credential_id))
            rest = [item for item in stored if item.id != credential_id]
            if gone.is_default and rest:
                await self._make_default(conn, provider, rest[0].id)

    async def _list(self, conn: AsyncConnection, provider: str | None) -> builtins.list[StoredCredentials]:
        table = self.table
        query = self.scoped_select(table).order_by(table.c.is_default.desc(), table.c.created_at, table.c.id)
        if provider is not None:
            query = query.where(table.c.provider == provider)
        return [to_struct(row, StoredCredentials) for row in (await conn.execute(query)).all()]

    async def _make_default(self, conn: AsyncConnection, provider: str, credential_id: str) -> None:
        table = self.table
        for is_default, which in ((False, table.c.id != credential_id), (True, table.c.id == credential_id)):
            change = self.scoped_update(table, {"is_default": is_default})
            await conn.execute(change.where(table.c.provider == provider, which))

    def _more(self, user_id: str) -> dict[str, Any]:
        """Columns that only this table has."""
        return {}

    def _place(self, row_id: str) -> str:
        return f"{self.table.name}:{row_id}:encrypted_credentials"

    async def _sealed(self, row_id: str, credentials: msgspec.Struct) -> str:
        cipher = await self._keys.cipher(self.tenant)
        return cipher.encrypt(msgspec.json.encode(revealed(credentials)), self._place(row_id))


def _one(stored: builtins.list[StoredCredentials], provider: str, credential_id: str) -> StoredCredentials:
    for item in stored:
        if item.id == credential_id:
            return item
    raise NotFound(f"{provider} has no such credentials.", credential=credential_id)
