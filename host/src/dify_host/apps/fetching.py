"""Fetches the text of an app from an address that somebody gives."""

from __future__ import annotations

import re
from typing import Final

from dify_kernel.contracts.http import HttpClient, HttpRequest, HttpTooLarge, Timeout
from dify_kernel.errors import BadInput, TooLarge

from dify_host.apps.errors import InvalidDsl
from dify_host.apps.yaml_text import MAX_BYTES

__all__ = ["fetch_text", "raw_address"]

_TIMEOUT: Final = Timeout(connect=10.0, read=10.0, write=10.0, total=60.0)
#: The page that shows a file of a repository; the file itself has another host.
_FILE_PAGE: Final = re.compile(r"https://github\.com/([^/]+/[^/]+)/blob/([^?#]+\.ya?ml)(?:[?#].*)?", re.IGNORECASE)


def raw_address(url: str) -> str:
    """The address of the file that a page of a code host shows; any other address as it is."""
    return _FILE_PAGE.sub(r"https://raw.githubusercontent.com/\1/\2", url.strip())


async def fetch_text(http: HttpClient, url: str) -> str:
    """What an address answers with, redirects followed.

    Raises BadInput for another status than 200 and for no address, InvalidDsl for what is no text, TooLarge for more
    than is read of one, and what the client raises: OutboundRefused, HttpConnectionError, HttpTimeout.
    """
    address = raw_address(url)
    if not address.lower().startswith(("http://", "https://")):
        raise BadInput(f"{url[:200]!r} is no address of a file.", hint="It begins with https://.", field="yaml_url")
    request = HttpRequest(method="GET", url=address, timeout=_TIMEOUT, follow_redirects=True, max_bytes=MAX_BYTES)
    try:
        answer = await http.send(request)
    except HttpTooLarge as exc:
        raise TooLarge(f"The app's text has more than {MAX_BYTES} bytes.", url=address) from exc
    if answer.status != 200:
        raise BadInput(
            f"The address answered with status {answer.status}.",
            hint="Give one that answers with the file.",
            url=address,
        )
    try:
        return answer.content.decode()
    except UnicodeDecodeError as exc:
        raise InvalidDsl(f"The address answered with what is no UTF-8 text ({exc}).", url=address) from exc
