"""What a document is replaced by: content, name, how it is cut. It is indexed again, and what stays is not embedded."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from dify_host.knowledge.records import Document
from dify_host.knowledge.remote import UPLOAD_FILE
from dify_host.knowledge.rules import ProcessRule

__all__ = ["DocForm", "DocumentChange", "changed_values"]

DocForm = Literal["text_model", "qa_model", "hierarchical_model"]
_TIMES = ("processing_started_at", "parsing_completed_at", "cleaning_completed_at", "splitting_completed_at")


class DocumentChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be other; what is None stays. `batch` is what its `indexing_status` is asked for."""

    upload_id: str | None = None
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    process_rule: ProcessRule | None = None
    doc_form: DocForm | None = None
    doc_language: str | None = None
    batch: str | None = None


def changed_values(document: Document, change: DocumentChange, rule_id: str | None) -> dict[str, Any]:
    """The columns of a document that waits to be indexed again; a new file makes it one that was uploaded."""
    values: dict[str, Any] = {
        "dataset_process_rule_id": rule_id,
        "name": change.name or document.name,
        "batch": change.batch or document.batch,
        "doc_form": change.doc_form or document.doc_form,
        "doc_language": change.doc_language or document.doc_language,
        "indexing_status": "waiting",
        **dict.fromkeys((*_TIMES, "completed_at", "stopped_at", "error")),
    }
    if change.upload_id is not None:
        info = {"upload_file_id": change.upload_id}
        values |= {"data_source_type": UPLOAD_FILE, "data_source_info": info, "file_id": change.upload_id}
    return values
