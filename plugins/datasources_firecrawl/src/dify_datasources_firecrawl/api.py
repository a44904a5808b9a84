"""The calls of Firecrawl's API, version 2: https://docs.firecrawl.dev/api-reference/v2-introduction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec
from dify_kernel.contracts.datasource_http import ask_json, without_secret
from dify_kernel.contracts.http import HttpClient, HttpRequest, Timeout
from dify_kernel.errors import DatasourceError, DatasourceItemNotFound, DatasourceUnavailable

from dify_datasources_firecrawl.settings import FirecrawlCredentials

__all__ = ["FirecrawlApi"]

#: A page is waited for by the service for 30 seconds, unless it is told otherwise.
_TIMEOUT: Final = Timeout(connect=10, read=90, total=120)
#: A part of the pages of a crawl has 10 MB, and one page may be larger than that.
_MOST_BYTES: Final = 40 * 1024 * 1024


class FirecrawlApi:
    """Asks with one set of credentials."""

    def __init__(self, http: HttpClient, credentials: FirecrawlCredentials) -> None:
        self._http, self._credentials = http, credentials

    async def active(self) -> dict[str, Any]:
        """The crawls of the team that go on."""
        return await self._ask("GET", "crawl/active")

    async def scrape(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Read one page: the document."""
        found = (await self._ask("POST", "scrape", body)).get("data")
        if not isinstance(found, dict):
            raise _unknown()
        return found

    async def start(self, body: Mapping[str, Any]) -> str:
        """Begin a crawl: its id."""
        found = (await self._ask("POST", "crawl", body)).get("id")
        if not isinstance(found, str) or not found:
            raise _unknown()
        return found

    async def status(self, crawl_id: str, skip: int) -> dict[str, Any]:
        """How far a crawl is, and the documents from the one of that number on, as many as go into 10 MB."""
        return await self._ask("GET", f"crawl/{quote(crawl_id, safe='')}", params=[("skip", str(skip))])

    async def errors(self, crawl_id: str) -> dict[str, Any]:
        """The pages that a crawl could not read."""
        return await self._ask("GET", f"crawl/{quote(crawl_id, safe='')}/errors")

    async def cancel(self, crawl_id: str) -> None:
        """End a crawl."""
        await self._ask("DELETE", f"crawl/{quote(crawl_id, safe='')}")

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: list[tuple[str, str]] | None = None,
    ) -> dict[str, Any]:
        key = self._credentials.firecrawl_api_key
        headers = [("Authorization", f"Bearer {key.reveal()}")]
        request = HttpRequest(
            method=method,
            url=f"{self._credentials.base_url.rstrip('/')}/v2/{path}",
            headers=[*headers, ("Content-Type", "application/json")] if body is not None else headers,
            params=params or (),
            content=None if body is None else msgspec.json.encode(body),
            timeout=_TIMEOUT,
            max_bytes=_MOST_BYTES,
        )
        try:
            found = await ask_json(self._http, request, "Firecrawl", secret=key)
        except DatasourceItemNotFound as exc:
            # This is no page that is gone: of pages the service tells in its documents.
            raise DatasourceError(
                exc.message, hint="Check base_url: version 2 of the API is asked for, and a crawl is kept for a day."
            ) from exc
        if not isinstance(found, dict):
            raise _unknown()
        if found.get("success") is False:
            said = without_secret(str(found.get("error") or "no reason is given"), key)
            raise DatasourceError(f"Firecrawl refused: {said}", hint="Check what it was asked for.")
        return found


def _unknown() -> DatasourceUnavailable:
    return DatasourceUnavailable("Firecrawl answered something unknown.", hint="Check base_url, and try again later.")
