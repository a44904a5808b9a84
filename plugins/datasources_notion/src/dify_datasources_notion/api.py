"""The calls of Notion's API, version 2022-06-28: lists are read to their end, and a busy service is waited for.

https://developers.notion.com/reference: an average of three requests a second is allowed; 429 says how long to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import msgspec
from dify_kernel.contracts.datasource_http import ask, refusal
from dify_kernel.contracts.http import HttpClient, HttpRequest, HttpResponse, Timeout
from dify_kernel.errors import DatasourceItemNotFound, DatasourceUnavailable

from dify_datasources_notion.settings import NotionCredentials

__all__ = ["NotionApi"]

_VERSION: Final = "2022-06-28"
_PAGE: Final = 100
_TIMEOUT: Final = Timeout(connect=10, read=60, total=90)
_MOST_BYTES: Final = 20 * 1024 * 1024
_TRIES: Final = 4
_LONGEST_WAIT: Final = 30.0


class NotionApi:
    """Asks with one set of credentials."""

    def __init__(self, http: HttpClient, credentials: NotionCredentials) -> None:
        self._http, self._credentials = http, credentials

    async def bot(self) -> dict[str, Any]:
        """The integration itself: its `bot` has the name of the workspace."""
        return await self._get("users/me")

    def found(self) -> AsyncIterator[dict[str, Any]]:
        """Every page and database that is shared."""
        return self._listed("POST", "search", {})

    def children(self, block_id: str) -> AsyncIterator[dict[str, Any]]:
        """The blocks right below a page or block."""
        return self._listed("GET", f"blocks/{_id(block_id)}/children", {})

    def rows(self, database_id: str) -> AsyncIterator[dict[str, Any]]:
        """The pages of a database."""
        return self._listed("POST", f"databases/{_id(database_id)}/query", {})

    async def page(self, page_id: str) -> dict[str, Any]:
        """A page without its blocks."""
        return await self._get(f"pages/{_id(page_id)}")

    async def database(self, database_id: str) -> dict[str, Any]:
        """A database without its rows."""
        return await self._get(f"databases/{_id(database_id)}")

    # -- inside -----------------------------------------------------------------------------------------------

    async def _get(self, path: str) -> dict[str, Any]:
        return await self._ask("GET", path)

    async def _listed(self, method: str, path: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The items of all pages of a list."""
        cursor: str | None = None
        while True:
            wanted: dict[str, Any] = {"page_size": _PAGE} | ({"start_cursor": cursor} if cursor else {})
            if method == "GET":
                answer = await self._ask(method, path, params=[(name, str(value)) for name, value in wanted.items()])
            else:
                answer = await self._ask(method, path, body=body | wanted)
            for item in answer.get("results") or ():
                if isinstance(item, dict):
                    yield item
            before, cursor = cursor, answer.get("next_cursor")
            if not answer.get("has_more") or not cursor or cursor == before:
                return

    async def _ask(
        self, method: str, path: str, *, params: list[tuple[str, str]] | None = None, body: Any = None
    ) -> dict[str, Any]:
        headers = [
            ("Authorization", f"Bearer {self._credentials.integration_secret.reveal()}"),
            ("Notion-Version", _VERSION),
        ]
        request = HttpRequest(
            method=method,
            url=f"{self._credentials.base_url.rstrip('/')}/v1/{path}",
            headers=[*headers, ("Content-Type", "application/json")] if body is not None else headers,
            params=params or (),
            content=None if body is None else msgspec.json.encode(body),
            timeout=_TIMEOUT,
            max_bytes=_MOST_BYTES,
        )
        for _ in range(_TRIES - 1):
            response = await ask(self._http, request, "Notion")
            wait = _wait(response)
            if wait is None:
                return _object(response)
            await asyncio.sleep(wait)
        return _object(await ask(self._http, request, "Notion"))


def _wait(response: HttpResponse) -> float | None:
    """How long a busy service asks to be left alone; None for another answer, and for a wait that is too long."""
    if response.status != 429:
        return None
    try:
        found = float(response.header("retry-after") or 1)
    except ValueError:
        found = 1.0
    return max(found, 0.0) if found <= _LONGEST_WAIT else None


def _object(response: HttpResponse) -> dict[str, Any]:
    if not 200 <= response.status < 300:
        raise refusal(response, "Notion")
    try:
        found = response.json()
    except msgspec.DecodeError as exc:
        raise DatasourceUnavailable("Notion did not answer with JSON.", hint="Try again later.") from exc
    if not isinstance(found, dict):
        raise DatasourceUnavailable("Notion answered something unknown.", hint="Try again later.")
    return found


def _id(text: str) -> str:
    """An id as Notion has it; DatasourceItemNotFound for a text that can be none, as it would change the path."""
    try:
        return str(UUID(text))
    except ValueError as exc:
        raise DatasourceItemNotFound(f"{text!r} is not the id of anything in Notion.") from exc
