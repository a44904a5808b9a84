"""What the robots.txt of a host allows, and the maps that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from dify_kernel.contracts.datasource_http import ask
from dify_kernel.contracts.http import HttpClient, HttpRequest, Timeout
from dify_kernel.errors import DatasourceUnavailable

if TYPE_CHECKING:
    from protego import Protego

__all__ = ["AGENT", "Robots", "robots_of"]

AGENT: Final = "DifyCrawler"
#: More of a robots.txt is not read (RFC 9309, 2.5).
_MOST: Final = 512 * 1024
_LONGEST_DELAY: Final = 10.0


class Robots:
    """The rules of one host for this crawler."""

    def __init__(self, rules: Protego | None) -> None:
        self._rules = rules

    def allows(self, url: str) -> bool:
        """Whether a page may be read."""
        return self._rules is None or self._rules.can_fetch(url, AGENT)

    @property
    def delay(self) -> float:
        """Seconds between two pages, at most 10."""
        found = self._rules.crawl_delay(AGENT) if self._rules else None
        return min(float(found or 0), _LONGEST_DELAY)

    @property
    def sitemaps(self) -> list[str]:
        """The maps that it names."""
        return list(self._rules.sitemaps) if self._rules else []


async def robots_of(http: HttpClient, url: str) -> Robots:
    """The rules of the host of a page; none of a host without the file (RFC 9309, 2.3.1).

    DatasourceUnavailable when the host does not answer or fails: then nothing may be read.
    """
    from protego import Protego

    address = urljoin(url, "/robots.txt")
    request = HttpRequest(
        method="GET",
        url=address,
        headers=[("User-Agent", AGENT)],
        timeout=Timeout(connect=10, read=15, total=30),
        follow_redirects=True,
        max_bytes=2 * _MOST,
    )
    answer = await ask(http, request, address)
    if answer.status == 429 or answer.status >= 500:
        raise DatasourceUnavailable(
            f"{address} answered with status {answer.status}, so nothing of the site may be read.",
            hint="Try again later.",
        )
    if answer.status >= 300:
        return Robots(None)
    return Robots(Protego.parse(answer.content[:_MOST].decode("utf-8", "replace")))
