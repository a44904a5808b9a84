"""Reads Word documents: paragraphs in order, tables and links as Markdown."""

from __future__ import annotations

from typing import Any

from dify_host.knowledge.extract.text import Text

__all__ = ["read_docx"]


def read_docx(data: bytes) -> list[Text]:
    """Read the body as one text."""
    import io

    from docx import Document
    from docx.table import Table

    blocks = []
    for block in Document(io.BytesIO(data)).iter_inner_content():
        blocks.append(_table(block) if isinstance(block, Table) else _paragraph(block))
    return [Text(text="\n".join(blocks).strip())]


def _paragraph(paragraph: Any) -> str:
    """Join the runs; a link with an address becomes a Markdown link."""
    parts = []
    for item in paragraph.iter_inner_content():
        address = getattr(item, "url", "")
        parts.append(f"[{item.text}]({address})" if address and item.text.strip() else item.text)
    return "".join(parts)


def _table(table: Any) -> str:
    """Write a table as Markdown; a merged cell is written once."""
    lines = []
    for number, row in enumerate(table.rows):
        cells = []
        seen: set[Any] = set()
        for cell in row.cells:
            if cell._tc not in seen:
                seen.add(cell._tc)
                cells.append(_cell(cell))
        lines.append("| " + " | ".join(cells) + " |")
        if number == 0:
            lines.append("|" + " --- |" * len(cells))
    return "\n".join(lines) + "\n"


def _cell(cell: Any) -> str:
    text = " ".join(_paragraph(paragraph).strip() for paragraph in cell.paragraphs)
    return text.replace("\n", " ").replace("|", "\\|").strip()
