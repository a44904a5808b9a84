"""APIs that the workspace described: their descriptions, credentials, and calls through the guarded client."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec
from dify_kernel.contracts.http import HttpClient, HttpRequest
from dify_kernel.contracts.ports import FilesPort
from dify_kernel.contracts.tool import ToolInfo, ToolMessage
from dify_kernel.errors import BadInput
from dify_kernel.forms import decode_form, masked, revealed
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.tools.api_auth import ApiCredentials
from dify_host.tools.api_request import build_request, read_answer
from dify_host.tools.errors import InvalidApiSchema, ToolProviderNotFound
from dify_host.tools.file_contents import with_contents
from dify_host.tools.lookup import is_meant
from dify_host.tools.openapi import ApiDescription, ApiOperation, read_description
from dify_host.tools.pool import tool_of
from dify_host.tools.sources import ResolvedTool
from dify_host.tools.tables import tool_api_providers

__all__ = ["ApiProvider", "ApiTools", "NewApiProvider"]

_LONGEST_NAME: Final = 255
_MAX_SCHEMA: Final = 3 * 1024 * 1024


class NewApiProvider(msgspec.Struct, kw_only=True):
    """What a person says of an API."""

    name: str
    schema: str
    credentials: dict[str, Any] = {}
    icon: dict[str, Any] | None = None
    privacy_policy: str | None = None
    custom_disclaimer: str | None = None


class ApiProvider(msgspec.Struct, frozen=True, kw_only=True):
    """One described API; credentials are masked."""

    id: str
    name: str
    description: str
    schema: str
    schema_type: str
    tools: list[ToolInfo]
    credentials: dict[str, Any] = {}
    icon: dict[str, Any] | None = None
    privacy_policy: str | None = None
    custom_disclaimer: str | None = None


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    user_id: str
    name: str
    icon: dict[str, Any] | None = None
    schema: str
    schema_type_str: str
    description: str
    tools_str: builtins.list[ApiOperation]
    credentials_str: str
    privacy_policy: str | None = None
    custom_disclaimer: str | None = None
    created_at: datetime


class ApiTools(TenantRepository):
    """The described APIs of one workspace."""

    def __init__(self, db: Database, tenant: Tenant, keys: TenantKeys, http: HttpClient, files: FilesPort) -> None:
        super().__init__(db, tenant)
        self._keys, self._http, self._files = keys, http, files

    async def list(self) -> builtins.list[ApiProvider]:
        """Every API by name."""
        async with self.db.read() as conn:
            rows = (await conn.execute(self.scoped_select(tool_api_providers).order_by("name"))).all()
        return [await self._shown(_row(row)) for row in rows]

    async def get(self, provider: str) -> ApiProvider:
        """One API by its id or name; ToolProviderNotFound."""
        async with self.db.read() as conn:
            return await self._shown(await self._one(conn, provider))

    async def add(self, new: NewApiProvider, user_id: str) -> ApiProvider:
        """Read a description and keep it; InvalidApiSchema, BadInput for its name or credentials, Conflict."""
        values, credentials = _read(new)
        row_id = new_id()
        sealed = await self._sealed(row_id, credentials)
        row = {**values, "id": row_id, "user_id": user_id, "credentials_str": sealed}
        async with self.db.write() as conn:
            await conn.execute(self.scoped_insert(tool_api_providers, row))
        return await self.get(row_id)

    async def update(self, provider: str, new: NewApiProvider) -> ApiProvider:
        """Replace a description; a secret sent as `[__HIDDEN__]` stays as it is. Errors as for `add`."""
        async with self.db.read() as conn:
            former = await self._one(conn, provider)
        values, credentials = _read(new, kept=await self._opened(former))
        values["credentials_str"] = await self._sealed(former.id, credentials)
        async with self.db.write() as conn:
            await conn.execute(
                self.scoped_update(tool_api_providers, values).where(tool_api_providers.c.id == former.id)
            )
        return await self.get(former.id)

    async def remove(self, provider: str) -> None:
        """Forget an API; ToolProviderNotFound."""
        async with self.db.write() as conn:
            found = await self._one(conn, provider)
            await conn.execute(self.scoped_delete(tool_api_providers).where(tool_api_providers.c.id == found.id))

    async def fetch(self, url: str) -> str:
        """The description at an address; InvalidApiSchema when there is none."""
        request = HttpRequest(method="GET", url=url, follow_redirects=True, max_bytes=_MAX_SCHEMA)
        answer = await self._http.send(request)
        if answer.status != 200:
            raise InvalidApiSchema(f"The address of the description answered with status {answer.status}.", url=url)
        return answer.text

    async def resolve(self, provider: str, tool: str, credential_id: str | None) -> ResolvedTool:
        """An operation as a tool; an API has one set of credentials."""
        async with self.db.read() as conn:
            row = await self._one(conn, provider)
        info = tool_of([operation.info for operation in row.tools_str], tool, row.name)
        operation = next(operation for operation in row.tools_str if operation.name == tool)
        return ResolvedTool(info, partial(self.call, operation, await self._opened(row)))

    async def call(
        self, operation: ApiOperation, credentials: ApiCredentials, parameters: Mapping[str, Any], key: str = ""
    ) -> AsyncIterator[ToolMessage]:
        """Call one operation and give its answer."""
        loaded = await with_contents(parameters, self._files)
        response = await self._http.send(build_request(operation, loaded, credentials, key=key))
        for message in read_answer(response):
            yield message

    async def _one(self, conn: AsyncConnection, provider: str) -> _Row:
        table = tool_api_providers
        rows = (await conn.execute(self.scoped_select(table).where(is_meant(table, provider, "name")))).all()
        if not rows:
            raise ToolProviderNotFound(
                f"The workspace has no API tools {provider!r}.", hint="Add its OpenAPI description.", provider=provider
            )
        return _row(rows[0])

    async def _opened(self, row: _Row) -> ApiCredentials:
        cipher = await self._keys.cipher(self.tenant)
        return decode_form(
            ApiCredentials, msgspec.json.decode(cipher.decrypt_bytes(row.credentials_str, _place(row.id)))
        )

    async def _sealed(self, row_id: str, credentials: ApiCredentials) -> str:
        cipher = await self._keys.cipher(self.tenant)
        return cipher.encrypt(msgspec.json.encode(revealed(credentials)), _place(row_id))

    async def _shown(self, row: _Row) -> ApiProvider:
        return ApiProvider(
            id=row.id,
            name=row.name,
            description=row.description,
            schema=row.schema,
            schema_type=row.schema_type_str,
            tools=[operation.info for operation in row.tools_str],
            credentials=masked(await self._opened(row)),
            icon=row.icon,
            privacy_policy=row.privacy_policy,
            custom_disclaimer=row.custom_disclaimer,
        )


def _read(new: NewApiProvider, *, kept: ApiCredentials | None = None) -> tuple[dict[str, Any], ApiCredentials]:
    name = new.name.strip()
    if not name or len(name) > _LONGEST_NAME:
        raise BadInput(f"The name has to have 1 to {_LONGEST_NAME} characters.", field="name")
    credentials = decode_form(ApiCredentials, new.credentials, kept=kept)
    credentials.check()
    described: ApiDescription = read_description(new.schema)
    values = {
        "name": name,
        "icon": new.icon or {},
        "schema": new.schema,
        "schema_type_str": described.schema_type,
        "description": described.description,
        "tools_str": msgspec.to_builtins(described.operations),
        "privacy_policy": new.privacy_policy,
        "custom_disclaimer": new.custom_disclaimer or "",
    }
    return values, credentials


def _row(row: Any) -> _Row:
    return to_struct(row, _Row)


def _place(row_id: str) -> str:
    return f"tool_api_providers:{row_id}:credentials_str"
