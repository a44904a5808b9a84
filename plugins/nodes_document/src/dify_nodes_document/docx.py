"""Reads Word documents: paragraphs and tables in order, tables as Markdown."""

from __future__ import annotations

import io
from typing import Any

from dify_nodes_document.archive import open_archive
from dify_nodes_document.tables import markdown_table

__all__ = ["read_docx"]


def read_docx(data: bytes) -> str:
    """The body, a line a paragraph; tables without any text are left out."""
    from docx import Document
    from docx.table import Table

    open_archive(data, "DOCX", "[Content_Types].xml").close()
    blocks = []
    for block in Document(io.BytesIO(data)).iter_inner_content():
        if not isinstance(block, Table):
            blocks.append(block.text)
            continue
        rows = _rows(block)
        if any(text for row in rows for text in row):
            blocks.append(markdown_table(rows) + "\n")
    return "\n".join(blocks)


def _rows(table: Any) -> list[list[str]]:
    """The texts of the cells; a merged cell is written once, and leaves its other places empty."""
    seen: set[Any] = set()
    rows = []
    for row in table.rows:
        texts = []
        for cell in row.cells:
            texts.append("" if cell._tc in seen else cell.text.strip().replace("\n", "<br>"))
            seen.add(cell._tc)
        rows.append(texts)
    return rows
