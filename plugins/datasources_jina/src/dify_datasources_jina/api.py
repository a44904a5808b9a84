"""The calls of Jina's Reader and of its crawl: https://jina.ai/reader and https://github.com/jina-ai/reader.

Answers have an envelope: `code`, which is the status of HTTP, `status` and `data`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from dify_kernel.contracts.datasource_http import ask_json
from dify_kernel.contracts.http import HttpClient, HttpRequest, Timeout
from dify_kernel.errors import DatasourceError, DatasourceItemNotFound, DatasourceUnavailable

from dify_datasources_jina.settings import JinaCredentials

__all__ = ["JinaApi"]

_TIMEOUT: Final = Timeout(connect=10, read=120, total=150)
_MOST_BYTES: Final = 40 * 1024 * 1024


class JinaApi:
    """Asks with one set of credentials."""

    def __init__(self, http: HttpClient, credentials: JinaCredentials) -> None:
        self._http, self._credentials = http, credentials

    async def check(self, url: str) -> None:
        """Read a page, from the service's memory if it is there."""
        await self._ask(f"{self._base}/", {"url": url})

    async def read(self, url: str, *, only_main_content: bool) -> dict[str, Any]:
        """A page as it is now."""
        more = [("X-No-Cache", "true")]
        if not only_main_content:
            more.append(("X-Respond-With", "markdown"))
        return await self._ask(f"{self._base}/", {"url": url}, more)

    async def start(self, url: str, most: int, *, use_sitemap: bool) -> str:
        """Begin a crawl: its id."""
        body = {"url": url, "maxPages": most, "useSitemap": use_sitemap}
        found = (await self._ask(self._credentials.crawl_url, body)).get("taskId")
        if not isinstance(found, str) or not found:
            raise _unknown()
        return found

    async def task(self, task_id: str, urls: Sequence[str] = ()) -> dict[str, Any]:
        """How far a crawl is; the pages of `urls` with what is in them."""
        body: dict[str, Any] = {"taskId": task_id} | ({"urls": list(urls)} if urls else {})
        return await self._ask(self._credentials.crawl_status_url, body)

    @property
    def _base(self) -> str:
        return self._credentials.base_url.rstrip("/")

    async def _ask(self, url: str, body: Mapping[str, Any], more: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
        key = self._credentials.api_key
        headers = [("Authorization", f"Bearer {key.reveal()}"), ("Accept", "application/json")]
        request = HttpRequest(
            method="POST",
            url=url,
            headers=[*headers, ("Content-Type", "application/json"), *more],
            content=msgspec.json.encode(body),
            timeout=_TIMEOUT,
            max_bytes=_MOST_BYTES,
        )
        try:
            found = await ask_json(self._http, request, "Jina Reader", secret=key)
        except DatasourceItemNotFound as exc:
            # This is no page that is gone: of pages the service tells in their `warning`.
            raise DatasourceError(exc.message, hint="Check the addresses among the credentials.") from exc
        data = found.get("data") if isinstance(found, dict) else None
        if not isinstance(data, dict):
            raise _unknown()
        return data


def _unknown() -> DatasourceUnavailable:
    return DatasourceUnavailable(
        "Jina Reader answered something unknown.",
        hint="Check the addresses among the credentials, and try again later.",
    )
