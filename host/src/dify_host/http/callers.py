"""Who is calling: every route needs a caller except those of one short list. Checks run before a body is read."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from dify_kernel.contracts.auth import AuthRequest, Principal
from dify_kernel.errors import BadInput, Forbidden, NotFound, Unauthorized
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.handlers import BaseRouteHandler
from litestar.params import BodyKwarg

from dify_host.apps.errors import AppNotFound
from dify_host.db.tenant import Tenant
from dify_host.http.console_callers import CONSOLE, console_principal
from dify_host.http.errors import UnsupportedMediaType
from dify_host.identity.end_users import EndUser
from dify_host.platform import Platform
from dify_host.runs.recorder import Creator
from dify_host.workspace import Workspace

__all__ = [
    "OF_ONE",
    "PUBLIC",
    "AppCaller",
    "AppKey",
    "Call",
    "Connection",
    "DatasetCaller",
    "DatasetKey",
    "User",
    "app_caller",
    "app_route",
    "dataset_caller",
    "dataset_route",
    "platform_of",
    "require_caller",
    "require_json",
]

#: The routes that need no credentials. Everything else answers 401 without them.
PUBLIC: Final = frozenset(
    (
        *("/", "/health", "/v1", "/v1/openapi.json", "/openapi.json"),
        # Their signed links are the credentials.
        *("/files/{file_id}/file-preview", "/files/tools/{name}"),
        *("/form/{token}", "/api/form/human_input/{token}"),
        # The secret ids in their paths are the credentials.
        *("/triggers/webhook/{webhook_id}", "/triggers/webhook-debug/{webhook_id}", "/triggers/plugin/{endpoint_id}"),
        # What a browser asks before somebody has logged in.
        *("/console/api/setup", "/console/api/init", "/console/api/ping", "/console/api/version"),
        *("/console/api/login", "/console/api/logout", "/console/api/refresh-token", "/console/api/system-features"),
    )
)

#: What routes without a knowledge base in their path say in `opt` when a key of one may call them.
OF_ONE: Final[dict[str, Any]] = {"key_of_one": True}

_INVALID = "Access token is invalid"

Connection = ASGIConnection[Any, Any, Any, Any]
User = str | int | float | bool
"""The caller's name for its end user; anything that is no text becomes one."""


class AppCaller(msgspec.Struct, frozen=True, kw_only=True):
    """A call with an app key."""

    app_id: str
    tenant: Tenant
    workspace: Workspace

    async def end_user(self, user: User | None, *, required: bool = False) -> EndUser:
        """The end user of that name; the shared anonymous one for none, unless one is required."""
        if user is None or user == "":
            if required:
                raise BadInput("Arg user must be provided.", field="user")
            return await self.workspace.end_users.get_or_create(self.app_id, None)
        return await self.workspace.end_users.get_or_create(self.app_id, str(user))

    async def creator(self, user: User | None, *, required: bool = False) -> Creator:
        """The same as the maker of rows."""
        found = await self.end_user(user, required=required)
        return Creator(role="end_user", id=found.id, name=found.session_id)


class DatasetCaller(msgspec.Struct, frozen=True, kw_only=True):
    """A call with a knowledge key, which acts as the owner of its workspace.

    It reaches every knowledge base of it, or the one of `dataset_id` alone.
    """

    tenant: Tenant
    workspace: Workspace
    owner_id: str
    dataset_id: str | None = None


Call = Request[Any, Any, Any]
"""The request, as a handler takes it."""
AppKey = NamedDependency[AppCaller]
"""The caller, as a handler of app routes takes it."""
DatasetKey = NamedDependency[DatasetCaller]
"""The caller, as a handler of knowledge routes takes it."""


def platform_of(connection: Connection) -> Platform:
    """The platform that serves a connection."""
    platform: Platform = connection.app.state.platform
    return platform


# -- guards ---------------------------------------------------------------------------------------------------


