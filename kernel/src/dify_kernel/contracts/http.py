"""The outbound HTTP port: what a plugin uses to reach the network. The host provides the guarded client behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec

from dify_kernel.errors import DifyError, OutboundRefused

__all__ = [
    "FormPart",
    "HttpClient",
    "HttpConnectionError",
    "HttpRequest",
    "HttpResponse",
    "HttpStream",
    "HttpTimeout",
    "HttpTooLarge",
    "OutboundRefused",
    "Timeout",
]


class HttpConnectionError(DifyError):
    """The host name does not resolve, the connection is refused, or it broke."""

    code = "http_connection_error"
    status = 502
    retryable = True


class HttpTimeout(HttpConnectionError):
    """Connecting, writing or reading took longer than the request allows."""

    code = "http_timeout"
    status = 504


class HttpTooLarge(DifyError):
    """The answer is larger than `HttpRequest.max_bytes`."""

    code = "http_response_too_large"
    status = 502


class Timeout(msgspec.Struct, frozen=True, kw_only=True):
    """Limits in seconds; `total` bounds the whole exchange, None leaves it open (streams)."""

    connect: float = 5.0
    read: float = 60.0
    write: float = 30.0
    total: float | None = None


class FormPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a multipart/form-data body; a part without a file name is a plain field."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: str | None = None


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One outbound request; `files` not empty makes a multipart body, else `content` is sent as it is."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]] = ()
    params: Sequence[tuple[str, str]] = ()
    content: bytes | None = None
    files: Sequence[FormPart] = ()
    timeout: Timeout = Timeout()
    follow_redirects: bool = False
    verify: bool = True
    max_bytes: int = 10 * 1024 * 1024


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer; header names are lower case, repeated headers stay apart."""

    status: int
    headers: list[tuple[str, str]]
    content: bytes
    url: str = ""
    http_version: str = "HTTP/1.1"
    reason: str = ""
    elapsed: float = 0.0

    def header(self, name: str) -> str | None:
        """The first header of that name, any case; None when absent."""
        name = name.lower()
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def text(self) -> str:
        """The body as text by the charset of its content type, UTF-8 otherwise; bad bytes are replaced."""
        charset = "utf-8"
        for part in (self.header("content-type") or "").split(";")[1:]:
            key, _, value = part.strip().partition("=")
            if key.lower() == "charset":
                charset = value.strip("\"' ") or charset
        try:
            return self.content.decode(charset, "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body decoded as JSON; raises msgspec.DecodeError when it is not."""
        return msgspec.json.decode(self.content)


class HttpStream(Protocol):
    """An answer whose body is still arriving."""

    status: int
    headers: list[tuple[str, str]]

    def lines(self) -> AsyncIterator[str]:
        """The body line by line without line ends."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body piece by piece as it arrives."""
        ...

    async def read(self) -> bytes:
        """The rest of the body at once."""
        ...


class HttpClient(Protocol):
    """Sends requests that a user or a configured endpoint steers; refuses private addresses unless allowed.

    Raises OutboundRefused, HttpConnectionError, HttpTimeout or HttpTooLarge.
    """

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send and read the whole answer; any status is an answer, not an error."""
        ...

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        """Send and yield the answer while it arrives; leaving the block closes the connection."""
        ...
