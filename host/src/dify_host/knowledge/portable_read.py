"""Reads the file of a knowledge base as a stranger's: nothing of it is believed before it was checked."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, TypeVar

import msgspec

from dify_host.knowledge.portable_format import (
    FORMAT,
    VERSION,
    Attachment,
    BaseFile,
    Child,
    DocumentRow,
    FieldValue,
    FileRow,
    Manifest,
    PortableFileRefused,
    Row,
    SegmentRow,
    unpack_vectors,
)

__all__ = ["Archive"]

T = TypeVar("T")

_NAME: Final = re.compile(
    r"dataset\.json|files\.jsonl|manifest\.json|parts/\d{6}\.jsonl|vectors/\d{6}\.bin"
    r"|files/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
_MOST_ENTRIES: Final = 1_000_000
_HEAD: Final = 64 * 1024 * 1024
_LINE: Final = 16 * 1024 * 1024
_PIECE: Final = 1024 * 1024
#: Rows and texts shrink to a tenth or so; what shrinks to less than a hundredth was made to fill a disk.
_RATIO: Final = 100
_VECTORS: Final = 200
_HINT: Final = "Export the knowledge base again."


class Archive:
    """An opened file. `check` it before the rest is asked for; a context manager."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as exc:
            raise PortableFileRefused(f"{path.name} is no zip file: {exc}.", hint=_HINT) from exc
        try:
            self._names = self._checked_names()
            self.manifest = self._read_manifest()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._zip.close()

    @property
    def digest(self) -> str:
        """What identifies the content: the SHA-256 of the manifest."""
        return self._digest

    @property
    def parts(self) -> list[str]:
        """The numbers of the parts, in order."""
        return sorted(name[6:12] for name in self.manifest.entries if name.startswith("parts/"))

    def base(self) -> BaseFile:
        """The settings."""
        return self._decode("dataset.json", self._whole("dataset.json"), BaseFile)

    def files(self) -> Iterator[FileRow]:
        """The rows of uploaded files."""
        if "files.jsonl" in self.manifest.entries:
            yield from self._lines("files.jsonl", FileRow)

    def file(self, file_id: str) -> Iterator[bytes]:
        """The bytes of an uploaded file."""
        return self._pieces(f"files/{file_id}")

    def rows(self, part: str) -> Iterator[Row]:
        """The rows of a part, in order."""
        return self._lines(f"parts/{part}.jsonl", Row)  # type: ignore[arg-type]

    def vectors(self, part: str) -> Iterator[list[tuple[str, list[float]]]]:
        """The vectors of a part by their records' ids, in groups."""
        name = f"vectors/{part}.bin"
        if name not in self.manifest.entries or self.manifest.embedding is None:
            return
        dimension = self.manifest.embedding.dimension
        with self._open(name) as stream:
            while data := stream.read(_VECTORS * (16 + 4 * dimension)):
                yield list(unpack_vectors(data, dimension))

    # -- checking ----------------------------------------------------------------------------------------------

    def check(self) -> dict[str, set[str]]:
        """Read everything once; PortableFileRefused for anything that is wrong.

        Returns the ids of records that have vectors, under `vectors`, and those of files, under `files`.
        """
        for name, entry in self.manifest.entries.items():
            digest, size = hashlib.sha256(), 0
            for piece in self._pieces(name):
                digest.update(piece)
                size += len(piece)
            if (size, digest.hexdigest()) != (entry.size, entry.sha256):
                raise PortableFileRefused(f"{name} is damaged: its checksum is another.", hint=_HINT, entry=name)
        base = self.base()
        rules = _distinct("rules", (rule.id for rule in base.rules))
        fields = _distinct("fields", (field.id for field in base.fields))
        files = _distinct("files", (row.id for row in self.files()))
        for row in self.files():
            held = self.manifest.entries.get(f"files/{row.id}")
            if held is None or held.size != row.size:
                raise PortableFileRefused(f"The bytes of file {row.id} are not in the file.", hint=_HINT)
        seen: set[str] = set()
        vectors: set[str] = set()
        for part in self.parts:
            nodes = self._check_part(part, rules, fields, seen)
            for group in self.vectors(part):
                for id, _ in group:
                    if id not in nodes or id in vectors:
                        raise _foreign(f"vectors/{part}.bin", "record", id)
                    vectors.add(id)
        return {"vectors": vectors, "files": files}

    def _check_part(self, part: str, rules: set[str], fields: set[str], seen: set[str]) -> set[str]:
        """Check that rows name only what stands before them in the part; returns the ids of its records."""
        name = f"parts/{part}.jsonl"
        document_ids: set[str] = set()
        segments: dict[str, str] = {}
        nodes: set[str] = set()
        for row in self.rows(part):
            if not isinstance(row, DocumentRow) and row.document_id not in document_ids:
                raise _foreign(name, "document", row.document_id)
            if isinstance(row, DocumentRow):
                if row.dataset_process_rule_id is not None and row.dataset_process_rule_id not in rules:
                    raise _foreign(name, "rule", row.dataset_process_rule_id)
                document_ids.add(row.id)
            elif isinstance(row, FieldValue) and row.metadata_id not in fields:
                raise _foreign(name, "field", row.metadata_id)
            elif isinstance(row, SegmentRow):
                segments[row.id] = row.document_id
            elif isinstance(row, Child | Attachment) and segments.get(row.segment_id) != row.document_id:
                raise _foreign(name, "segment", row.segment_id)
            if isinstance(row, DocumentRow | SegmentRow | Child):
                _add_new(name, row.id, seen)
            if isinstance(row, SegmentRow | Child):
                node = row.index_node_id or row.id
                if node != row.id:
                    _add_new(name, node, seen)
                nodes.add(node)
        return nodes

    def _checked_names(self) -> dict[str, zipfile.ZipInfo]:
        infos = self._zip.infolist()
        if len(infos) > _MOST_ENTRIES:
            raise PortableFileRefused(f"The file has {len(infos)} entries.", hint=_HINT)
        found: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            # `orig_filename`: the library cuts a name at NUL, and a name that was meant to deceive is refused.
            if not _NAME.fullmatch(info.orig_filename) or info.filename in found:
                raise PortableFileRefused(f"The file has an entry {info.orig_filename[:80]!r}.", hint=_HINT)
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise PortableFileRefused(f"{info.filename} is encrypted or packed in an unknown way.", hint=_HINT)
            if info.file_size > _RATIO * max(info.compress_size, 10_000):
                raise PortableFileRefused(f"{info.filename} unpacks to {info.file_size} bytes.", hint=_HINT)
            found[info.filename] = info
        if "manifest.json" not in found or "dataset.json" not in found:
            raise PortableFileRefused("The file holds no knowledge base.", hint=_HINT)
        return found

    def _read_manifest(self) -> Manifest:
        data = self._whole("manifest.json")
        self._digest = hashlib.sha256(data).hexdigest()
        head = self._decode("manifest.json", data, dict[str, Any])
        if (head.get("format"), head.get("version")) != (FORMAT, VERSION):
            raise PortableFileRefused(
                f"The file is {head.get('format')!r} of version {head.get('version')!r}, and {FORMAT!r} of version "
                f"{VERSION} can be imported.",
                hint="Export it with the same release as this one.",
            )
        manifest = self._decode("manifest.json", data, Manifest)
        named = {name: info.file_size for name, info in self._names.items() if name != "manifest.json"}
        if named != {name: entry.size for name, entry in manifest.entries.items()}:
            raise PortableFileRefused("The entries of the file are not those that its manifest names.", hint=_HINT)
        width = 16 + 4 * (manifest.embedding.dimension if manifest.embedding else 0)
        for name, entry in manifest.entries.items():
            if name.startswith("vectors/") and (width == 16 or entry.size % width):
                raise PortableFileRefused(f"{name} does not hold whole vectors.", hint=_HINT)
        return manifest

    # -- reading -----------------------------------------------------------------------------------------------

    def _open(self, name: str) -> IO[bytes]:
        try:
            return self._zip.open(self._names[name])
        except (zipfile.BadZipFile, OSError, NotImplementedError, KeyError) as exc:
            raise PortableFileRefused(f"{name} cannot be read: {exc}.", hint=_HINT, entry=name) from exc

    def _pieces(self, name: str) -> Iterator[bytes]:
        try:
            with self._open(name) as stream:
                while piece := stream.read(_PIECE):
                    yield piece
        except (zipfile.BadZipFile, zlib.error, EOFError) as exc:
            raise PortableFileRefused(f"{name} is damaged: {exc}.", hint=_HINT, entry=name) from exc

    def _whole(self, name: str) -> bytes:
        if self._names[name].file_size > _HEAD:
            raise PortableFileRefused(f"{name} has {self._names[name].file_size} bytes.", hint=_HINT, entry=name)
        return b"".join(self._pieces(name))

    def _lines(self, name: str, kind: type[T]) -> Iterator[T]:
        with self._open(name) as stream:
            while line := stream.readline(_LINE):
                if not line.endswith(b"\n"):
                    raise PortableFileRefused(f"{name} has a line that is too long or ends early.", hint=_HINT)
                yield self._decode(name, line, kind)

    def _decode(self, name: str, data: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise PortableFileRefused(f"{name} is not what it should be: {exc}.", hint=_HINT, entry=name) from exc


def _distinct(what: str, ids: Iterator[str]) -> set[str]:
    found: set[str] = set()
    for id in ids:
        _add_new(what, id, found)
    return found


def _add_new(name: str, id: str, seen: set[str]) -> None:
    if id in seen:
        raise PortableFileRefused(f"{name} has the id {id} twice.", hint=_HINT)
    seen.add(id)


def _foreign(name: str, what: str, id: str) -> PortableFileRefused:
    return PortableFileRefused(f"{name} names the {what} {id}, which is not in the file.", hint=_HINT)
