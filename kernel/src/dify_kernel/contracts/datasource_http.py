"""What every data source does alike with HTTP: ask a service, and tell its refusals apart."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from typing import Any, Final

import msgspec

from dify_kernel.contracts.http import HttpClient, HttpConnectionError, HttpRequest, HttpResponse, HttpTooLarge
from dify_kernel.errors import (
    CredentialsValidateFailedError,
    DatasourceError,
    DatasourceItemNotFound,
    DatasourceUnauthorized,
    DatasourceUnavailable,
    OutboundRefused,
)
from dify_kernel.settings import Secret

__all__ = ["Arriving", "ask", "ask_json", "asking", "checking", "refusal", "without_secret"]

_LATER = frozenset((408, 409, 423, 425, 429))
_MOST_WORDS = 300
_MOST_REFUSAL = 64 * 1024
#: A shorter secret is none: a server of one's own may take any text, and that may be part of every word.
_SHORTEST_SECRET: Final = 4


async def ask(http: HttpClient, request: HttpRequest, what: str) -> HttpResponse:
    """The answer to a request, of any status; `what` names the other side in errors.

    DatasourceUnavailable when it cannot be reached, DatasourceError for an answer that is too large and for an address
    that must not be reached.
    """
    with _translated(what):
        return await http.send(request)


class Arriving(msgspec.Struct, frozen=True, kw_only=True):
    """A good answer while it arrives; `chunks` can be read once. Header names are lower case."""

    headers: dict[str, str]
    chunks: AsyncIterator[bytes]


@asynccontextmanager
async def asking(
    http: HttpClient,
    request: HttpRequest,
    what: str,
    *,
    secret: Secret | None = None,
    words_of: Callable[[HttpResponse], str] | None = None,
) -> AsyncIterator[Arriving]:
    """A good answer as a stream, with the errors of `ask` also in its `chunks`; `refusal` for another status.

    `words_of` finds the words of a refusal that is no JSON.
    """
    async with AsyncExitStack() as opened:
        with _translated(what):
            stream = await opened.enter_async_context(http.stream(request))
            if not 200 <= stream.status < 300:
                content = await _beginning(stream.chunks())
                response = HttpResponse(status=stream.status, headers=stream.headers, content=content, url=request.url)
                words = words_of(response) if words_of else None
                raise refusal(response, what, secret=secret, words=words)
        async with aclosing(_arriving(stream.chunks(), what)) as chunks:
            yield Arriving(headers={name.lower(): value for name, value in stream.headers}, chunks=chunks)


async def _beginning(chunks: AsyncIterator[bytes]) -> bytes:
    """As much of a refusal as its words are looked for in: it may be as long as what was asked for."""
    found = b""
    async for chunk in chunks:
        found += chunk
        if len(found) >= _MOST_REFUSAL:
            break
    return found[:_MOST_REFUSAL]


async def _arriving(chunks: AsyncIterator[bytes], what: str) -> AsyncGenerator[bytes, None]:
    with _translated(what):
        async for chunk in chunks:
            yield chunk


async def ask_json(http: HttpClient, request: HttpRequest, what: str, *, secret: Secret | None = None) -> Any:
    """The JSON of a good answer; `refusal` for another status, DatasourceUnavailable for what is no JSON."""
    response = await ask(http, request, what)
    if not 200 <= response.status < 300:
        raise refusal(response, what, secret=secret)
    try:
        return response.json()
    except msgspec.DecodeError as exc:
        raise DatasourceUnavailable(
            f"{what} did not answer with JSON.", hint="Check its address, and try again later."
        ) from exc


def refusal(
    response: HttpResponse, what: str, *, secret: Secret | None = None, words: str | None = None
) -> DatasourceError:
    """The error that a status of 300 and more stands for, with the service's words where it has some.

    They are looked for in JSON, unless they are given. Should the service repeat the `secret` that it was asked with,
    the error does not.
    """
    status = response.status
    words = _words(response) if words is None else words
    words = without_secret(" ".join(words.split()), secret)[:_MOST_WORDS]
    told = f"{what} answered with status {status}" + (f": {words}" if words else ".")
    if status in (401, 403):
        return DatasourceUnauthorized(told, hint="Check the credentials and what they may read.")
    if status in (404, 410):
        return DatasourceItemNotFound(told, hint="It may be gone, or not be shared.")
    if status in _LATER or status >= 500:
        return DatasourceUnavailable(told, hint="Try again later.")
    return DatasourceError(told, hint="Check what it was asked for.")


@contextmanager
def checking() -> Iterator[None]:
    """Around what `check` asks: CredentialsValidateFailedError for what is refused, also by what is not the service.

    DatasourceUnavailable stays what it is.
    """
    try:
        yield
    except DatasourceError as exc:
        if exc.retryable:
            raise
        raise CredentialsValidateFailedError(exc.message, hint=exc.hint) from exc


def without_secret(words: str, secret: Secret | None) -> str:
    """What a service says, without the secret that it was asked with."""
    value = secret.reveal() if secret else ""
    return words.replace(value, "***") if len(value) >= _SHORTEST_SECRET else words


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """What the HTTP port raises, as errors of data sources."""
    try:
        yield
    except HttpConnectionError as exc:
        raise DatasourceUnavailable(f"{what} cannot be reached: {exc.message}", hint="Try again later.") from exc
    except (HttpTooLarge, OutboundRefused) as exc:
        raise DatasourceError(f"{what} cannot be read: {exc.message}", hint=exc.hint) from exc


def _words(response: HttpResponse) -> str:
    """What a service says of its error: `message`, `error` or `detail` of a JSON object."""
    try:
        body = response.json()
    except msgspec.DecodeError:
        return ""
    if not isinstance(body, dict):
        return ""
    for name in ("message", "error", "detail"):
        if isinstance(body.get(name), str) and body[name].strip():
            return str(body[name])
    return ""
