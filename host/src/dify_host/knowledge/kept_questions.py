"""Questions and answers that a model has written of a document, kept until its segments are there."""

from __future__ import annotations

import sqlalchemy as sa

from dify_host.db.statements import put_missing
from dify_host.db.types import new_id
from dify_host.knowledge.document_run import Stopped
from dify_host.knowledge.questions import Pairs
from dify_host.knowledge.records import Document
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import document_questions, documents

__all__ = ["KeptQuestions"]


class KeptQuestions:
    """Those of one document; see `Kept`."""

    def __init__(self, rows: KnowledgeRepository, document: Document) -> None:
        self._rows = rows
        self._document = document

    async def known(self) -> dict[str, Pairs]:
        """The pairs by their keys."""
        query = self._rows.scoped_select(document_questions).where(
            document_questions.c.document_id == self._document.id
        )
        async with self._rows.db.read() as conn:
            return {row.text_hash: [(item[0], item[1]) for item in row.pairs] for row in await conn.execute(query)}

    async def keep(self, key: str, pairs: Pairs) -> None:
        """Keep the pairs; Stopped when the document was deleted, or paused: what is paid for is kept before."""
        if not await self._rows.db.run_write(lambda conn: self._written(conn, key, pairs)):
            raise Stopped

    def _written(self, conn: sa.Connection, key: str, pairs: Pairs) -> bool:
        mine = self._rows.scoped_select(documents, documents.c.is_paused).where(documents.c.id == self._document.id)
        paused = conn.execute(mine.with_for_update()).scalar_one_or_none()
        if paused is None:
            return False
        row = {
            "id": new_id(),
            "tenant_id": self._document.tenant_id,
            "dataset_id": self._document.dataset_id,
            "document_id": self._document.id,
            "text_hash": key,
            "pairs": [list(pair) for pair in pairs],
        }
        put_missing(conn, document_questions, [row], key=["document_id", "text_hash"])
        return not paused
