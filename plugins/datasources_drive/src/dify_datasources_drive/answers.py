"""What both protocols have in common: XML of a stranger, paths, and types of files. Pure."""

from __future__ import annotations

import mimetypes
from typing import Any, Final

__all__ = ["BINARY", "EVERYTHING", "is_path", "media_type", "name_of", "parsed", "text_of"]

BINARY: Final = "application/octet-stream"
#: How much of a file the HTTP port may let through: whoever fetches it has the limit.
EVERYTHING: Final = 1 << 50


def parsed(data: bytes) -> Any | None:
    """The root element; None for what is no XML. Entities are not resolved and nothing is fetched."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError:
        return None


def text_of(element: Any, name: str) -> str:
    """The text of the first child of that name in any namespace; empty when there is none."""
    return str(element.findtext(f"{{*}}{name}") or "").strip()


def is_path(path: str) -> bool:
    """Whether a path stays what it is when an address is made of it: dots would lead out of the folder."""
    return not any(part in (".", "..") for part in path.split("/"))


def name_of(path: str) -> str:
    """The last part of a path."""
    return path.rstrip("/").rpartition("/")[2] or path


def media_type(name: str, told: str = "") -> str:
    """The type that a file's name says, else what the server told."""
    return mimetypes.guess_type(name)[0] or told.partition(";")[0].strip() or BINARY
