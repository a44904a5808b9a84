"""Speaks the second version of Chroma's REST interface, and says in the contract's words what went wrong.

The vendor's own client shares its package's name with the server, so that the two cannot be installed side by side; it
also brings telemetry. What the store needs of the interface are eight requests.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from dify_kernel.errors import (
    InvalidQuery,
    StoreRateLimited,
    StoreUnauthorized,
    StoreUnavailable,
    VectorStoreError,
)
from dify_kernel.settings import shown_address

from dify_vdb_chroma.settings import ChromaSettings

__all__ = ["Client"]

SECONDS = 60.0
ATTEMPTS = 3


class Client:
    """One pool of connections to one database of a server."""

    def __init__(self, settings: ChromaSettings) -> None:
        import httpx

        self._http: Any = httpx
        self._where = f"Chroma at {shown_address(settings.url)}"
        self._client = httpx.AsyncClient(
            base_url=f"{settings.url}/api/v2/", headers=settings.headers(), timeout=SECONDS, trust_env=False
        )
        self._collections = f"tenants/{settings.tenant}/databases/{settings.database}/collections"

    async def close(self) -> None:
        """Close the connections; what is under way fails with StoreUnavailable."""
        await self._client.aclose()

    async def checks(self) -> dict[str, Any]:
        """What the server can take: `max_batch_size`, `supports_base64_encoding`."""
        return await self._asked("GET", "pre-flight-checks") or {}

    async def version(self) -> str:
        """What the server says it is; empty for one without this interface."""
        content = await self._content("GET", "version")
        told = "" if content is None else content.decode(errors="replace").strip().strip('"')
        return told if len(told) < 40 else ""  # a page, and no version

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Make a collection, or give the one of that name."""
        made = await self._asked("POST", self._collections, {**body, "get_or_create": True})
        if made is None:
            raise InvalidQuery(
                f"{self._where} has no tenant or database of that name.",
                hint="Check CHROMA_TENANT and CHROMA_DATABASE.",
            )
        return made

    async def find(self, name: str) -> dict[str, Any] | None:
        """A collection by name."""
        return await self._asked("GET", f"{self._collections}/{name}")

    async def drop(self, name: str) -> None:
        """Remove a collection by name; a missing one is harmless."""
        await self._asked("DELETE", f"{self._collections}/{name}")

    async def on(self, id: str, what: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """`get`, `query`, `upsert` or `delete` in a collection; None when it is gone."""
        return await self._asked("POST", f"{self._collections}/{id}/{what}", body)

    async def _asked(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The object that answers a request; None for 404."""
        content = await self._content(method, path, body)
        if content is None:
            return None
        try:
            return msgspec.json.decode(content, type=dict) if content else {}
        except msgspec.DecodeError as exc:
            raise self._stranger(content.decode(errors="replace")) from exc

    async def _content(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes | None:
        """Send a request and repeat it when the connection broke: each of them may be. None for 404."""
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"}
        for attempt in range(ATTEMPTS):
            try:
                response = await self._client.request(method, path, content=content, headers=headers)
                break
            except (self._http.TransportError, RuntimeError) as exc:  # RuntimeError: the client was closed
                broken = isinstance(exc, self._http.NetworkError | self._http.RemoteProtocolError)
                if not broken or self._client.is_closed or attempt == ATTEMPTS - 1:
                    raise StoreUnavailable(
                        f"{self._where} does not answer: {type(exc).__name__} {exc}".rstrip() + ".",
                        hint="Check CHROMA_HOST and CHROMA_PORT, and that it runs.",
                        setting="CHROMA_HOST",
                    ) from exc
                await asyncio.sleep(0.1 * (attempt + 1))
        if response.status_code == 404:
            return None
        if response.status_code >= 300:
            raise self._fault(response.status_code, response.text)
        return bytes(response.content)

    def _stranger(self, text: str) -> VectorStoreError:
        return VectorStoreError(
            f"{self._where} does not answer as Chroma does: {' '.join(text.split())[:80]!r}.",
            hint="Check CHROMA_HOST and CHROMA_PORT: another server listens there.",
            setting="CHROMA_HOST",
        )

    def _fault(self, status: int, text: str) -> Exception:
        where = f"{self._where} answers {status}"
        reason = " ".join(text.split())[:300]
        if status in (401, 403):
            return StoreUnauthorized(
                f"{where}.", hint="Check CHROMA_AUTH_PROVIDER and CHROMA_AUTH_CREDENTIALS.", setting="CHROMA_HOST"
            )
        if status == 429:
            return StoreRateLimited(f"{where}: {reason}.", hint="Try again later.")
        if status in (400, 413, 422):
            return InvalidQuery(f"{where}: {reason}.")
        if status >= 500:
            return StoreUnavailable(f"{where}: {reason}.", hint="Look at the server's log.")
        if status < 400:
            return self._stranger(f"{status} {reason}")
        return VectorStoreError(f"{where}: {reason}.", setting="CHROMA_HOST")
