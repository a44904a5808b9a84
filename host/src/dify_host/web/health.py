"""Whether this process can answer: `/health`, for supervisors and load balancers."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import sqlalchemy as sa
from litestar import Request, get

from dify_host.http.callers import platform_of
from dify_host.version import VERSION

__all__ = ["health"]

_KEEP_SECONDS = 1.0


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the process; a database that does not answer is a 503 instead."""

    status: str = "ok"
    version: str = VERSION
    role: str = "api"


@get("/health", include_in_schema=False)
async def health(request: Request[Any, Any, Any]) -> Health:
    """Say ok when the database answers; asked at most once a second, however many ask."""
    state = request.app.state
    if state.get("healthy_until", 0.0) < time.monotonic():
        async with platform_of(request).db.read() as conn:
            await conn.execute(sa.text("SELECT 1"))
        state["healthy_until"] = time.monotonic() + _KEEP_SECONDS
    return Health()
