"""Stored credentials of model providers: one encrypted text a set, bound to its row and its workspace."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from dify_kernel.forms import decode_form, revealed
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.statements import upsert
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.models.errors import CredentialNotFound
from dify_host.models.tables import provider_credentials, providers, tenant_default_models

__all__ = ["CredentialStore", "StoredCredentials"]

_CUSTOM: Final = "custom"
_KEY: Final = ("tenant_id", "provider_name", "provider_type", "quota_type")


class StoredCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """One set of credentials, still encrypted; the active one is used for calls."""

    id: str
    provider_name: str
    credential_name: str
    encrypted_config: str
    active: bool
    created_at: datetime


class CredentialStore(TenantRepository):
    """The credentials of one workspace; provider names are registered names."""

    def __init__(self, db: Database, tenant: Tenant, keys: TenantKeys) -> None:
        super().__init__(db, tenant)
        self._keys = keys

    async def list(self, provider: str | None = None) -> builtins.list[StoredCredentials]:
        """Every set, oldest first."""
        async with self.db.read() as conn:
            return await self._list(conn, provider)

    async def active(self, provider: str) -> StoredCredentials | None:
        """The set that calls use."""
        return next((item for item in await self.list(provider) if item.active), None)

    async def open(self, stored: StoredCredentials, struct: type[msgspec.Struct]) -> Any:
        """The credentials in clear, as their struct; fields that the struct no longer has are left out."""
        cipher = await self._keys.cipher(self.tenant)
        values = msgspec.json.decode(cipher.decrypt_bytes(stored.encrypted_config, _place(stored.id)))
        known = set(struct.__struct_fields__)
        return decode_form(struct, {name: value for name, value in values.items() if name in known})

    async def save(self, provider: str, name: str, credentials: msgspec.Struct) -> None:
        """Keep a set under a name, in place of what had it, and make it the active one."""
        cipher = await self._keys.cipher(self.tenant)
        clear = msgspec.json.encode(revealed(credentials))
        async with self.db.write() as conn:
            former = next((item for item in await self._list(conn, provider) if item.credential_name == name), None)
            row_id = former.id if former else new_id()
            values = {"encrypted_config": cipher.encrypt(clear, _place(row_id))}
            if former:
                changed = self.scoped_update(provider_credentials, values)
                await conn.execute(changed.where(provider_credentials.c.id == row_id))
            else:
                row = {**values, "id": row_id, "provider_name": provider, "credential_name": name}
                await conn.execute(self.scoped_insert(provider_credentials, row))
            await self._activate(conn, provider, row_id)

    async def activate(self, provider: str, credential_id: str) -> None:
        """Use another set for calls; CredentialNotFound."""
        async with self.db.write() as conn:
            await self._one(conn, provider, credential_id)
            await self._activate(conn, provider, credential_id)

    async def remove(self, provider: str, credential_id: str | None = None) -> None:
        """Delete one set, or all with the provider's default models; CredentialNotFound.

        When the active one goes, the oldest of the rest takes its place.
        """
        async with self.db.write() as conn:
            stored = await self._list(conn, provider)
            gone = stored if credential_id is None else [await self._one(conn, provider, credential_id)]
            if not gone:
                raise CredentialNotFound(f"There are no credentials for {provider}.", provider=provider)
            ids = [item.id for item in gone]
            await conn.execute(self.scoped_delete(provider_credentials).where(provider_credentials.c.id.in_(ids)))
            rest = [item for item in stored if item.id not in ids]
            if not rest:
                for table in (providers, tenant_default_models):
                    await conn.execute(self.scoped_delete(table).where(table.c.provider_name == provider))
            elif any(item.active for item in gone):
                await self._activate(conn, provider, rest[0].id)

    async def _list(self, conn: AsyncConnection, provider: str | None) -> builtins.list[StoredCredentials]:
        table = provider_credentials
        owner = sa.and_(
            providers.c.tenant_id == table.c.tenant_id,
            providers.c.provider_name == table.c.provider_name,
            providers.c.provider_type == _CUSTOM,
        )
        active = sa.and_(providers.c.credential_id.is_not(None), providers.c.credential_id == table.c.id)
        query = self.scoped_select(table, *table.c, sa.case((active, True), else_=False).label("active"))
        query = query.select_from(table.outerjoin(providers, owner)).order_by(table.c.created_at, table.c.id)
        if provider is not None:
            query = query.where(table.c.provider_name == provider)
        rows = (await conn.execute(query)).all()
        return [to_struct(row, StoredCredentials) for row in rows]

    async def _one(self, conn: AsyncConnection, provider: str, credential_id: str) -> StoredCredentials:
        for item in await self._list(conn, provider):
            if item.id == credential_id:
                return item
        raise CredentialNotFound(f"{provider} has no such credentials.", credential=credential_id)

    async def _activate(self, conn: AsyncConnection, provider: str, credential_id: str) -> None:
        row = {
            "id": new_id(),
            "tenant_id": self.tenant.id,
            "provider_name": provider,
            "provider_type": _CUSTOM,
            "quota_type": "",
            "is_valid": True,
            "credential_id": credential_id,
            "created_at": utc_now(),
            "updated_at": utc_now(),
        }
        await upsert(conn, providers, [row], key=_KEY, update=["credential_id", "is_valid"])


def _place(row_id: str) -> str:
    return f"provider_credentials:{row_id}:encrypted_config"
