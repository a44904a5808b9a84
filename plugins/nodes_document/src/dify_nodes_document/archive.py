"""Opens documents that are zip archives of XML, with bounds on what they unpack to and without XML entities."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from dify_nodes_document.formats import extraction_failed

__all__ = ["open_archive", "parse_xml", "read_part"]

_MAX_UNPACKED = 512 * 1024 * 1024
_MAX_PARTS = 20_000


def open_archive(data: bytes, what: str, part: str) -> zipfile.ZipFile:
    """The archive; TextExtractionError when it lacks the part that makes it what it says, or has a password.

    Also when it unpacks to more than 512 MiB. A part that lies about its size is cut at what it states.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as exc:
        raise extraction_failed(what, f"it is damaged: {exc}", hint="Save it again.") from exc
    parts = archive.infolist()
    if part not in archive.NameToInfo:
        raise extraction_failed(what, f"it has no part {part}", hint="Give it the extension of what it is.")
    if len(parts) > _MAX_PARTS or sum(item.file_size for item in parts) > _MAX_UNPACKED:
        raise extraction_failed(what, "it unpacks to too much", hint="Split it into smaller files.")
    if any(item.flag_bits & 1 for item in parts):
        raise extraction_failed(what, "it has a password", hint="Save it without one.")
    return archive


def read_part(archive: zipfile.ZipFile, name: str) -> bytes | None:
    """The bytes of a part; None when there is no such part."""
    return archive.read(name) if name in archive.NameToInfo else None


def parse_xml(data: bytes) -> Any:
    """The root of an XML text. Entities are not resolved, nothing is fetched, and depth is bounded."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    return etree.fromstring(data, parser)
