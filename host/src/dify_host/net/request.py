"""Turns a request of the port into what goes over the wire, and decides what a redirect makes of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlencode

import httpx
import msgspec
from dify_kernel.contracts.http import FormPart, HttpRequest
from dify_kernel.errors import BadInput, OutboundRefused

__all__ = ["Outgoing", "origin_of", "outgoing", "parse_url", "redirected"]

# The connection's own business: a caller who sets these could smuggle a second request or talk to the proxy.
_CONNECTION = frozenset(
    b"connection content-length keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade".split()
)
# What follows to another origin. Everything else may be a credential: vendors keep keys in headers of any name.
_HARMLESS = frozenset(
    b"accept accept-charset accept-encoding accept-language cache-control content-language content-type pragma "
    b"range user-agent".split()
)
_BODY = frozenset((b"content-type", b"content-language"))

_HOST = re.compile(rb"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")

Headers = Sequence[tuple[bytes, bytes]]


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A request ready to be sent: header names in lower case, `host` and `content-length` not yet among them."""

    method: str
    url: httpx.URL
    headers: Headers
    body: bytes


def parse_url(text: str, *, userinfo: bool = False) -> httpx.URL:
    """The one reading of an address: http or https with a host; raises OutboundRefused for any other."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as exc:
        raise OutboundRefused(f"The address is not a valid URL: {exc}.") from exc
    if url.scheme not in ("http", "https"):
        raise OutboundRefused(f"The scheme {url.scheme!r} is not allowed.", hint="Use http or https.")
    if not _HOST.fullmatch(url.raw_host):  # after IDNA; an escape would be read anew by a proxy
        raise OutboundRefused("The address has no host, or one that is no host name.")
    if url.userinfo and not userinfo:
        raise OutboundRefused(
            "The address carries a user name or password.", hint="Send an Authorization header.", host=url.host
        )
    return url


def outgoing(request: HttpRequest, agent: str, coding: str, *, userinfo: bool = False) -> Outgoing:
    """Encode the parameters, headers and body; raises BadInput or OutboundRefused."""
    url = parse_url(request.url, userinfo=userinfo)
    if request.params:
        query = b"&".join(part for part in (url.query, urlencode(request.params).encode()) if part)
        url = url.copy_with(query=query)
    method = request.method.upper()
    if method == "CONNECT" or not method.isascii():
        raise BadInput(f"{request.method!r} is not a method that can be sent.", hint="Use GET, POST, PUT …")
    headers = [pair for pair in _encoded(request.headers) if pair[0] not in _CONNECTION]
    body = request.content or b""
    if request.files:
        content_type, body = _multipart(request.files)
        headers = [pair for pair in headers if pair[0] != b"content-type"]
        headers.append((b"content-type", content_type))
    names = {name for name, _ in headers}
    defaults = ((b"accept", b"*/*"), (b"accept-encoding", coding.encode()), (b"user-agent", agent.encode()))
    headers += [pair for pair in defaults if pair[0] not in names]
    if url.userinfo:
        if b"authorization" not in names:
            headers.append((b"authorization", _basic(url)))
        url = url.copy_with(userinfo=b"")
    return Outgoing(method=method, url=url, headers=headers, body=body)


def redirected(sent: Outgoing, status: int, location: str) -> Outgoing:
    """The request that follows a redirect (RFC 9110, 15.4), without credentials when the origin changes."""
    try:
        target = sent.url.join(location)
    except (httpx.InvalidURL, ValueError) as exc:
        raise OutboundRefused(f"{origin_of(sent.url)} redirects to an invalid address.") from exc
    target = parse_url(str(target.copy_with(fragment=None)))
    method, body, headers = sent.method, sent.body, sent.headers
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", b""
        headers = [pair for pair in headers if pair[0] not in _BODY]
    if not _same_origin(sent.url, target):
        headers = [pair for pair in headers if pair[0] in _HARMLESS]
    return Outgoing(method=method, url=target, headers=headers, body=body)


def origin_of(url: httpx.URL) -> str:
    """Scheme, host and port: what a message may tell of an address whose query may hold a key."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _same_origin(old: httpx.URL, new: httpx.URL) -> bool:
    if old.host != new.host:
        return False
    if (old.scheme, _port(old)) == (new.scheme, _port(new)):
        return True
    return (old.scheme, _port(old), new.scheme, _port(new)) == ("http", 80, "https", 443)


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _encoded(headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    try:
        return [(name.strip().lower().encode("ascii"), value.strip().encode("utf-8")) for name, value in headers]
    except UnicodeEncodeError as exc:
        raise BadInput(f"A header name has a character that cannot be sent: {exc.object!r}.") from exc


def _multipart(parts: Sequence[FormPart]) -> tuple[bytes, bytes]:
    files = [(part.name, (part.filename, part.content, part.content_type)) for part in parts]
    form = httpx.Request("POST", "http://form", files=files)
    return form.headers["content-type"].encode(), form.read()


def _basic(url: httpx.URL) -> bytes:
    auth = httpx.BasicAuth(url.username, url.password)
    request = next(auth.auth_flow(httpx.Request("GET", "http://basic")))
    return request.headers["authorization"].encode()
