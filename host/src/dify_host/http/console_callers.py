"""Who calls the console: an account by its session, in a role. A route that names no roles serves nobody."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from dify_kernel.contracts.auth import Principal
from dify_kernel.errors import AuthError, Forbidden, Unauthorized
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler

from dify_host.db.tenant import Tenant
from dify_host.http.cookies import SessionCookies
from dify_host.identity.accounts import Accounts
from dify_host.identity.setup import is_set_up
from dify_host.identity.workspaces import DATASET_EDITORS, EDITORS, PRIVILEGED, ROLES
from dify_host.platform import Platform
from dify_host.runs.recorder import Creator
from dify_host.workspace import Workspace

__all__ = [
    "ADMINS",
    "CONSOLE",
    "DATASET_WRITERS",
    "EVERYBODY",
    "MEMBERS",
    "WRITERS",
    "ConsoleAccount",
    "ConsoleCaller",
    "NotSetUp",
    "console_caller",
    "console_principal",
    "console_route",
]

CONSOLE: Final = "/console/api"
#: Whom a route serves; each names one of these in its `opt`.
MEMBERS: Final[dict[str, Any]] = {"who": frozenset(ROLES)}
WRITERS: Final[dict[str, Any]] = {"who": EDITORS}
DATASET_WRITERS: Final[dict[str, Any]] = {"who": DATASET_EDITORS}
ADMINS: Final[dict[str, Any]] = {"who": PRIVILEGED}
#: For the public routes; the list of `http/callers.py` alone makes one public.
EVERYBODY: Final[dict[str, Any]] = {"who": frozenset(("", *ROLES))}

_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
#: The one route that a closing browser window calls, which cannot send headers; its cookie is SameSite=Lax.
_BEACON: Final = "/console/api/apps/{app_id}/workflows/draft"

Connection = ASGIConnection[Any, Any, Any, Any]


class NotSetUp(AuthError):
    """Nobody has made the first account yet."""

    code = "not_setup"


class ConsoleCaller(msgspec.Struct, frozen=True, kw_only=True):
    """A call of an account in its current workspace."""

    account_id: str
    role: str
    tenant: Tenant
    workspace: Workspace

    async def creator(self, platform: Platform) -> Creator:
        """The account as the maker of rows."""
        account = await Accounts(platform.db).get(self.account_id)
        return Creator(role="account", id=account.id, name=account.name, email=account.email)


ConsoleAccount = NamedDependency[ConsoleCaller]
"""The caller, as a handler of console routes takes it."""


async def console_principal(connection: Connection, platform: Platform, template: str) -> Principal:
    """The account of the session cookie, else of the bearer token; Unauthorized, NotSetUp, NotInitValidated.

    A cookie comes along with whatever page sends the request, so that a change by cookie needs the CSRF token too.
    """
    cookies = SessionCookies(platform.settings)
    token = connection.cookies.get(cookies.access) or ""
    by_cookie = bool(token)
    if not token:
        scheme, _, rest = connection.headers.get("authorization", "").strip().partition(" ")
        token = rest.strip() if scheme.lower() == "bearer" else ""
    try:
        if not token:
            raise Unauthorized("Authorization header must be provided and start with 'Bearer'")
        principal = await platform.auth.principal_of(token)
    except Unauthorized as exc:
        if not await is_set_up(platform.db):
            platform.init_gate.check(connection.cookies.get(cookies.init) or "")
            raise NotSetUp("Dify has not been initialized and installed yet.", hint="Make the first account.") from exc
        raise
    method = str(connection.scope.get("method") or "")
    if by_cookie and method not in _SAFE and (method, template) != ("POST", _BEACON):
        _check_csrf(connection, platform, cookies, principal)
    return principal


def _check_csrf(connection: Connection, platform: Platform, cookies: SessionCookies, principal: Principal) -> None:
    sent = connection.headers.get("x-csrf-token", "")
    if not sent or sent != connection.cookies.get(cookies.csrf):
        raise Unauthorized("CSRF token is missing or invalid.")
    platform.auth.sessions.check_csrf(principal.id, sent)


async def console_route(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guard of the console: the role is one of those that the route names; it must name some."""
    allowed = handler.opt.get("who") or frozenset()
    if "" in allowed:
        return
    principal: Principal = connection.scope["user"]
    if principal.kind != "account" or principal.role not in allowed:
        raise Forbidden("The account's role in this workspace does not allow this.", role=principal.role)


async def console_caller(request: Request[Any, Any, Any]) -> ConsoleCaller:
    """The account of a console route."""
    principal: Principal = request.scope["user"]
    platform: Platform = request.app.state.platform
    tenant = Tenant(principal.tenant_id)
    return ConsoleCaller(
        account_id=principal.id,
        role=principal.role or "",
        tenant=tenant,
        workspace=await platform.workspace(tenant),
    )
