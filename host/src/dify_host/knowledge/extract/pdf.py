"""Reads PDF: one text a page."""

from __future__ import annotations

from dify_host.knowledge.errors import ExtractionFailed
from dify_host.knowledge.extract.text import Text

__all__ = ["read_pdf"]


def read_pdf(data: bytes) -> list[Text]:
    """Read the pages in order; a page without text (a scan) gives an empty text."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as exc:
        raise ExtractionFailed(
            f"The PDF cannot be opened: {exc}.", hint="Check that it is whole and has no password."
        ) from exc
    try:
        return [_read_page(document, number) for number in range(len(document))]
    finally:
        document.close()


def _read_page(document: object, number: int) -> Text:
    page = document[number]  # type: ignore[index]
    content = page.get_textpage()
    try:
        return Text(text=content.get_text_range().replace("\r\n", "\n"), metadata={"page": number + 1})
    finally:
        content.close()
        page.close()
