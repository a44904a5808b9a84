"""Addresses of pages: one spelling for each, and whether two are of one host. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

from dify_kernel.errors import DatasourceError

__all__ = ["first_address", "host_of", "link"]

_LONGEST: Final = 2000
_PORTS: Final = {"http": 80, "https": 443}
_KEPT: Final = "%/:=&?~#+!$,;'@()*[]-._"


def first_address(url: str) -> str:
    """The address that a person entered, in its one spelling; DatasourceError for what is none."""
    found = link("", url.strip() if "://" in url else f"https://{url.strip()}")
    if found is None:
        raise DatasourceError(
            f"{url!r} is not the address of a page.", hint="Enter one with http:// or https://.", field="url"
        )
    return found


def link(base: str, href: str) -> str | None:
    """The page that a link leads to, without fragment and default port; None for one that leads to no page."""
    try:
        parts = urlsplit(urljoin(base, href.strip()))
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in _PORTS or not host or parts.username or parts.password or re.search(r"\s", host):
        return None
    named = f"[{host}]" if ":" in host else host
    place = named if port in (None, _PORTS[parts.scheme]) else f"{named}:{port}"
    path, query = quote(parts.path or "/", safe=_KEPT), quote(parts.query, safe=_KEPT)
    found = urlunsplit(SplitResult(parts.scheme, place, path, query, ""))
    return found if len(found) <= _LONGEST else None


def host_of(url: str) -> str:
    """Host and port of an address in its one spelling."""
    return urlsplit(url).netloc
