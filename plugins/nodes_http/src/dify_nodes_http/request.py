"""Builds the request of one run from the node's config and the variables."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import msgspec
from dify_kernel import loose_json
from dify_kernel.contracts.http import FormPart, HttpRequest, Timeout
from dify_kernel.contracts.node import Limits, NodeContext
from dify_kernel.errors import DifyError, NodeFailed, PlatformUnavailable
from dify_kernel.graph.pool import Selector, template_selectors
from dify_kernel.graph.values import File

from dify_nodes_http.config import Authorization, Body, BodyItem, HttpRequestConfig, Timeouts

__all__ = ["Prepared", "prepare", "read_variables", "to_port"]

_CONTENT_TYPES = {
    "json": "application/json",
    "raw-text": "text/plain",
    "x-www-form-urlencoded": "application/x-www-form-urlencoded",
}
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
#: A form without files is sent as multipart all the same, with this empty part, as receivers have always seen it.
PLACEHOLDER = FormPart(name="__multipart_placeholder__", content=b"", content_type="application/octet-stream")


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A request with every variable filled in.

    With `multipart` the body is the form of `fields` and `files`, else `content`. `secret_header` names the header that
    carries the key.
    """

    method: str
    url: str
    headers: dict[str, str]
    params: list[tuple[str, str]]
    content: bytes | None = None
    multipart: bool = False
    fields: list[tuple[str, str]] = []
    files: list[FormPart] = []
    secret_header: str = ""


def read_variables(config: HttpRequestConfig) -> list[Selector]:
    """Every variable that the request is made of."""
    auth = config.authorization.config if config.authorization else None
    texts = [config.url, config.headers or "", config.params or ""]
    texts += [auth.api_key or "", auth.header or ""] if auth else []
    found: list[Selector] = []
    for item in _items(config.body) if config.body else ():
        texts += [item.key, item.value or ""]
        if item.type == "file" and item.file:
            found.append(tuple(item.file))
    return [selector for text in texts for selector in template_selectors(text)] + found


async def prepare(config: HttpRequestConfig, ctx: NodeContext) -> Prepared:
    """The request to send; NodeFailed says which part of the config is wrong. Files are loaded here."""
    url = ctx.render(config.url).strip()
    if not url:
        raise NodeFailed("url is required", error_type="InvalidURLError", node_id=ctx.node_id)
    if not url.startswith(("http://", "https://")):
        raise NodeFailed("url should start with http:// or https://", error_type="InvalidURLError", node_id=ctx.node_id)
    headers = dict(_headers(config.headers or "", ctx))
    body = await _body(config.body or Body(), ctx)
    kind = (config.body or Body()).type
    if kind in _CONTENT_TYPES and not _has(headers, "content-type"):
        headers["Content-Type"] = _CONTENT_TYPES[kind]
    secret = _authorize(config.authorization or Authorization(), headers, ctx)
    return Prepared(
        method=config.method.upper(),
        url=url,
        headers=headers,
        params=list(_params(config.params or "", ctx)),
        secret_header=secret,
        **body,
    )


def to_port(
    request: Prepared, *, key: str, timeouts: Timeouts | None, limits: Limits, verify: bool | None
) -> HttpRequest:
    """The request as the outbound port takes it, with an idempotency key where a repetition could do harm."""
    headers = list(request.headers.items())
    if not _has(request.headers, "accept"):
        headers.insert(0, ("Accept", "*/*"))
    if request.method not in _SAFE_METHODS and not _has(request.headers, "idempotency-key"):
        headers.append(("Idempotency-Key", key))
    parts = [FormPart(name=name, content=value.encode()) for name, value in request.fields]
    files = [*parts, *(request.files or [PLACEHOLDER])] if request.multipart else []
    return HttpRequest(
        method=request.method,
        url=request.url,
        headers=headers,
        params=request.params,
        content=request.content,
        files=files,
        timeout=_timeout(timeouts or Timeouts(), limits),
        follow_redirects=True,
        verify=limits.http_request_node_ssl_verify if verify is None else verify,
        max_bytes=max(limits.http_request_node_max_binary_size, limits.http_request_node_max_text_size),
    )


def _timeout(wanted: Timeouts, limits: Limits) -> Timeout:
    def capped(seconds: float | None, most: float) -> float:
        return min(seconds, most) if seconds and seconds > 0 else most

    return Timeout(
        connect=capped(wanted.connect, limits.http_request_max_connect_timeout),
        read=capped(wanted.read, limits.http_request_max_read_timeout),
        write=capped(wanted.write, limits.http_request_max_write_timeout),
    )


