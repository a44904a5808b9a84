"""What a page of a PDF draws beside its letters: paths and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

__all__ = ["Shapes"]

#: How deep in drawings that hold drawings a picture is looked for.
_DEPTH: Final = 3


class Shapes:
    """The paths and the pictures of a page, found in one go: most of what a page draws is letters."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._paths: list[Any] = []
        self._pictures: list[Any] = []
        import pypdfium2.raw as raw

        self._look(page, raw.FPDFPage_CountObjects, raw.FPDFPage_GetObject, 0)

    def _look(self, parent: Any, count: Any, get: Any, level: int) -> None:
        import pypdfium2.raw as raw

        kind_of = raw.FPDFPageObj_GetType
        for number in range(count(parent)):
            item = get(parent, number)
            kind = kind_of(item)
            if kind == raw.FPDF_PAGEOBJ_TEXT:
                continue
            if kind == raw.FPDF_PAGEOBJ_PATH and level == 0:
                self._paths.append(item)
            elif kind == raw.FPDF_PAGEOBJ_IMAGE:
                self._pictures.append(item)
            elif kind == raw.FPDF_PAGEOBJ_FORM and level + 1 < _DEPTH:
                self._look(item, raw.FPDFFormObj_CountObjects, raw.FPDFFormObj_GetObject, level + 1)

    @property
    def has_picture(self) -> bool:
        """Whether there is a picture."""
        return bool(self._pictures)

    def paths(self) -> Iterator[Any]:
        """The paths that stand in no other drawing, in the order in which they are drawn."""
        return map(self._object, self._paths)

    def pictures(self) -> Iterator[Any]:
        """The pictures in the order in which they are drawn."""
        return map(self._object, self._pictures)

    def _object(self, item: Any) -> Any:
        import pypdfium2

        return pypdfium2.PdfObject(item, page=self._page, pdf=self._page.pdf)
