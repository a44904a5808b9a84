"""Log in, log out, stay logged in: the tokens go into cookies, never into a body."""

from __future__ import annotations

import base64
import binascii
import contextlib
from typing import Any

import msgspec
from dify_kernel.errors import Unauthorized
from litestar import Controller, Response, post
from litestar.params import JSONBody

from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import EVERYBODY, NotSetUp
from dify_host.http.cookies import SessionCookies
from dify_host.identity.errors import AccountNotLinkTenant, AuthenticationFailed
from dify_host.identity.setup import is_set_up
from dify_host.service.shapes import Success

__all__ = ["LoginController"]

_NO_WORKSPACE = "workspace not found, please contact system admin to invite you to join in a workspace"


class LoginBody(msgspec.Struct, kw_only=True):
    """Body of `/login`; the password is Base64."""

    email: str
    password: str
    remember_me: bool = False
    invite_token: str | None = None

    def __repr__(self) -> str:
        return f"LoginBody(email={self.email!r})"


class Failure(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is answered instead of a session."""

    result: str = msgspec.field()
    data: str = ""
    message: str = ""


class LoginController(Controller):
    """Routes of the session."""

    path = "/"
    opt = EVERYBODY

    @post("/login", status_code=200)
    async def login(self, data: JSONBody[LoginBody], request: Call) -> Response[Success] | Response[Failure]:
        """Log in with an address and a password."""
        platform = platform_of(request)
        form = {"email": data.email, "password": _decoded(data.password)}
        client = request.client.host if request.client else ""
        try:
            session = await platform.auth.login("password", form, client=client)
        except AccountNotLinkTenant:
            return Response(Failure(result="fail", data=_NO_WORKSPACE))
        except AuthenticationFailed as exc:
            if not await is_set_up(platform.db):
                raise NotSetUp("Dify has not been initialized and installed yet.") from exc
            raise
        response = Response(Success())
        SessionCookies(platform.settings).set(response, session)
        return response

    @post("/logout", status_code=200)
    async def logout(self, request: Call) -> Response[Success]:
        """End the session of this browser, if it has one."""
        platform = platform_of(request)
        cookies = SessionCookies(platform.settings)
        token = request.cookies.get(cookies.access) or _bearer(request)
        if token:
            with contextlib.suppress(Unauthorized):  # it has ended by itself
                await platform.auth.logout(platform.auth.sessions.account_of(token))
        response = Response(Success())
        cookies.clear(response)
        return response

    @post("/refresh-token", status_code=200)
    async def refresh(self, request: Call) -> Response[Success] | Response[Failure]:
        """Exchange the refresh token for new tokens; it is good for one time."""
        platform = platform_of(request)
        cookies = SessionCookies(platform.settings)
        token = request.cookies.get(cookies.refresh)
        try:
            if not token:
                raise Unauthorized("No refresh token provided.")
            session = await platform.auth.refresh(token)
        except Unauthorized as exc:
            refused: Response[Any] = Response(Failure(result="fail", message=exc.message), status_code=401)
            return refused
        response = Response(Success())
        cookies.set(response, session)
        return response


def _decoded(password: str) -> str:
    try:
        return base64.b64decode(password, validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise AuthenticationFailed("Invalid encrypted data") from exc


def _bearer(request: Call) -> str:
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else ""
