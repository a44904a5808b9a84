"""Reads the maps of a site: the addresses of its pages, from `urlset` and `sitemapindex` files."""

from __future__ import annotations

from typing import Any, Final

from dify_kernel.contracts.datasource_http import ask
from dify_kernel.contracts.http import HttpClient, HttpRequest, Timeout
from dify_kernel.errors import DatasourceError

from dify_datasources_web.addresses import host_of, link
from dify_datasources_web.robots import AGENT

__all__ = ["pages_of_maps"]

_MOST_MAPS: Final = 10
_MOST_PAGES: Final = 50_000
_MOST_BYTES: Final = 10 * 1024 * 1024


async def pages_of_maps(http: HttpClient, maps: list[str], host: str) -> list[str]:
    """The pages of a host that its maps name, in their order; a map that cannot be read names none."""
    waiting, read, pages = list(dict.fromkeys(maps)), 0, dict[str, None]()
    while waiting and read < _MOST_MAPS and len(pages) < _MOST_PAGES:
        address, read = waiting.pop(0), read + 1
        more, found = await _read(http, address)
        waiting += [item for item in more if item not in waiting and host_of(item) == host]
        pages |= dict.fromkeys(page for page in found if host_of(page) == host)
    return list(pages)[:_MOST_PAGES]


async def _read(http: HttpClient, address: str) -> tuple[list[str], list[str]]:
    """The maps and the pages that a map names."""
    request = HttpRequest(
        method="GET",
        url=address,
        headers=[("User-Agent", AGENT)],
        timeout=Timeout(connect=10, read=30, total=60),
        follow_redirects=True,
        max_bytes=_MOST_BYTES,
    )
    try:
        answer = await ask(http, request, address)
    except DatasourceError:  # a map is a hint: the links of the pages lead further
        return [], []
    root = _parsed(answer.content) if answer.status == 200 else None
    if root is None:
        return [], []
    texts = [element.text.strip() for element in root.iter("{*}loc") if element.text and element.text.strip()]
    places = [place for text in texts if (place := link(address, text))]
    is_index = isinstance(root.tag, str) and root.tag.rpartition("}")[2] == "sitemapindex"
    return (places, []) if is_index else ([], places)


def _parsed(data: bytes) -> Any:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True)
    try:
        return etree.fromstring(data, parser) if data.strip() else None
    except etree.XMLSyntaxError:
        return None
