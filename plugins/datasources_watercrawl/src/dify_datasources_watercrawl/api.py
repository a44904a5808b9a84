"""The calls of WaterCrawl's API, version 1: https://docs.watercrawl.dev/api/overview."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec
from dify_kernel.contracts.datasource_http import ask, ask_json, refusal
from dify_kernel.contracts.http import HttpClient, HttpRequest, Timeout
from dify_kernel.errors import DatasourceError, DatasourceItemNotFound, DatasourceUnavailable

from dify_datasources_watercrawl.settings import WaterCrawlCredentials

__all__ = ["WaterCrawlApi"]

_TIMEOUT: Final = Timeout(connect=10, read=60, total=90)
_MOST_BYTES: Final = 40 * 1024 * 1024
_PART: Final = 25


class WaterCrawlApi:
    """Asks with one set of credentials."""

    def __init__(self, http: HttpClient, credentials: WaterCrawlCredentials) -> None:
        self._http, self._credentials = http, credentials

    async def listed(self) -> None:
        """The crawls of the team, of which one is enough to know the key."""
        found = await self._get("", [("page", "1"), ("page_size", "1")])
        if "results" not in found:
            raise _unknown()

    async def start(self, body: Mapping[str, Any]) -> str:
        """Begin a crawl: its id."""
        found = _object(await self._json(self._request("POST", "", body=body))).get("uuid")
        if not isinstance(found, str) or not found:
            raise _unknown()
        return found

    async def crawl(self, crawl_id: str) -> dict[str, Any]:
        """How far a crawl is."""
        return await self._get(f"{quote(crawl_id, safe='')}/")

    async def results(self, crawl_id: str, page: int) -> dict[str, Any]:
        """Part of what a crawl has read, in the order of reading; parts count from 1 and have 25 pages."""
        params = [("page", str(page)), ("page_size", str(_PART)), ("prefetched", "true")]
        return await self._get(f"{quote(crawl_id, safe='')}/results/", params)

    async def stop(self, crawl_id: str) -> None:
        """End a crawl."""
        request = self._request("DELETE", f"{quote(crawl_id, safe='')}/")
        answer = await ask(self._http, request, "WaterCrawl")  # it has no body
        if answer.status >= 300:
            raise refusal(answer, "WaterCrawl", secret=self._credentials.api_key)

    async def _get(self, path: str, params: list[tuple[str, str]] | None = None) -> dict[str, Any]:
        return _object(await self._json(self._request("GET", path, params=params or [])))

    async def _json(self, request: HttpRequest) -> Any:
        try:
            return await ask_json(self._http, request, "WaterCrawl", secret=self._credentials.api_key)
        except DatasourceItemNotFound as exc:
            # This is no page that is gone: those are missing from the results.
            raise DatasourceError(exc.message, hint="Check base_url, and start the crawl again.") from exc

    def _request(
        self, method: str, path: str, *, params: list[tuple[str, str]] | None = None, body: Any = None
    ) -> HttpRequest:
        headers = [("X-API-Key", self._credentials.api_key.reveal()), ("Accept", "application/json")]
        return HttpRequest(
            method=method,
            url=f"{self._credentials.base_url.rstrip('/')}/api/v1/core/crawl-requests/{path}",
            headers=[*headers, ("Content-Type", "application/json")] if body is not None else headers,
            params=params or (),
            content=None if body is None else msgspec.json.encode(body),
            timeout=_TIMEOUT,
            max_bytes=_MOST_BYTES,
        )


def _object(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise _unknown()
    return found


def _unknown() -> DatasourceUnavailable:
    return DatasourceUnavailable("WaterCrawl answered something unknown.", hint="Check base_url, and try again later.")
