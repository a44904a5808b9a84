"""The document of a pipeline's run follows the run, in the transaction of its events: it is read, or it has failed."""

from __future__ import annotations

from typing import Final

from dify_kernel.graph.events import Event, NodeFinished, RunFinished, RunStarted

from dify_host.apps.records import PIPELINE_MODE
from dify_host.db.writer import Group
from dify_host.knowledge.pipeline_documents import failed_document, reading_document
from dify_host.runs.context import RunContext
from dify_host.runs.recorder import Rows

__all__ = ["document_rows"]

_INDEX: Final = "knowledge-index"
_NOTHING: Final = "The pipeline came to its end without a document for the knowledge base."


def document_rows(context: RunContext) -> list[Rows]:
    """What is kept beside a run of a pipeline; nothing for any other."""
    return [_DocumentRows()] if context.mode == PIPELINE_MODE else []


class _DocumentRows:
    """Notes of one document that no node indexed why not. The node itself completes what it indexes."""

    def __init__(self) -> None:
        self._document_id, self._indexed = "", False

    def record(self, event: Event, group: Group) -> None:
        """Follow the run; a preview is about no document."""
        if isinstance(event, RunStarted):
            self._document_id = str(event.inputs.get("sys.document_id") or "")
            if self._document_id:
                group.execute(reading_document(self._document_id))
        elif isinstance(event, NodeFinished):
            self._indexed = self._indexed or (event.node_type == _INDEX and event.status == "succeeded")
        elif isinstance(event, RunFinished) and self._document_id and not self._indexed:
            group.execute(failed_document(self._document_id, event.error or _NOTHING))
