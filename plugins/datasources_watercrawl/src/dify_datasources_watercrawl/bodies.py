"""What WaterCrawl is asked for, and what its results say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dify_kernel.contracts.datasource import CrawlParameters, WebPage
from dify_kernel.contracts.datasource_crawl import Paths, no_text
from dify_kernel.errors import DatasourceError

__all__ = ["crawl_body", "page_of"]

#: Milliseconds that scripts of a page have after it is loaded, and that a page may take; as in Dify.
_WAIT: Final = 1000
_LONGEST: Final = 15_000


def crawl_body(url: str, wish: CrawlParameters) -> dict[str, Any]:
    """The request for a crawl; of the first page alone when nothing below it is wanted."""
    # To the service a depth of 0 is one without an end.
    alone = not wish.crawl_sub_pages or wish.max_depth == 0
    paths = Paths("" if alone else wish.include_paths, "" if alone else wish.exclude_paths)
    spider = {
        "max_depth": 1 if alone else wish.max_depth,
        "page_limit": 1 if alone else wish.limit,
        "allowed_domains": [],
        "include_paths": _globs(paths.include),
        "exclude_paths": _globs(paths.exclude),
    }
    page = {
        "wait_time": _WAIT,
        "timeout": _LONGEST,
        "only_main_content": wish.only_main_content,
        "include_html": False,
        "include_links": False,
    }
    return {"url": url, "options": {"spider_options": spider, "page_options": page, "plugin_options": {}}}


def page_of(result: Mapping[str, Any]) -> WebPage:
    """The page of a result; DatasourceError for one without text, and for one that has a link in place of its text."""
    url, found = _text(result.get("url")), result.get("result")
    if not isinstance(found, dict):
        raise DatasourceError(
            f"WaterCrawl gives {url or 'a page'} without its text.", hint="Update the server at base_url."
        )
    content = _text(found.get("markdown"))
    if not url or not content:
        raise no_text(url or "A page")
    metadata = found.get("metadata")
    said: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    title = _text(said.get("og:title")) or _text(said.get("title"))
    return WebPage(source_url=url, content=content, title=title, description=_text(said.get("description")))


def _globs(patterns: list[str]) -> list[str]:
    """Patterns as the service compares them: with the whole path, of which it knows two spellings."""
    return [glob for item in patterns for glob in ([f"/{item}"] if item.endswith("*") else [f"/{item}", f"/{item}/"])]


def _text(value: Any) -> str:
    return value.replace("\0", "").strip() if isinstance(value, str) else ""
