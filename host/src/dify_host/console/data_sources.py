"""Other sources of documents: Notion and crawled websites. None is connected here, and every route says so."""

from __future__ import annotations

from typing import Any, Final

from litestar import Controller, get
from litestar.handlers import HTTPRouteHandler
from litestar.types import Method

from dify_host.console.dataset_shapes import no_source
from dify_host.http.console_callers import DATASET_WRITERS, MEMBERS, ConsoleAccount

__all__ = ["DataSourceController", "source_routes"]

_NOTION, _WEBSITE = "notion_import", "website_crawl"
_ROUTES: Final[tuple[tuple[Method, str, str], ...]] = (
    ("GET", "/notion/pre-import/pages", _NOTION),
    ("GET", "/notion/pages/{page_id:str}/{page_type:str}/preview", _NOTION),
    ("POST", "/datasets/notion-indexing-estimate", _NOTION),
    ("GET", "/datasets/{dataset_id:uuid}/notion/sync", _NOTION),
    ("GET", "/datasets/{dataset_id:uuid}/documents/{document_id:uuid}/notion/sync", _NOTION),
    ("GET", "/datasets/{dataset_id:uuid}/documents/{document_id:uuid}/website-sync", _WEBSITE),
    ("POST", "/website/crawl", _WEBSITE),
    ("GET", "/website/crawl/status/{job_id:str}", _WEBSITE),
)


class DataSourceController(Controller):
    """Routes of connected sources."""

    path = "/"
    opt = MEMBERS

    @get("/data-source/integrates")
    async def integrates(self, caller: ConsoleAccount) -> dict[str, Any]:
        """Sources connected by a login: none."""
        return {"data": []}

    @get("/api-key-auth/data-source")
    async def by_key(self, caller: ConsoleAccount) -> dict[str, Any]:
        """Sources connected by a key: none."""
        return {"sources": []}


def source_routes() -> list[HTTPRouteHandler]:
    """A handler for each route that needs a source: it refuses (501) whoever may call it."""
    return [_handler(method, path, kind) for method, path, kind in _ROUTES]


def _handler(method: Method, path: str, kind: str) -> HTTPRouteHandler:
    async def refuse() -> None:
        raise no_source(kind)

    return HTTPRouteHandler(path, http_method=method, status_code=200, opt=DATASET_WRITERS)(refuse)
