"""The request as raw text, for the run record. Pure; keys are starred and binary content is left out."""

from __future__ import annotations

import hashlib
from urllib.parse import urlencode, urlsplit

from dify_nodes_http.request import Prepared

__all__ = ["raw_request"]


def raw_request(request: Prepared, key: str) -> str:
    """Request line, headers and body with CRLF line ends; `key` makes the boundary of a form the same each time."""
    parts = urlsplit(request.url)
    query = "&".join(text for text in (parts.query, urlencode(request.params)) if text)
    path = (parts.path or "/") + (f"?{query}" if query else "")
    lines = [f"{request.method} {path} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}"]
    boundary = _boundary(key)
    headers = dict(request.headers)
    if request.multipart:
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
    starred = {"authorization", request.secret_header.lower()}
    lines += [f"{name}: {'*' * len(value) if name.lower() in starred else value}" for name, value in headers.items()]
    body = _form(request, boundary) if request.multipart else _text(request.content or b"")
    if body:
        lines.append(f"Content-Length: {len(body.encode('utf-8', 'replace'))}")
    return "\r\n".join(lines) + "\r\n\r\n" + body


def _form(request: Prepared, boundary: str) -> str:
    out = []
    for name, value in request.fields:
        out.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n')
    for part in request.files:
        out.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{part.name}"; filename="{part.filename}"\r\n'
            f"Content-Type: {part.content_type}\r\n\r\n<{len(part.content)} bytes>\r\n"
        )
    return "".join(out) + f"--{boundary}--\r\n"


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"<{len(content)} bytes>"


def _boundary(key: str) -> str:
    digest = hashlib.sha256(key.encode()).digest()
    return "----WebKitFormBoundary" + "".join(chr(97 + byte % 26) for byte in digest[:16])
