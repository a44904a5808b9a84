"""Speaks the REST interface of an index, and says in the contract's words what went wrong.

The vendor's own client waits ten minutes for an answer, tells a refusal from a fault by text alone, and sends who runs
it where. What the store needs of the interface are seven requests.
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

from dify_vdb_upstash.settings import UpstashSettings

__all__ = ["Client"]

SECONDS = 60.0
ATTEMPTS = 3


class Client:
    """One pool of connections to one index. A namespace is made by its first use."""

    def __init__(self, settings: UpstashSettings) -> None:
        import httpx

        self._http: Any = httpx
        self._where = f"Upstash at {shown_address(settings.url)}"
        self._client = httpx.AsyncClient(
            base_url=settings.url.rstrip("/"),
            headers={"Authorization": f"Bearer {settings.token.reveal()}", "Content-Type": "application/json"},
            timeout=SECONDS,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections; what is under way fails with StoreUnavailable."""
        await self._client.aclose()

    async def info(self) -> dict[str, Any]:
        """What the index is: `dimension`, and `sparseIndex` where it has one."""
        return dict(await self._asked("info"))

    async def namespaces(self) -> list[str]:
        """The names of all namespaces."""
        return list(await self._asked("list-namespaces"))

    async def drop(self, namespace: str) -> None:
        """Remove a namespace; a missing one is harmless."""
        await self._asked(f"delete-namespace/{namespace}", missing=True)

    async def upsert(self, namespace: str, items: list[dict[str, Any]]) -> None:
        """Write, replacing by id."""
        await self._asked(f"upsert/{namespace}", items)

    async def delete(self, namespace: str, ids: list[str]) -> None:
        """Delete by ids."""
        await self._asked(f"delete/{namespace}", {"ids": ids})

    async def query(self, namespace: str, vector: list[float], limit: int, filter: str | None) -> list[str]:
        """The ids of the nearest, best first; what was just written or deleted may not have come through."""
        body: dict[str, Any] = {"vector": vector, "topK": limit}
        if filter is not None:
            body["filter"] = filter
        return [item["id"] for item in await self._asked(f"query/{namespace}", body)]

    async def fetch(self, namespace: str, ids: list[str]) -> list[dict[str, Any]]:
        """Items by ids with all that belongs to them, as they are now; missing ones are left out."""
        body = {"ids": ids, "includeVectors": True, "includeMetadata": True, "includeData": True}
        return [item for item in await self._asked(f"fetch/{namespace}", body) if item is not None]

    async def range(
        self, namespace: str, prefix: str, limit: int, *, metadata: bool
    ) -> tuple[list[dict[str, Any]], bool]:
        """Items whose id begins with a prefix, in any order, as they are now, and whether there are more."""
        body: dict[str, Any] = {"cursor": "", "limit": limit, "includeMetadata": metadata}
        if prefix:
            body["prefix"] = prefix
        found = await self._asked(f"range/{namespace}", body)
        return list(found["vectors"]), bool(found["nextCursor"])

    async def _asked(self, path: str, body: Any = None, *, missing: bool = False) -> Any:
        """Send a request and repeat it when the connection broke: each of them may be. With `missing` 404 is None."""
        content = None if body is None else msgspec.json.encode(body)
        for attempt in range(ATTEMPTS):
            try:
                response = await self._client.post(f"/{path}", content=content)
                break
            except (self._http.TransportError, RuntimeError) as exc:  # RuntimeError: the client was closed
                broken = isinstance(exc, self._http.NetworkError | self._http.RemoteProtocolError)
                if not broken or self._client.is_closed or attempt == ATTEMPTS - 1:
                    raise StoreUnavailable(
                        f"{self._where} does not answer: {type(exc).__name__} {exc}".rstrip() + ".",
                        hint="Check UPSTASH_VECTOR_URL.",
                        setting="UPSTASH_VECTOR_URL",
                    ) from exc
                await asyncio.sleep(0.1 * (attempt + 1))
        if response.status_code == 404 and missing:
            return None
        try:
            answer = msgspec.json.decode(response.content)
            return answer["result"]
        except (msgspec.DecodeError, KeyError, TypeError):
            raise self._fault(response.status_code, response.text) from None

    def _fault(self, status: int, text: str) -> Exception:
        where = f"{self._where} answers {status}"
        reason = " ".join(text.split())[:300]
        if status in (401, 403):
            return StoreUnauthorized(f"{where}.", hint="Check UPSTASH_VECTOR_TOKEN.", setting="UPSTASH_VECTOR_TOKEN")
        if status == 429:
            return StoreRateLimited(f"{where}: {reason}.", hint="Try again later, or take a larger plan.")
        if status in (400, 413, 422):
            return InvalidQuery(f"{where}: {reason}.")
        if status >= 500:
            return StoreUnavailable(f"{where}: {reason}.", hint="Look at the status of the service.")
        hint = "Check UPSTASH_VECTOR_URL: another server may listen there."
        return VectorStoreError(f"{where}: {reason}.", hint=hint, setting="UPSTASH_VECTOR_URL")
