"""The caller's own id of a request: taken from where Dify's clients put it, and told back to them."""

from __future__ import annotations

import re
from typing import Any, Final

from dify_host.http.callers import Call

__all__ = ["TRACE_HEADER", "trace_id"]

TRACE_HEADER: Final = "X-Trace-Id"
_VALID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_id(request: Call, in_body: Any) -> str | None:
    """The first that is given of header, query, body and W3C `traceparent`; None when that one is not valid."""
    given = request.headers.get(TRACE_HEADER) or request.query_params.get("trace_id") or in_body
    if not given:
        parent = _PARENT.fullmatch(request.headers.get("traceparent", ""))
        given = parent[1] if parent else None
    return given if isinstance(given, str) and _VALID.fullmatch(given) else None
