"""What Firecrawl is asked for, and what its documents say. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from dify_kernel.contracts.datasource import CrawlParameters, WebPage
from dify_kernel.contracts.datasource_crawl import Paths, no_text
from dify_kernel.contracts.datasource_http import refusal
from dify_kernel.contracts.http import HttpResponse

__all__ = ["crawl_body", "following", "page_of", "scrape_body"]

#: What means something in a regular expression and nothing in a pattern.
_SPECIAL: Final = re.compile(r"[\\^$.|+()\[\]{}]")


def scrape_body(url: str, *, only_main_content: bool) -> dict[str, Any]:
    """The request for one page."""
    return {"url": url, **_scrape_options(only_main_content)}


def crawl_body(url: str, wish: CrawlParameters) -> dict[str, Any]:
    """The request for a crawl; of the first page alone when nothing below it is wanted."""
    alone = not wish.crawl_sub_pages or wish.max_depth == 0
    body: dict[str, Any] = {
        "url": url,
        "limit": 1 if alone else wish.limit,
        "sitemap": "include" if wish.use_sitemap and not alone else "skip",
        "scrapeOptions": _scrape_options(wish.only_main_content),
    }
    if alone:
        return body
    paths = Paths(wish.include_paths, wish.exclude_paths)
    return body | {
        "maxDiscoveryDepth": wish.max_depth,
        "includePaths": [_expression(pattern) for pattern in paths.include],
        "excludePaths": [_expression(pattern) for pattern in paths.exclude],
    }


def page_of(document: Mapping[str, Any], url: str) -> WebPage:
    """The page of a document; `url` names it where the document does not.

    `refusal` of the status that the site answered with, DatasourceError for a page without text.
    """
    metadata = document.get("metadata")
    said: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    place = _text(said.get("sourceURL")) or _text(said.get("url")) or url
    status = said.get("statusCode")
    if isinstance(status, int) and status >= 400:
        raise refusal(HttpResponse(status=status, headers=[], content=b""), place)
    content = _text(document.get("markdown"))
    if not content:
        raise no_text(place)
    return WebPage(
        source_url=place,
        content=content,
        title=_text(said.get("title")),
        description=_text(said.get("description")),
    )


def following(address: Any) -> int | None:
    """The number of the document that the next part begins with; None where there is no next part.

    The address itself is not asked: behind a proxy it names another host than the one that has the key.
    """
    if not isinstance(address, str):
        return None
    try:
        return int(parse_qs(urlsplit(address).query)["skip"][0])
    except (KeyError, ValueError):
        return None


def _scrape_options(only_main_content: bool) -> dict[str, Any]:
    """Markdown of the page as it is now: without `maxAge` a copy of up to two days ago would do."""
    return {"formats": ["markdown"], "onlyMainContent": only_main_content, "maxAge": 0}


def _expression(pattern: str) -> str:
    """The regular expression that a pattern of paths stands for; Firecrawl's are of Rust, without look-around."""
    escaped = _SPECIAL.sub(r"\\\g<0>", pattern)
    return f"^/{escaped.replace('*', '.*').replace('?', '.')}/?$"


def _text(value: Any) -> str:
    """A text of the metadata, of which a page may have several."""
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, str)), "")
    return value.replace("\0", "").strip() if isinstance(value, str) else ""
