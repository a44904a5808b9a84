"""One call of a described API: parameters to a request, and the answer to messages. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from dify_kernel.contracts.http import FormPart, HttpRequest, HttpResponse, Timeout
from dify_kernel.contracts.tool import BlobMessage, FileContent, JsonMessage, TextMessage, ToolMessage
from dify_kernel.errors import ToolError

from dify_host.tools.api_auth import ApiCredentials, authorised
from dify_host.tools.errors import ToolParameterError
from dify_host.tools.openapi import ApiField, ApiOperation

__all__ = ["build_request", "read_answer"]

_TIMEOUT: Final = Timeout(connect=10, read=60, write=60)
_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_TEXT_PARTS: Final = ("json", "xml", "text", "javascript", "yaml", "csv", "form-urlencoded", "graphql")
_KEY: Final = "Idempotency-Key"
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
#: Characters of a failed answer that its error repeats.
_SHOWN: Final = 2000

Pairs = list[tuple[str, str]]


def build_request(
    operation: ApiOperation, parameters: Mapping[str, Any], credentials: ApiCredentials, *, key: str = ""
) -> HttpRequest:
    """The request of one call; ToolParameterError for a path parameter that would change the path.

    One with effects carries `key`, so that a server can tell a call that is made again.
    """
    url, headers, query = operation.url, *authorised(credentials)
    cookies: Pairs = []
    body: dict[str, Any] = {}
    whole: Any = None
    for field in operation.fields:
        if field.name not in parameters:
            continue
        value = parameters[field.name]
        if field.place == "path":
            url = url.replace(f"{{{field.name}}}", _segment(operation, field.name, value))
        elif field.place == "query":
            query += _query(field, value)
        elif field.place == "header":
            headers.append((field.name, _plain(value)))
        elif field.place == "cookie":
            cookies.append((field.name, _plain(value)))
        elif field.place == "body":
            body[field.name] = value
        else:
            whole = value
    if cookies:
        headers.append(("Cookie", "; ".join(f"{name}={quote(value, safe='')}" for name, value in cookies)))
    if key and operation.method not in _SAFE and not any(name.lower() == _KEY.lower() for name, _ in headers):
        headers.append((_KEY, key))
    content, files = _body(operation.content_type, body, whole)
    if operation.content_type and not files and (content is not None):
        headers.append(("Content-Type", operation.content_type))
    return HttpRequest(
        method=operation.method,
        url=url,
        headers=headers,
        params=query,
        content=content,
        files=files,
        timeout=_TIMEOUT,
        follow_redirects=True,
    )


def read_answer(response: HttpResponse) -> Iterator[ToolMessage]:
    """JSON as JSON and as text, a text as text, anything else as a file; ToolError for a status from 400 on."""
    if response.status >= 400:
        raise ToolError(
            f"Request failed with status code {response.status} and {response.text[:_SHOWN]}", status=response.status
        )
    if not response.content:
        yield TextMessage("Empty response from the tool, please check your parameters and try again.")
        return
    kind = (response.header("content-type") or "").partition(";")[0].strip().lower()
    if kind and not any(part in kind for part in _TEXT_PARTS):
        yield BlobMessage(data=response.content, mime_type=kind, filename=_filename(response))
        return
    text = response.text
    try:
        data = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        yield TextMessage(text)
        return
    if isinstance(data, dict | list):
        yield JsonMessage(data)
    yield TextMessage(text)


def _segment(operation: ApiOperation, name: str, value: Any) -> str:
    text = _plain(value)
    if text in ("", ".", ".."):
        raise ToolParameterError(
            f"The parameter {name} of {operation.name} is {text!r}, which is no part of a path.",
            hint="Give it a value.",
            tool=operation.name,
            field=name,
        )
    return quote(text, safe="")


def _query(field: ApiField, value: Any) -> Pairs:
    if isinstance(value, list):
        items = [_plain(item) for item in value]
        return [(field.name, item) for item in items] if field.explode else [(field.name, ",".join(items))]
    if isinstance(value, dict) and field.deep:
        return [(f"{field.name}[{key}]", _plain(item)) for key, item in value.items()]
    return [(field.name, _plain(value))]


def _body(content_type: str, fields: dict[str, Any], whole: Any) -> tuple[bytes | None, list[FormPart]]:
    kind = content_type.partition(";")[0].strip().lower()
    if whole is not None:
        return _whole(kind, whole), []
    if not fields:
        return (b"{}" if kind.endswith("json") else None), []
    if kind == _MULTIPART:
        return None, [part for name, value in fields.items() for part in _parts(name, value)]
    if kind == _FORM:
        return urlencode([(name, _plain(value)) for name, value in fields.items()]).encode(), []
    return msgspec.json.encode(fields), []


def _whole(kind: str, value: Any) -> bytes:
    if isinstance(value, FileContent):
        return value.data
    if isinstance(value, str) and not kind.endswith("json"):
        return value.encode()
    return msgspec.json.encode(value)


def _parts(name: str, value: Any) -> Iterator[FormPart]:
    for item in value if isinstance(value, list) and value and isinstance(value[0], FileContent) else [value]:
        if isinstance(item, FileContent):
            yield FormPart(name=name, content=item.data, filename=item.filename, content_type=item.mime_type)
        else:
            yield FormPart(name=name, content=_plain(item).encode())


def _plain(value: Any) -> str:
    """A value as it stands in a path, a query, a header or a form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return ",".join(_plain(item) for item in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _filename(response: HttpResponse) -> str:
    disposition = response.header("content-disposition") or ""
    _, found, rest = disposition.partition("filename=")
    return rest.partition(";")[0].strip().strip('"') if found else ""
