"""Reads HTML: the visible text, a line a block, pictures as Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urljoin

from dify_host.knowledge.errors import ExtractionFailed
from dify_host.knowledge.extract.pictures import LEAST_SIDE, Pictures
from dify_host.knowledge.extract.text import Text, decode

__all__ = ["html_text", "picture_of_tag", "read_html"]

_HIDDEN = frozenset(("script", "style", "noscript", "template", "head"))
_BLOCK_NAMES = (
    "address article aside blockquote caption dd details div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 "
    "h5 h6 header hr legend li main nav ol optgroup option p pre section summary table textarea tr ul"
)
#: What shows a picture in a page, and in a drawing in it, and where it names it.
_PICTURES = {"img": ("src",), "image": ("xlink:href", "href")}
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_CHARSET = re.compile(
    rb"<(?:meta[^>]{0,200}?charset|\?xml[^>]{0,200}?encoding)\s*=\s*[\"']?([A-Za-z0-9_-]{1,40})", re.IGNORECASE
)
_GAPS = re.compile(r"[ \t]*\n[ \t\n]*\n[ \t]*")


def read_html(data: bytes, pictures: Pictures | None = None) -> list[Text]:
    """Read the whole page as one text; its title comes first."""
    return [Text(text=html_text(data, with_title=True, pictures=pictures))]


def html_text(
    page: str | bytes,
    *,
    with_title: bool = False,
    pictures: Pictures | None = None,
    part: Callable[[str], bytes | None] | None = None,
) -> str:
    """The visible text of a page, in time that grows with its length alone; `pictures` takes those that it shows.

    `part` gives the bytes that lie beside the page under an address. ExtractionFailed when elements stand in each other
    more than 2048 levels deep.
    """
    from lxml import etree

    root, parser = _tree(page if isinstance(page, str) else _decode_html(page))
    if any(error.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for error in parser.error_log):
        raise ExtractionFailed("The page is nested too deeply to read.", hint="Save it as text.")
    if root is None:
        return ""
    title = (root.findtext(".//title") or "").strip() if with_title else ""
    base = next((element.get("href") or "" for element in root.iter("base")), "")
    shown = partial(_picture, pictures=pictures, base=base, part=part) if pictures is not None else None
    body = _GAPS.sub("\n\n", "".join(_words(root, shown))).strip()
    return f"{title}\n\n{body}".strip()


def picture_of_tag(tag: str, pictures: Pictures) -> str:
    """What stands for the picture of an `<img>` that is written in another text."""
    root, _ = _tree(tag)
    return "".join(_picture(element, pictures) for element in root.iter("img")) if root is not None else ""


def _tree(page: str) -> tuple[Any, Any]:
    """The root, None of nothing, and the parser with what it found wrong."""
    from lxml import etree

    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    content = page.replace("\0", "").encode("utf-8", "replace")
    return etree.fromstring(content, parser) if content.strip() else None, parser


def _words(root: Any, shown: Callable[[Any], str] | None) -> Iterator[str]:
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
            elif name in _PICTURES and begins and shown is not None:
                yield shown(element)
            yield (element.text if begins and name not in _HIDDEN else element.tail if not begins else "") or ""


def _picture(
    element: Any, pictures: Pictures, base: str = "", part: Callable[[str], bytes | None] | None = None
) -> str:
    """What stands for a picture; "" for an ornament, and for one whose address only its site knows."""
    sides = [element.get(side) or "" for side in ("width", "height")]
    if any(side.isdecimal() and len(side) < 5 and int(side) < LEAST_SIDE for side in sides):
        return ""
    address = next(filter(None, map(element.get, _PICTURES[element.tag])), "").strip()
    title = element.get("alt") or ""
    beside = part(address) if part is not None else None
    if beside is not None:
        return pictures.add(beside, title)
    if base and address and not address.lower().startswith("data:"):
        try:
            address = urljoin(base, address)
        except ValueError:  # brackets that hold no address
            return ""
    return pictures.shown(address, title)


def _decode_html(data: bytes) -> str:
    named = _CHARSET.search(data[:4096])
    return decode(data, named[1].decode("ascii") if named else "")
