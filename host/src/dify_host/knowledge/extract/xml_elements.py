"""Reads XML: a line an element that holds text, under its name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dify_host.knowledge.errors import ExtractionFailed
from dify_host.knowledge.extract.archive import parse_xml
from dify_host.knowledge.extract.text import Text, decode

__all__ = ["read_xml"]

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def read_xml(data: bytes) -> list[Text]:
    """Read the document as one text, a blank line between the children of its root.

    A line is `name (attribute=value): text`. Entities of the document's own stay as they are written.
    """
    from lxml import etree

    try:
        root = _root(data)
    except etree.XMLSyntaxError as exc:
        raise ExtractionFailed(f"The xml file is damaged: {exc}.", hint="Check it, or upload it as txt.") from exc
    return [Text(text="\n\n".join(group for group in _groups(root) if group))]


def _groups(root: Any) -> Iterator[str]:
    """The root's own line, then its children with the words behind them; all in one line where none is deep."""
    if not _is_mixed(root) or not any(len(child) for child in root):
        yield "\n".join(_lines(root, deep=False))
        yield from () if _is_mixed(root) else ("\n".join(_lines(child)) for child in root)
        return
    words = " ".join((root.text or "").split())
    yield f"{_head(root)}: {words}" if words else _head(root) if root.attrib else ""
    for child in root:
        own = _lines(child) if isinstance(child.tag, str) else [child.text]
        yield "\n".join([*own, " ".join((child.tail or "").split())]).strip()


def _root(data: bytes) -> Any:
    """The root; of a text whose encoding is not what it declares, by the encoding that it has."""
    from lxml import etree

    try:
        return parse_xml(data)
    except etree.XMLSyntaxError:
        text = decode(data)
        if text.encode("utf-8", "replace") == data and not _DECLARATION.match(text):
            raise
        return parse_xml(_DECLARATION.sub("", text).encode("utf-8", "replace"))


def _lines(element: Any, *, deep: bool = True) -> Iterator[str]:
    mixed = _is_mixed(element)
    head = _head(element)
    if mixed:
        yield f"{head}: {' '.join(''.join(element.itertext()).split())}"
    elif element.attrib:
        yield head
    if not mixed and deep:
        for child in element:
            yield from _lines(child)


def _head(element: Any) -> str:
    shown = ", ".join(f"{_local(key)}={value}" for key, value in element.attrib.items())
    return f"{_local(element.tag)} ({shown})" if shown else _local(element.tag)


def _is_mixed(element: Any) -> bool:
    """Whether words, or entities that are not resolved, stand between the children, so that all is one line."""
    if (element.text or "").strip():
        return True
    return any((child.tail or "").strip() or not isinstance(child.tag, str) for child in element)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
