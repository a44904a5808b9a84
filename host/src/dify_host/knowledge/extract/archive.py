"""Opens documents that are zip archives of XML, with bounds on what they unpack to and without XML entities."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Sequence
from typing import Any

from dify_host.knowledge.errors import ExtractionFailed

__all__ = ["as_written_mostly", "check_parts", "open_archive", "parse_xml", "read_part", "relations"]

_MIB = 1024 * 1024
_MAX_UNPACKED = 512 * _MIB
_MAX_PARTS = 20_000
#: A part of this size may be packed no denser than this; real sheets of equal cells come to about 100.
_DENSE_SIZE, _MAX_DENSITY = 32 * _MIB, 400
#: The names of the strict form of Office files, which say the same as those of the form that is written mostly.
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/")
_MOSTLY = rb"http://schemas.openxmlformats.org/\1/2006/"


def open_archive(data: bytes, extension: str) -> zipfile.ZipFile:
    """The archive. ExtractionFailed when it is damaged, has a password, or unpacks to more than 512 MiB.

    A part that lies about its size is cut at what it states.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as exc:
        raise ExtractionFailed(f"The {extension} file is damaged: {exc}.", hint="Save it again.") from exc
    check_parts(archive.infolist(), extension)
    return archive


def check_parts(parts: Sequence[zipfile.ZipInfo], extension: str) -> None:
    """ExtractionFailed when the parts of an archive would unpack to too much, lie on each other, or have a password."""
    if any(part.flag_bits & 1 for part in parts):
        raise ExtractionFailed(
            f"The {extension} file is protected with a password.", hint="Save it without a password."
        )
    dense = any(part.file_size > max(_DENSE_SIZE, _MAX_DENSITY * part.compress_size) for part in parts)
    if dense or len(parts) > _MAX_PARTS or sum(part.file_size for part in parts) > _MAX_UNPACKED:
        raise ExtractionFailed(f"The {extension} file unpacks to too much.", hint="Split it into smaller files.")
    end = 0
    for part in sorted(parts, key=lambda part: part.header_offset):
        if part.header_offset < end:
            raise ExtractionFailed(f"The {extension} file is damaged: its parts overlap.", hint="Save it again.")
        end = part.header_offset + part.compress_size


def read_part(archive: zipfile.ZipFile, name: str) -> bytes | None:
    """The bytes of a part; None when there is no such part."""
    return archive.read(name) if name in archive.NameToInfo else None


def as_written_mostly(data: bytes, extension: str) -> bytes:
    """An Office file in the form that is written mostly, which is the one that is read; most are in it already."""
    with open_archive(data, extension) as archive:
        if not _STRICT.search(read_part(archive, "_rels/.rels") or b""):
            return data
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as written:
            for name in archive.namelist():
                part = archive.read(name)
                written.writestr(name, _STRICT.sub(_MOSTLY, part) if name.endswith((".xml", ".rels")) else part)
    return out.getvalue()


def parse_xml(data: bytes) -> Any:
    """The root of an XML text. Entities are not resolved, nothing is fetched; at most 256 levels deep."""
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    return etree.fromstring(data, parser)


def relations(archive: zipfile.ZipFile, name: str) -> dict[str, tuple[str, str]]:
    """What a part of an Office file refers to: by id the last word of the kind, and the part's name or the address."""
    folder, _, base = name.rpartition("/")
    data = read_part(archive, posixpath.join(folder, "_rels", f"{base}.rels"))
    found = {}
    for item in parse_xml(data) if data else ():
        target = item.get("Target") or ""
        if item.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
        found[item.get("Id") or ""] = ((item.get("Type") or "").rpartition("/")[2], target)
    return found
