"""What the API says of itself without credentials: its version, and its description as OpenAPI 3.1."""

from __future__ import annotations

import msgspec
from litestar import Response, get

from dify_host.http.callers import Call
from dify_host.service.description import described
from dify_host.version import VERSION

__all__ = ["openapi", "root"]


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of the API's root."""

    welcome: str = "Dify OpenAPI"
    api_version: str = "v1"
    server_version: str = VERSION


@get("/v1", include_in_schema=False)
async def root() -> Welcome:
    """Name the API and its version."""
    return Welcome()


@get(["/v1/openapi.json", "/openapi.json"], include_in_schema=False)
async def openapi(request: Call) -> Response[bytes]:
    """The description of every route, built once and kept."""
    state = request.app.state
    if "openapi" not in state:
        state["openapi"] = msgspec.json.encode(described(request.app))
    return Response(state["openapi"], media_type="application/json")
