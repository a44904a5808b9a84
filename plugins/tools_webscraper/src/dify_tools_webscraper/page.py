"""Finds the title, the author and the main text of a page. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from dify_kernel.errors import ToolError

__all__ = ["read_page"]

#: Elements that stand on lines of their own.
_BLOCK: Final = re.compile(
    "address|article|aside|blockquote|d[dlt]|div|figcaption|footer|form|h[1-6r]|header|li|main"
    "|nav|[ou]l|p|pre|section|table|tr"
)


def read_page(html: str, url: str) -> str:
    """The page as text under TITLE, AUTHOR and TEXT; ToolError for one without any."""
    # Imported at the first page: it weighs megabytes.
    from lxml import html as lxml_html
    from lxml.etree import ParserError
    from readability import Document
    from readability.readability import Unparseable

    try:
        document = Document(html, url=url)
        title, author = document.short_title(), document.author()
        text = _text(lxml_html.fromstring(document.summary(html_partial=True)))
    except (Unparseable, ParserError, ValueError) as exc:
        raise ToolError(f"{url} has no text to read.", hint="Check the address.", field="url") from exc
    if not text:
        raise ToolError(f"{url} has no text to read.", hint="A page that a script fills cannot be read.", field="url")
    return f"TITLE: {_line(title)}\nAUTHOR: {_line(author)}\nTEXT:\n\n{text}\n"


def _text(root: Any) -> str:
    pieces: list[str] = []
    _collect(root, pieces)
    lines = (re.sub(r"[ \t\r\f\v]+", " ", line).strip() for line in "".join(pieces).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _collect(root: Any, pieces: list[str]) -> None:
    from lxml import etree

    for action, element in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        tag = element.tag if isinstance(element.tag, str) else ""
        block = _BLOCK.fullmatch(tag) is not None
        if action == "start":
            if block or tag == "br":
                pieces.append("\n")
            pieces.append(element.text or "")
        else:
            if block and action == "end":
                pieces.append("\n")
            pieces.append(element.tail or "")


def _line(text: str | None) -> str:
    found = " ".join((text or "").split())
    return "" if found in ("[no-title]", "[no-author]") else found
