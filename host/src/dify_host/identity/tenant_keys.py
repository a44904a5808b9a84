"""The data key of each workspace: kept wrapped in the database, opened once a process."""

from __future__ import annotations

import base64

import sqlalchemy as sa
from dify_kernel.errors import NotFound

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.identity.tables import tenant_keys
from dify_host.net.crypto import KeyRing, TenantCipher

__all__ = ["TenantKeys"]


class TenantKeys:
    """Opens workspace keys; one object serves a process and remembers what it opened."""

    def __init__(self, db: Database, keyring: KeyRing) -> None:
        self._db = db
        self._keyring = keyring
        self._open: dict[str, TenantCipher] = {}

    async def cipher(self, tenant: Tenant) -> TenantCipher:
        """What encrypts and decrypts a workspace's secrets; NotFound when it has no key, DecryptionFailed."""
        known = self._open.get(tenant.id)
        if known is not None:
            return known
        query = sa.select(tenant_keys.c.wrapped_key).where(tenant_keys.c.tenant_id == tenant.id)
        async with self._db.read() as conn:
            wrapped = (await conn.execute(query)).scalar_one_or_none()
        if wrapped is None:
            raise NotFound("The workspace does not exist, or has no data key.", workspace=tenant.id)
        cipher = self._keyring.unwrap(base64.b64decode(wrapped), tenant.id)
        self._open[tenant.id] = cipher
        return cipher

    async def rewrap(self) -> int:
        """Bring every key under the current SECRET_KEY after a rotation, and return how many were moved."""
        async with self._db.write() as conn:
            rows = (await conn.execute(sa.select(tenant_keys.c.tenant_id, tenant_keys.c.wrapped_key))).all()
            stale = [(row.tenant_id, base64.b64decode(row.wrapped_key)) for row in rows]
            stale = [(tenant_id, wrapped) for tenant_id, wrapped in stale if not self._keyring.is_current(wrapped)]
            for tenant_id, wrapped in stale:
                moved = base64.b64encode(self._keyring.rewrap(wrapped, tenant_id)).decode()
                change = tenant_keys.update().where(tenant_keys.c.tenant_id == tenant_id)
                await conn.execute(change.values(wrapped_key=moved))
        return len(stale)
