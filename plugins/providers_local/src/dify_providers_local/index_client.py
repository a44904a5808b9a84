"""Reaches the package index that the operator set: no user steers these requests, so they go the machine's own way.

Its proxies and certificates apply (HTTPS_PROXY, SSL_CERT_FILE), and a mirror on a private address is fine. What is
fetched is checked against sums in the code.
"""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from dify_kernel.contracts.http import HttpConnectionError, HttpRequest, HttpResponse, HttpTooLarge

__all__ = ["IndexClient"]

_PIECE = 256 * 1024


class IndexClient:
    """The part of the HTTP port that fetching needs, over the standard library in threads."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send and read the whole answer."""
        async with self.stream(request) as answer:
            content = b"".join([piece async for piece in answer.chunks()])
            return HttpResponse(status=answer.status, headers=answer.headers, content=content, url=answer.url)

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncIterator[_Answer]:
        """Send and yield the answer while it arrives."""
        raw = await asyncio.to_thread(_open, request)
        try:
            yield _Answer(raw, request)
        finally:
            await asyncio.to_thread(raw.close)


class _Answer:
    """One answer; `chunks` reads it in a thread."""

    def __init__(self, raw: Any, request: HttpRequest) -> None:
        self._raw, self._max = raw, request.max_bytes
        self.status: int = raw.status
        self.url: str = raw.url
        self.headers: list[tuple[str, str]] = [(name.lower(), value) for name, value in raw.headers.items()]

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces."""
        read = 0
        while True:
            try:
                piece: bytes = await asyncio.to_thread(self._raw.read, _PIECE)
            except OSError as exc:
                raise HttpConnectionError(f"The connection to {self.url} broke: {exc}.") from exc
            if not piece:
                return
            read += len(piece)
            if read > self._max:
                raise HttpTooLarge(f"{self.url} gave more than {self._max} bytes.")
            yield piece


def _open(request: HttpRequest) -> Any:
    if not request.url.startswith(("https://", "http://")):
        raise HttpConnectionError(f"{request.url} is not an http address.")
    asked = urllib.request.Request(request.url, headers=dict(request.headers))  # noqa: S310 - checked above
    try:
        return urllib.request.urlopen(asked, timeout=request.timeout.read)  # noqa: S310 - checked above
    except urllib.error.HTTPError as exc:
        return exc
    except OSError as exc:
        raise HttpConnectionError(f"{request.url} cannot be reached: {exc}.") from exc
