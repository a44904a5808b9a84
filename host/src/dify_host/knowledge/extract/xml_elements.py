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
    groups = ["\n".join(_lines(root, deep=False)), *("\n".join(_lines(child)) for child in root)]
    return [Text(text="\n\n".join(group for group in groups if group))]


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
    if not isinstance(element.tag, str):  # an entity that is not resolved
        return
    mixed = bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)
    name = _local(element.tag)
    shown = ", ".join(f"{_local(key)}={value}" for key, value in element.attrib.items())
    head = f"{name} ({shown})" if shown else name
    if mixed:
        yield f"{head}: {' '.join(''.join(element.itertext()).split())}"
    elif shown:
        yield head
    if not mixed and deep:
        for child in element:
            yield from _lines(child)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