async def require_caller(connection: Connection, _handler: BaseRouteHandler) -> None:
    """The guard of every route: no credentials, no answer. The principal stays on the request."""
    template = _template(connection)
    if template in PUBLIC:
        return
    if template.startswith(f"{CONSOLE}/"):
        connection.scope["user"] = await console_principal(connection, platform_of(connection), template)
        return
    request = AuthRequest(
        headers={key.lower(): value for key, value in connection.headers.items()},
        cookies=connection.cookies,
        path=connection.url.path,
        client=connection.client.host if connection.client else "",
    )
    connection.scope["user"] = await platform_of(connection).auth.authenticate(request)


async def app_route(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Guard of routes for app keys: the app is there, normal and open to its API, and its workspace is normal."""
    principal = _principal(connection, "app")
    platform = platform_of(connection)
    workspace = await platform.workspace(Tenant(principal.tenant_id))
    try:
        await platform.live_apps.record(workspace.app_repository, principal.app_id or "")
    except AppNotFound as exc:
        raise Forbidden("The app no longer exists.") from exc
    if (await workspace.standing()).status != "normal":
        raise Forbidden("The workspace's status is archived.")


async def dataset_route(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guard of routes for knowledge keys: the workspace is normal; a knowledge base in the path is open to its API.

    To the key of one knowledge base all others are not there, and what belongs to the workspace is forbidden.
    """
    principal = _principal(connection, "dataset")
    workspace = await platform_of(connection).workspace(Tenant(principal.tenant_id))
    standing = await workspace.standing()
    if standing.status != "normal" or standing.owner_id is None:
        raise Unauthorized("The workspace is archived, or has no owner.")
    dataset_id = connection.path_params.get("dataset_id")
    if dataset_id is None:
        if principal.dataset_id is not None and not handler.opt.get("key_of_one"):
            raise Forbidden("This key is for one knowledge base.", hint="Use a key of the workspace.")
        return
    if principal.dataset_id not in (None, str(dataset_id)):
        raise NotFound("Dataset not found.", dataset_id=str(dataset_id))
    try:
        open_to_api = await workspace.datasets.api_enabled(str(dataset_id))
    except NotFound as exc:
        raise NotFound("Dataset not found.", dataset_id=str(dataset_id)) from exc
    if not open_to_api:
        raise Forbidden("Dataset api access is not enabled.", dataset_id=str(dataset_id))


async def require_json(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guard of every route: a body that should be JSON says that it is."""
    field = handler.parsed_data_field
    if field is None or not isinstance(field.kwarg_definition, BodyKwarg):
        return
    given = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
    wanted = field.kwarg_definition.media_type
    if wanted == RequestEncodingType.JSON and not (given == "application/json" or given.endswith("+json")):
        raise UnsupportedMediaType("The body must be JSON.", hint="Send `Content-Type: application/json`.")
    if wanted == RequestEncodingType.MULTI_PART and given != "multipart/form-data":
        raise UnsupportedMediaType("The body must be a form.", hint="Send `Content-Type: multipart/form-data`.")


def _template(connection: Connection) -> str:
    return str(connection.scope.get("path_template") or connection.url.path).rstrip("/") or "/"


def _principal(connection: Connection, kind: str) -> Principal:
    principal: Principal = connection.scope["user"]
    if principal.kind != kind:
        raise Unauthorized(_INVALID)
    return principal


# -- dependencies ---------------------------------------------------------------------------------------------


async def app_caller(request: Call) -> AppCaller:
    """The caller of an app route; Unauthorized for any other key."""
    principal = _principal(request, "app")
    tenant = Tenant(principal.tenant_id)
    workspace = await platform_of(request).workspace(tenant)
    return AppCaller(app_id=principal.app_id or "", tenant=tenant, workspace=workspace)


async def dataset_caller(request: Call) -> DatasetCaller:
    """The caller of a knowledge route; Unauthorized for any other key."""
    principal = _principal(request, "dataset")
    tenant = Tenant(principal.tenant_id)
    workspace = await platform_of(request).workspace(tenant)
    owner_id = (await workspace.standing()).owner_id or ""
    return DatasetCaller(tenant=tenant, workspace=workspace, owner_id=owner_id, dataset_id=principal.dataset_id)
