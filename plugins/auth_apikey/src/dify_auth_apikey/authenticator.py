"""Reads the API key off the Authorization header; messages are those of Dify's Service API."""

from __future__ import annotations

from typing import ClassVar

from dify_kernel.contracts.auth import Authenticator, AuthRequest, Principal
from dify_kernel.errors import Unauthorized

__all__ = ["ApiKeyAuthenticator"]

_LONGEST_KEY = 256  # characters; no key is that long, and none longer is hashed


class ApiKeyAuthenticator(Authenticator):
    """`Authorization: Bearer <key>`: the app's or the workspace's key."""

    name: ClassVar[str] = "apikey"

    async def authenticate(self, request: AuthRequest) -> Principal | None:
        """The principal of the key; None without the header, Unauthorized for another scheme or an unknown key."""
        header = request.headers.get("authorization")
        if header is None:
            return None
        scheme, _, token = header.strip().partition(" ")
        token = token.strip()
        if not token:
            raise Unauthorized("Authorization header must be provided and start with 'Bearer'")
        if scheme.lower() != "bearer":
            raise Unauthorized("Authorization scheme must be 'Bearer'")
        record = await self.ports.find_api_key(token) if len(token) <= _LONGEST_KEY else None
        if record is None:
            raise Unauthorized("Access token is invalid")
        return Principal(
            kind=record.type,
            id=record.id,
            tenant_id=record.tenant_id,
            app_id=record.app_id,
            dataset_id=record.dataset_id,
        )
