"""What is in a page: its title, description, text as Markdown, and where it leads. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from dify_kernel.errors import DatasourceError

from dify_datasources_web.addresses import link
from dify_datasources_web.markdown import markdown_of

__all__ = ["ParsedPage", "parse_page"]

_CHARSET: Final = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?([A-Za-z0-9_-]{1,40})", re.IGNORECASE)


class ParsedPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page. `indexed`: it may be kept; `links` is empty for one whose links must not be followed."""

    title: str
    description: str
    content: str
    links: list[str]
    indexed: bool = True


def parse_page(data: bytes, charset: str | None, url: str, *, only_main_content: bool) -> ParsedPage:
    """Read HTML; `charset` is what the server said. DatasourceError for one nested more than 2048 levels deep."""
    from lxml import etree

    source = _decoded(data, charset).replace("\0", "").encode("utf-8", "replace")
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    root = etree.fromstring(source, parser) if source.strip() else None
    if any(error.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for error in parser.error_log):
        raise DatasourceError(f"{url} is nested too deeply to read.")
    if root is None:
        return ParsedPage(title="", description="", content="", links=[])
    metas = {(meta.get("name") or "").lower(): meta.get("content") or "" for meta in root.iter("meta")}
    told = {word.strip().lower() for word in metas.get("robots", "").split(",")}
    base = _base(root, url)
    return ParsedPage(
        title=" ".join((root.findtext(".//title") or "").split()),
        description=" ".join(metas.get("description", "").split()),
        content=_content(root, base, only_main_content=only_main_content),
        links=[] if told & {"nofollow", "none"} else list(dict.fromkeys(_links(root, base))),
        indexed=not told & {"noindex", "none"},
    )


def _content(root: Any, base: str, *, only_main_content: bool) -> str:
    """The text; of the main part alone where it is wanted and there is one with text."""
    if only_main_content:
        mains, articles = list(root.iter("main")), list(root.iter("article"))
        part = mains[0] if mains else articles[0] if len(articles) == 1 else root
        for candidate in (part, root):
            if found := markdown_of(candidate, base, chrome=False):
                return found
    return markdown_of(root, base, chrome=True)


def _links(root: Any, base: str) -> Iterator[str]:
    for element in root.iter("a", "area"):
        href, relation = element.get("href"), (element.get("rel") or "").lower().split()
        if href and "nofollow" not in relation and (found := link(base, href)):
            yield found


def _base(root: Any, url: str) -> str:
    element = next(root.iter("base"), None)
    return (link(url, element.get("href") or "") if element is not None else None) or url


def _decoded(data: bytes, charset: str | None) -> str:
    named = _CHARSET.search(data[:4096])
    for candidate in (charset, named[1].decode("ascii") if named else None):
        try:
            if candidate:
                return data.decode(candidate, "replace")
        except LookupError:
            continue
    return data.decode("utf-8", "replace")
