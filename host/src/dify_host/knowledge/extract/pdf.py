"""Reads PDF: one text a page, its tables as Markdown, its pictures below."""

from __future__ import annotations

from typing import Any

from dify_host.knowledge.errors import ExtractionFailed
from dify_host.knowledge.extract.pdf_pictures import PdfPictures
from dify_host.knowledge.extract.pdf_shapes import Shapes
from dify_host.knowledge.extract.pdf_tables import page_text
from dify_host.knowledge.extract.pictures import Pictures
from dify_host.knowledge.extract.text import Text

__all__ = ["read_pdf"]


def read_pdf(data: bytes, pictures: Pictures | None = None) -> list[Text]:
    """Read the pages in order; the metadata has the page's number, from 1, and `scanned` for a picture without text.

    ExtractionFailed when the document has a password, or when no page has text and at least one is a picture.
    """
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as exc:
        if getattr(exc, "err_code", None) == pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise ExtractionFailed("The PDF is protected with a password.", hint="Save it without a password.") from exc
        raise ExtractionFailed(f"The PDF cannot be opened: {exc}.", hint="Check that it is whole.") from exc
    taken = PdfPictures(pictures) if pictures is not None else None
    try:
        texts = [_read_page(document, number, taken) for number in range(len(document))]
    finally:
        document.close()
    scanned = sum(1 for text in texts if text.metadata.get("scanned"))
    if scanned and not any(text.text.strip() for text in texts):
        raise ExtractionFailed(
            f"The PDF has no text layer: {scanned} of its {len(texts)} pages are scanned pictures.",
            hint="Run text recognition (OCR) over it, and upload the copy that it makes.",
        )
    return texts


def _read_page(document: Any, number: int, pictures: PdfPictures | None) -> Text:
    import pypdfium2

    try:
        page = document[number]
    except pypdfium2.PdfiumError as exc:
        raise ExtractionFailed(
            f"Page {number + 1} of the PDF cannot be read: {exc}.", hint="Save it again, for example by printing it."
        ) from exc
    content = page.get_textpage()
    try:
        shapes = Shapes(page)
        metadata: dict[str, str | int] = {"page": number + 1}
        text = page_text(content, shapes.paths()).replace("\r\n", "\n")
        if not text.strip() and shapes.has_picture:
            metadata["scanned"] = True
        elif pictures is not None:
            text = "\n".join([text, *filter(None, map(pictures.add, shapes.pictures()))])
        return Text(text=text, metadata=metadata)
    finally:
        content.close()
        page.close()
