"""Routes of the Service API that are known and not built: they say so (501), and keep everybody else out (401)."""

from __future__ import annotations

from typing import Any, Final

from dify_kernel.errors import NotImplementedYet
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import Method

__all__ = ["DATASET_ROUTES", "not_yet"]

Routes = tuple[tuple[Method, str], ...]

DATASET_ROUTES: Final[Routes] = (
    ("POST", "/datasets/{dataset_id:uuid}/documents/metadata"),
    ("GET", "/datasets/{dataset_id:uuid}/metadata"),
    ("POST", "/datasets/{dataset_id:uuid}/metadata"),
    ("PATCH", "/datasets/{dataset_id:uuid}/metadata/{metadata_id:uuid}"),
    ("DELETE", "/datasets/{dataset_id:uuid}/metadata/{metadata_id:uuid}"),
    ("GET", "/datasets/{dataset_id:uuid}/metadata/built-in"),
    ("POST", "/datasets/{dataset_id:uuid}/metadata/built-in/{action:str}"),
    ("GET", "/datasets/tags"),
    ("POST", "/datasets/tags"),
    ("PATCH", "/datasets/tags"),
    ("DELETE", "/datasets/tags"),
    ("POST", "/datasets/tags/binding"),
    ("POST", "/datasets/tags/unbinding"),
    ("GET", "/datasets/{dataset_id:uuid}/tags"),
)


def not_yet(routes: Routes) -> list[HTTPRouteHandler]:
    """A handler for each route, which refuses."""
    return [_handler(method, path) for method, path in routes]


def _handler(method: Method, path: str) -> HTTPRouteHandler:
    async def refuse(request: Request[Any, Any, Any]) -> None:
        raise NotImplementedYet(f"{method} {request.url.path} is not built yet.")

    return HTTPRouteHandler(path, http_method=method, status_code=200, include_in_schema=False)(refuse)
