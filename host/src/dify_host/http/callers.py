"""Who is calling: every route needs a caller except those of one short list."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from dify_kernel.contracts.auth import AuthRequest, Principal
from dify_kernel.errors import Unauthorized
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from dify_host.db.tenant import Tenant
from dify_host.platform import Platform, Workspace

__all__ = ["PUBLIC", "AppCaller", "DatasetCaller", "app_caller", "dataset_caller", "platform_of", "require_caller"]

#: The routes that need no credentials. Everything else answers 401 without them.
PUBLIC: Final = frozenset(("/", "/health", "/v1", "/v1/openapi.json", "/openapi.json"))

_INVALID = "Access token is invalid"


class AppCaller(msgspec.Struct, frozen=True, kw_only=True):
    """A call with an app key."""

    app_id: str
    tenant: Tenant
    workspace: Workspace


class DatasetCaller(msgspec.Struct, frozen=True, kw_only=True):
    """A call with a knowledge key, which reaches every knowledge base of its workspace."""

    tenant: Tenant
    workspace: Workspace


def platform_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Platform:
    """The platform that serves a connection."""
    platform: Platform = connection.app.state.platform
    return platform


async def require_caller(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """The guard of every route: no credentials, no answer. The principal stays on the request."""
    if handler.paths and all(path in PUBLIC for path in (_template(connection),)):
        return
    request = AuthRequest(
        headers={key.lower(): value for key, value in connection.headers.items()},
        cookies=connection.cookies,
        path=connection.url.path,
        client=connection.client.host if connection.client else "",
    )
    connection.scope["user"] = await platform_of(connection).auth.authenticate(request)


def _template(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    return str(connection.scope.get("path_template") or connection.url.path).rstrip("/") or "/"


async def app_caller(request: Request[Any, Any, Any]) -> AppCaller:
    """The caller of an app route; Unauthorized for any other key."""
    principal: Principal = request.scope["user"]
    if principal.kind != "app" or principal.app_id is None:
        raise Unauthorized(_INVALID)
    tenant = Tenant(principal.tenant_id)
    workspace = await platform_of(request).workspace(tenant)
    return AppCaller(app_id=principal.app_id, tenant=tenant, workspace=workspace)


async def dataset_caller(request: Request[Any, Any, Any]) -> DatasetCaller:
    """The caller of a knowledge route; Unauthorized for any other key."""
    principal: Principal = request.scope["user"]
    if principal.kind != "dataset":
        raise Unauthorized(_INVALID)
    tenant = Tenant(principal.tenant_id)
    return DatasetCaller(tenant=tenant, workspace=await platform_of(request).workspace(tenant))
