"""Reads HTML: the visible text, a line a block."""

from __future__ import annotations

import re

from dify_host.knowledge.extract.text import Text, decode

__all__ = ["html_text", "read_html"]

_HIDDEN = ("script", "style", "noscript", "template", "head")
_BLOCK_NAMES = (
    "address article aside blockquote dd details div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 "
    "header hr li main nav ol p pre section summary table tr ul"
)
_BLOCKS = _BLOCK_NAMES.split()
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?([A-Za-z0-9_-]{1,40})", re.IGNORECASE)
_GAPS = re.compile(r"[ \t]*\n[ \t\n]*\n[ \t]*")


def read_html(data: bytes) -> list[Text]:
    """Read the whole page as one text; its title comes first."""
    return [Text(text=html_text(data, with_title=True))]


def html_text(page: str | bytes, *, with_title: bool = False) -> str:
    """The visible text of a page."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(page if isinstance(page, str) else _decode_html(page), "html.parser")
    title = soup.title.get_text().strip() if soup.title and with_title else ""
    for tag in soup(_HIDDEN):
        tag.decompose()
    for tag in soup("br"):
        tag.replace_with("\n")
    for tag in soup(_BLOCKS):
        tag.insert_before("\n")
        tag.append("\n")
    for tag in soup(("td", "th")):
        tag.append(" ")
    body = _GAPS.sub("\n\n", soup.get_text()).strip()
    return f"{title}\n\n{body}".strip()


def _decode_html(data: bytes) -> str:
    """Decode by the page's own word when it is true, else as any text."""
    named = _CHARSET.search(data[:4096])
    if named:
        try:
            return data.decode(named[1].decode("ascii"))
        except (LookupError, UnicodeDecodeError):
            return decode(data)
    return decode(data)
