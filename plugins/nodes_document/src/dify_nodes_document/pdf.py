"""Reads PDF: the text of every page."""

from __future__ import annotations

from dify_nodes_document.formats import extraction_failed

__all__ = ["read_pdf"]


def read_pdf(data: bytes) -> str:
    """The pages in order, each on a line of its own; a page without text (a scan) is an empty one."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as exc:
        raise extraction_failed("PDF", exc, hint="Check that it is whole and has no password.") from exc
    try:
        return "\n".join(_page(document[number]) for number in range(len(document)))
    finally:
        document.close()


def _page(page: object) -> str:
    content = page.get_textpage()  # type: ignore[attr-defined]
    try:
        text: str = content.get_text_range()
        return text.replace("\r\n", "\n")
    finally:
        content.close()
        page.close()  # type: ignore[attr-defined]
