"""The API-based extensions of a workspace: their rows, and calls of their one address with a point and parameters.

A point says what is asked: `ping`, `app.moderation.input`, `app.moderation.output`, `app.external_data_tool.query`.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.http import HttpClient, HttpConnectionError, HttpRequest, HttpTooLarge, Timeout
from dify_kernel.errors import BadInput, OutboundRefused

from dify_host.apps.tables import api_based_extensions as table
from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.extensions.errors import ExtensionFailed, ExtensionNotFound
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.net.crypto import mask_secret

__all__ = ["ApiExtension", "ApiExtensions", "Point"]

Point = Literal["ping", "app.moderation.input", "app.moderation.output", "app.external_data_tool.query"]
_TIMEOUT: Final = Timeout(connect=10, read=60, write=10, total=60)
_MAX_BYTES: Final = 1024 * 1024
_SHORTEST_KEY: Final = 5
_LONGEST: Final = 255


class ApiExtension(msgspec.Struct, frozen=True, kw_only=True):
    """One extension as responses show it; of the key the last four characters."""

    id: str
    name: str
    api_endpoint: str
    api_key: str
    created_at: datetime


class ApiExtensions(TenantRepository):
    """The extensions of one workspace. Keys are encrypted; an extension is pinged before it is kept."""

    def __init__(self, db: Database, tenant: Tenant, keys: TenantKeys, http: HttpClient) -> None:
        super().__init__(db, tenant)
        self._keys, self._http = keys, http

    async def list(self) -> builtins.list[ApiExtension]:
        """Every extension, oldest first."""
        async with self.db.read() as conn:
            rows = (await conn.execute(self.scoped_select(table).order_by(table.c.created_at, table.c.id))).all()
        return [await self._shown(row) for row in rows]

    async def get(self, extension_id: str) -> ApiExtension:
        """One extension; ExtensionNotFound."""
        return await self._shown(await self._row(extension_id))

    async def create(self, name: str, api_endpoint: str, api_key: str) -> ApiExtension:
        """Ping a service and keep it; BadInput for a name that is taken, ExtensionFailed when it does not answer."""
        row_id = new_id()
        values = await self._checked(row_id, name, api_endpoint, api_key)
        async with self.db.write() as conn:
            await conn.execute(self.scoped_insert(table, {**values, "id": row_id}))
        return await self.get(row_id)

    async def update(self, extension_id: str, name: str, api_endpoint: str, api_key: str | None) -> ApiExtension:
        """Ping and change an extension; None leaves the key as it is."""
        row = await self._row(extension_id)
        key = await self._key(row) if api_key is None else api_key
        values = await self._checked(extension_id, name, api_endpoint, key)
        async with self.db.write() as conn:
            await conn.execute(self.scoped_update(table, values).where(table.c.id == extension_id))
        return await self.get(extension_id)

    async def delete(self, extension_id: str) -> None:
        """Forget an extension; ExtensionNotFound."""
        await self._row(extension_id)
        async with self.db.write() as conn:
            await conn.execute(self.scoped_delete(table).where(table.c.id == extension_id))

    async def call(self, extension_id: str, point: Point, params: Mapping[str, Any]) -> dict[str, Any]:
        """What the service answers; ExtensionNotFound, ExtensionFailed."""
        row = await self._row(extension_id)
        return await self._send(row.api_endpoint, await self._key(row), point, params, extension_id)

    # -- inside -----------------------------------------------------------------------------------------------

    async def _checked(self, row_id: str, name: str, endpoint: str, key: str) -> dict[str, Any]:
        name, endpoint = name.strip(), endpoint.strip()
        for field, text in (("name", name), ("api_endpoint", endpoint)):
            if not 0 < len(text) <= _LONGEST:
                raise BadInput(f"{field} must have 1 to {_LONGEST} characters.", field=field)
        if len(key) < _SHORTEST_KEY:
            raise BadInput(f"api_key must be at least {_SHORTEST_KEY} characters", field="api_key")
        taken = self.scoped_select(table, table.c.id).where(table.c.name == name, table.c.id != row_id)
        async with self.db.read() as conn:
            if (await conn.execute(taken)).first() is not None:
                raise BadInput("name must be unique, it is already existed", field="name")
        answer = await self._send(endpoint, key, "ping", {}, None)
        if answer.get("result") != "pong":
            raise ExtensionFailed(f"The service answers a ping with {str(answer)[:200]}, not with a pong.")
        sealed = (await self._keys.cipher(self.tenant)).encrypt(key, _place(row_id))
        return {"name": name, "api_endpoint": endpoint, "api_key": sealed}

    async def _send(
        self, endpoint: str, key: str, point: Point, params: Mapping[str, Any], extension_id: str | None
    ) -> dict[str, Any]:
        body = msgspec.json.encode({"point": point, "params": params})
        headers = (("Content-Type", "application/json"), ("Authorization", f"Bearer {key}"))
        request = HttpRequest(
            method="POST", url=endpoint, headers=headers, content=body, timeout=_TIMEOUT, max_bytes=_MAX_BYTES
        )
        try:
            response = await self._http.send(request)
        except (HttpConnectionError, HttpTooLarge, OutboundRefused) as exc:
            raise ExtensionFailed(f"The extension cannot be asked: {exc}", extension_id=extension_id) from exc
        if response.status != 200:
            said = response.content[:100].decode("utf-8", "replace")
            raise ExtensionFailed(
                f"request error, status_code: {response.status}, content: {said}", extension_id=extension_id
            )
        try:
            answer = response.json()
        except msgspec.DecodeError as exc:
            raise ExtensionFailed(f"The extension answered no JSON: {exc}.", extension_id=extension_id) from exc
        if not isinstance(answer, dict):
            raise ExtensionFailed("The extension answered no JSON object.", extension_id=extension_id)
        return answer

    async def _row(self, extension_id: str) -> sa.Row[Any]:
        async with self.db.read() as conn:
            found = await conn.execute(self.scoped_select(table).where(table.c.id == extension_id))
            row: sa.Row[Any] | None = found.one_or_none()
        if row is None:
            raise ExtensionNotFound(
                "API-based extension not found.", hint="Choose another one in the app.", extension_id=extension_id
            )
        return row

    async def _key(self, row: sa.Row[Any]) -> str:
        return (await self._keys.cipher(self.tenant)).decrypt(row.api_key, _place(row.id))

    async def _shown(self, row: sa.Row[Any]) -> ApiExtension:
        return ApiExtension(
            id=row.id,
            name=row.name,
            api_endpoint=row.api_endpoint,
            api_key=mask_secret(await self._key(row)),
            created_at=row.created_at,
        )


def _place(row_id: str) -> str:
    return f"api_based_extensions:{row_id}:api_key"
