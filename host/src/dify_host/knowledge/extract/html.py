"""Reads HTML: the visible text, a line a block, pictures as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dify_host.knowledge.errors import ExtractionFailed
from dify_host.knowledge.extract.pictures import LEAST_SIDE, Pictures
from dify_host.knowledge.extract.text import Text, decode

__all__ = ["html_text", "read_html"]

_HIDDEN = frozenset(("script", "style", "noscript", "template", "head"))
_BLOCK_NAMES = (
    "address article aside blockquote dd details div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 "
    "header hr li main nav ol p pre section summary table tr ul"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?([A-Za-z0-9_-]{1,40})", re.IGNORECASE)
_GAPS = re.compile(r"[ \t]*\n[ \t\n]*\n[ \t]*")


def read_html(data: bytes, pictures: Pictures | None = None) -> list[Text]:
    """Read the whole page as one text; its title comes first."""
    return [Text(text=html_text(data, with_title=True, pictures=pictures))]


def html_text(page: str | bytes, *, with_title: bool = False, pictures: Pictures | None = None) -> str:
    """The visible text of a page, in time that grows with its length alone; `pictures` takes those that it shows.

    ExtractionFailed when elements stand in each other more than 2048 levels deep.
    """
    from lxml import etree

    source = page if isinstance(page, str) else _decode_html(page)
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    content = source.replace("\0", "").encode("utf-8", "replace")
    root = etree.fromstring(content, parser) if content.strip() else None
    if any(error.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for error in parser.error_log):
        raise ExtractionFailed("The page is nested too deeply to read.", hint="Save it as text.")
    if root is None:
        return ""
    title = (root.findtext(".//title") or "").strip() if with_title else ""
    body = _GAPS.sub("\n\n", "".join(_words(root, pictures))).strip()
    return f"{title}\n\n{body}".strip()


def _words(root: Any, pictures: Pictures | None) -> Iterator[str]:
    """The texts in their order, with the line ends that blocks have around them."""
    from lxml import etree

    hidden = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        name = element.tag
        begins = event == "start"
        if name in _HIDDEN:
            hidden += 1 if begins else -1
        if not hidden:
            if name in _BLOCKS or (name == "br" and begins):
                yield "\n"
            elif name in ("td", "th") and not begins:
                yield " "
            elif name == "img" and begins and pictures is not None:
                yield _picture(element, pictures)
            yield (element.text if begins and name not in _HIDDEN else element.tail if not begins else "") or ""


def _picture(element: Any, pictures: Pictures) -> str:
    """What stands for a picture; "" for an ornament, and for one whose address only its site knows."""
    sides = [element.get(side) or "" for side in ("width", "height")]
    if any(side.isdecimal() and len(side) < 5 and int(side) < LEAST_SIDE for side in sides):
        return ""
    return pictures.shown((element.get("src") or "").strip(), element.get("alt") or "")


def _decode_html(data: bytes) -> str:
    """Decode by the page's own word when it is true, else as any text."""
    named = _CHARSET.search(data[:4096])
    if named:
        try:
            return data.decode(named[1].decode("ascii"))
        except (LookupError, UnicodeDecodeError):
            return decode(data)
    return decode(data)
