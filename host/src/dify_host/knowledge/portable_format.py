"""The file that a knowledge base travels in: a zip of rows as JSON lines, raw vectors and files, with their checksums.

    manifest.json          format, version, model of the vectors, size and SHA-256 of each other entry; written last
    dataset.json           settings, process rules, metadata fields
    parts/000001.jsonl     rows of some documents, each before what belongs to it
    vectors/000001.bin     their vectors: 16 bytes of the record's id, then little-endian float32, for each
    files.jsonl, files/ID  uploaded files: their rows, their bytes

Ids are those of the installation that wrote it and mean nothing outside of the file.
"""

from __future__ import annotations

import array
import sys
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from dify_kernel.errors import BadInput
from msgspec import Meta

from dify_host.knowledge.rules import Rules

__all__ = [
    "FORMAT",
    "VERSION",
    "Attachment",
    "BaseFile",
    "Child",
    "DocumentRow",
    "Embedding",
    "Entry",
    "Field",
    "FieldValue",
    "FileRow",
    "Manifest",
    "PortableFileRefused",
    "Row",
    "Rule",
    "SegmentRow",
    "pack_vector",
    "unpack_vectors",
]

FORMAT: Final = "dify-knowledge-base"
VERSION: Final = 1

Id = Annotated[str, Meta(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Time = Annotated[datetime, Meta(tz=False)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Short = Annotated[str, Meta(max_length=255)]
Text = Annotated[str, Meta(max_length=4 * 1024 * 1024)]
Sha = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class PortableFileRefused(BadInput):
    """A file is not a knowledge base that can be imported: damaged, of another version, or not to be trusted."""

    code = "portable_file_refused"


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all that is written."""


class _Row(_Part, frozen=True, tag_field="row"):
    """The base of rows; `row` names their table."""


class Entry(_Part, frozen=True):
    """An entry of the zip: bytes before compression, and their SHA-256."""

    size: Annotated[int, Meta(ge=0)]
    sha256: Sha


class Embedding(_Part, frozen=True):
    """The model that made the vectors, and how many numbers each has; 0 while there is none."""

    provider: Name
    model: Name
    dimension: Annotated[int, Meta(ge=0, le=65_535)]


class Manifest(_Part, frozen=True):
    """What the file holds. `counts` are of documents, segments, children, vectors and files."""

    format: str
    version: int
    created_at: Time
    name: str
    embedding: Embedding | None
    counts: dict[str, int]
    entries: dict[str, Entry]


class Rule(_Part, frozen=True):
    """A process rule."""

    id: Id
    mode: Literal["automatic", "custom", "hierarchical"]
    rules: Rules | None
    created_at: Time


class Field(_Part, frozen=True):
    """A metadata field."""

    id: Id
    type: Literal["string", "number", "time"]
    name: Name
    created_at: Time


class BaseFile(_Part, frozen=True):
    """`dataset.json`."""

    name: Name
    description: str | None
    permission: Literal["only_me", "all_team_members", "partial_members"]
    data_source_type: Short | None
    indexing_technique: Literal["high_quality", "economy"] | None
    keyword_number: Annotated[int, Meta(ge=0, le=1000)]
    retrieval_model: dict[str, Any] | None
    built_in_field_enabled: bool
    icon_info: dict[str, Any] | None
    chunk_structure: Short | None
    enable_api: bool
    rules: list[Rule]
    fields: list[Field]


class FileRow(_Row, frozen=True, tag="file"):
    """An uploaded file; its bytes are the entry `files/ID`."""

    id: Id
    name: Name
    size: Annotated[int, Meta(ge=0)]
    extension: Annotated[str, Meta(pattern="^[A-Za-z0-9]{0,20}$")]
    mime_type: Short | None


class DocumentRow(_Row, frozen=True, tag="document"):
    """A document."""

    id: Id
    position: Count
    data_source_type: Short
    data_source_info: dict[str, Any] | None
    dataset_process_rule_id: Id | None
    batch: Short
    name: Name
    created_from: Short
    created_at: Time
    updated_at: Time
    file_id: Id | None
    word_count: Count | None
    tokens: Count | None
    indexing_status: Literal["waiting", "parsing", "cleaning", "splitting", "indexing", "completed", "error", "paused"]
    indexing_latency: float | None
    processing_started_at: Time | None
    parsing_completed_at: Time | None
    cleaning_completed_at: Time | None
    splitting_completed_at: Time | None
    completed_at: Time | None
    is_paused: bool
    paused_at: Time | None
    error: Text | None
    stopped_at: Time | None
    enabled: bool
    disabled_at: Time | None
    archived: bool
    archived_at: Time | None
    archived_reason: Short | None
    doc_type: Annotated[str, Meta(max_length=40)] | None
    doc_metadata: dict[str, Any] | None
    doc_form: Literal["text_model", "hierarchical_model", "qa_model"]
    doc_language: Short | None


class FieldValue(_Row, frozen=True, tag="field_value"):
    """A document has a value of a metadata field; the value stands in its `doc_metadata`."""

    document_id: Id
    metadata_id: Id


class SegmentRow(_Row, frozen=True, tag="segment"):
    """A segment."""

    id: Id
    document_id: Id
    position: Count
    content: Text
    answer: Text | None
    word_count: Count
    tokens: Count
    keywords: list[Short] | None
    index_node_id: Id | None
    index_node_hash: Sha | None
    hit_count: Count
    enabled: bool
    disabled_at: Time | None
    status: Literal["waiting", "indexing", "completed", "error", "re_segment", "paused"]
    created_at: Time
    updated_at: Time
    indexing_at: Time | None
    completed_at: Time | None
    error: Text | None
    stopped_at: Time | None


class Child(_Row, frozen=True, tag="child"):
    """A child chunk."""

    id: Id
    document_id: Id
    segment_id: Id
    position: Count
    content: Text
    word_count: Count
    index_node_id: Id | None
    index_node_hash: Sha | None
    type: Literal["automatic", "customized"]
    created_at: Time
    updated_at: Time
    indexing_at: Time | None
    completed_at: Time | None
    error: Text | None


class Attachment(_Row, frozen=True, tag="attachment"):
    """An uploaded file belongs to a segment."""

    document_id: Id
    segment_id: Id
    attachment_id: Id


Row = DocumentRow | FieldValue | SegmentRow | Child | Attachment


def pack_vector(record_id: str, vector: Sequence[float]) -> bytes:
    """One record of a `.bin` entry."""
    return uuid.UUID(record_id).bytes + _swapped(array.array("f", vector)).tobytes()


def unpack_vectors(data: bytes, dimension: int) -> Iterator[tuple[str, list[float]]]:
    """The records of a piece of a `.bin` entry; the piece holds whole ones."""
    width = 16 + 4 * dimension
    for start in range(0, len(data), width):
        numbers = array.array("f")
        numbers.frombytes(data[start + 16 : start + width])
        yield str(uuid.UUID(bytes=data[start : start + 16])), _swapped(numbers).tolist()


def _swapped(numbers: array.array[float]) -> array.array[float]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
