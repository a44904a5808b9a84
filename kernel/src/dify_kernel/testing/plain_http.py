"""A real HTTP client behind the port, for tests of plugins: no guard, no limits but those of the request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from dify_kernel.contracts.http import (
    HttpConnectionError,
    HttpRequest,
    HttpResponse,
    HttpTimeout,
    HttpTooLarge,
)

if TYPE_CHECKING:
    import httpx

__all__ = ["PlainHttpClient"]


class PlainHttpClient:
    """`contracts.http.HttpClient` over httpx, which is imported at the first request. Use it as a context manager."""

    def __init__(self) -> None:
        self._clients: dict[bool, httpx.AsyncClient] = {}

    async def __aenter__(self) -> PlainHttpClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send and read the whole answer; any status is an answer."""
        async with self.stream(request) as answer:
            content = await answer.read()
            return HttpResponse(status=answer.status, headers=answer.headers, content=content, url=answer.url)

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncIterator[_Stream]:
        """Send and yield the answer while it arrives; leaving the block closes the connection."""
        with _translated(request):
            async with self._client(request.verify).stream(
                request.method, request.url, follow_redirects=request.follow_redirects, **_arguments(request)
            ) as answer:
                yield _Stream(answer, request)

    def _client(self, verify: bool) -> httpx.AsyncClient:
        import httpx

        if verify not in self._clients:
            self._clients[verify] = httpx.AsyncClient(verify=verify, trust_env=False)
        return self._clients[verify]


class _Stream:
    def __init__(self, answer: httpx.Response, request: HttpRequest) -> None:
        self._answer = answer
        self._request = request
        self.status = answer.status_code
        self.url = str(answer.url)
        self.headers = [(name.lower(), value) for name, value in answer.headers.multi_items()]

    async def lines(self) -> AsyncIterator[str]:
        rest = b""
        async for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.removesuffix(b"\r").decode("utf-8", "replace")
        if rest:
            yield rest.decode("utf-8", "replace")

    async def chunks(self) -> AsyncIterator[bytes]:
        size = 0
        with _translated(self._request):
            async for chunk in self._answer.aiter_bytes():
                size += len(chunk)
                if size > self._request.max_bytes:
                    raise HttpTooLarge(f"The answer of {self._request.url} is over {self._request.max_bytes} bytes.")
                yield chunk

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])


def _arguments(request: HttpRequest) -> dict[str, Any]:
    import httpx

    limits = request.timeout
    arguments: dict[str, Any] = {
        "headers": list(request.headers),
        "timeout": httpx.Timeout(connect=limits.connect, read=limits.read, write=limits.write, pool=limits.connect),
    }
    if request.params:
        arguments["params"] = list(request.params)
    if request.files:
        arguments["files"] = [(part.name, (part.filename, part.content, part.content_type)) for part in request.files]
    elif request.content is not None:
        arguments["content"] = request.content
    return arguments


@contextmanager
def _translated(request: HttpRequest) -> Iterator[None]:
    import httpx

    try:
        yield
    except httpx.TimeoutException as exc:
        raise HttpTimeout(f"{request.url} did not answer in time ({type(exc).__name__}).", url=request.url) from exc
    except (httpx.TransportError, httpx.InvalidURL) as exc:
        raise HttpConnectionError(f"{request.url} cannot be reached: {exc or type(exc).__name__}.") from exc