# -- headers and parameters ----------------------------------------------------------------------------------------


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """`key:value` lines; the first colon splits, blank lines and empty keys are passed over."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip():
            yield key.strip(), value.strip()


def _params(text: str, ctx: NodeContext) -> Iterator[tuple[str, str]]:
    for key, value in _pairs(text):
        yield ctx.render(key), ctx.render(value)


def _headers(text: str, ctx: NodeContext) -> Iterator[tuple[str, str]]:
    """Variables are filled in after the split, so that a value can never add a header of its own.

    A line that is only a variable is the exception: it may hold whole header lines.
    """
    for line in text.splitlines():
        source = line if ":" in line else ctx.render(line)
        for key, value in _pairs(source):
            if source is line:
                key, value = ctx.render(key), ctx.render(value)
            yield " ".join(key.split()), " ".join(value.splitlines()).strip()


def _has(headers: dict[str, str], name: str) -> bool:
    return any(key.lower() == name for key in headers)


def _authorize(auth: Authorization, headers: dict[str, str], ctx: NodeContext) -> str:
    """Add the header that carries the key; its name, or an empty text."""
    if auth.type != "api-key":
        return ""
    config = auth.config
    key = ctx.render(config.api_key or "").strip() if config else ""
    if config is None or not key:
        raise NodeFailed(
            "The authorization needs an API key, and the given one is empty.",
            error_type="AuthorizationConfigError",
            hint="Fill in the key, or check the variable that holds it.",
            node_id=ctx.node_id,
        )
    name = ctx.render(config.header or "").strip() or "Authorization"
    if config.type == "bearer":
        headers[name] = f"Bearer {key}"
    elif config.type == "basic":
        headers[name] = f"Basic {base64.b64encode(key.encode()).decode() if ':' in key else key}"
    else:
        headers[name] = key
    return name


# -- bodies --------------------------------------------------------------------------------------------------------


def _items(body: Body) -> list[BodyItem]:
    if isinstance(body.data, str):
        if body.type in ("form-data", "x-www-form-urlencoded"):
            return [BodyItem(key=key, value=value) for key, value in _pairs(body.data)]
        return [BodyItem(value=body.data)]
    return body.data or []


async def _body(body: Body, ctx: NodeContext) -> dict[str, Any]:
    """The fields of Prepared that carry the body."""
    items = _items(body)
    if body.type in ("json", "raw-text") and not any((item.value or "").strip() for item in items):
        return {}  # a body that was never filled in, as old exports have it beside `get`
    match body.type:
        case "json":
            return {"content": _json(ctx.render(_only(items, body, ctx).value or ""), ctx)}
        case "raw-text":
            return {"content": ctx.render(_only(items, body, ctx).value or "").encode()}
        case "binary":
            return {"content": await _binary(_only(items, body, ctx), ctx)}
        case "x-www-form-urlencoded":
            return {"content": urlencode([(ctx.render(i.key), ctx.render(i.value or "")) for i in items]).encode()}
        case "form-data":
            fields = [(ctx.render(i.key), ctx.render(i.value or "")) for i in items if i.type != "file"]
            files = [part for item in items if item.type == "file" for part in await _parts(item, ctx)]
            return {"multipart": True, "fields": fields, "files": files}
    return {}


def _only(items: list[BodyItem], body: Body, ctx: NodeContext) -> BodyItem:
    if len(items) != 1:
        raise NodeFailed(
            f"A {body.type} body should have exactly one item, this one has {len(items)}.",
            error_type="RequestBodyError",
            node_id=ctx.node_id,
        )
    return items[0]


def _json(text: str, ctx: NodeContext) -> bytes:
    """The text as JSON; what templates break (quotes, Python's True and lists) is repaired."""
    try:
        data = loose_json.loads(text)
    except ValueError as exc:
        raise NodeFailed(
            f"Failed to parse JSON: {text[:1000]}", error_type="RequestBodyError", node_id=ctx.node_id
        ) from exc
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass")


async def _binary(item: BodyItem, ctx: NodeContext) -> bytes:
    value = ctx.get(item.file or ())
    if value is None or not isinstance(value.data, File):
        raise _no_file(item, ctx)
    return await _load(value.data, ctx)


async def _parts(item: BodyItem, ctx: NodeContext) -> list[FormPart]:
    """One part a file; a variable without files gives none."""
    value = ctx.get(item.file or ())
    data = value.data if value is not None else None
    files = [file for file in (data if isinstance(data, list) else [data]) if isinstance(file, File)]
    name = ctx.render(item.key)
    return [
        FormPart(
            name=name,
            content=await _load(file, ctx),
            filename=file.filename or "file",
            content_type=file.mime_type or "application/octet-stream",
        )
        for file in files
    ]


async def _load(file: File, ctx: NodeContext) -> bytes:
    try:
        return await ctx.ports.files.load(file)
    except PlatformUnavailable:
        raise
    except DifyError as exc:
        raise NodeFailed(
            f"The file {file.filename or file.related_id} cannot be read: {exc}",
            error_type="FileFetchError",
            node_id=ctx.node_id,
        ) from exc


def _no_file(item: BodyItem, ctx: NodeContext) -> NodeFailed:
    return NodeFailed(
        f"The binary body names {'.'.join(item.file or ()) or 'no variable'}, which is not a file.",
        error_type="FileFetchError",
        node_id=ctx.node_id,
    )
