"""The cookies of a console session: their names, and how they are set and taken away."""

from __future__ import annotations

from typing import Any

from litestar import Response

from dify_host.identity.sessions import Session
from dify_host.settings import HostSettings

__all__ = ["SessionCookies"]


class SessionCookies:
    """`access_token` and `refresh_token`, which scripts cannot read, and `csrf_token`, which they must.

    Where both addresses of the console are https and no domain is set, browsers are made to keep them to the host.
    """

    def __init__(self, settings: HostSettings) -> None:
        addresses = (settings.console_web_url, settings.console_api_url)
        self._secure = all(address.startswith("https://") for address in addresses)
        self._domain = settings.cookie_domain or None
        prefix = "__Host-" if self._secure and self._domain is None else ""
        self.access = f"{prefix}access_token"
        self.refresh = f"{prefix}refresh_token"
        self.csrf = f"{prefix}csrf_token"
        self.init = f"{prefix}init_token"

    def set(self, response: Response[Any], session: Session) -> None:
        """Put the tokens of a session into a response."""
        self._put(response, self.access, session.access_token, session.access_seconds)
        self._put(response, self.refresh, session.refresh_token, session.refresh_seconds)
        self._put(response, self.csrf, session.csrf_token, session.access_seconds, hidden=False)

    def let_in(self, response: Response[Any], shown: str) -> None:
        """Put in the pass of who has entered the password of the installation; it ends with the browser."""
        self._put(response, self.init, shown, None)

    def clear(self, response: Response[Any]) -> None:
        """Take them away."""
        for name in (self.access, self.refresh):
            self._put(response, name, "", 0)
        self._put(response, self.csrf, "", 0, hidden=False)

    def _put(self, response: Response[Any], name: str, value: str, seconds: int | None, *, hidden: bool = True) -> None:
        response.set_cookie(
            key=name,
            value=value,
            max_age=seconds,
            path="/",
            domain=self._domain,
            secure=self._secure,
            httponly=hidden,
            samesite="lax",
        )
