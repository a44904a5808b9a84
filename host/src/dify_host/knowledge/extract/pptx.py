"""Reads PowerPoint presentations: one text a slide, tables and pictures as Markdown, notes below."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import Any

from dify_host.knowledge.extract.archive import open_archive, parse_xml, read_part, relations
from dify_host.knowledge.extract.pictures import Pictures
from dify_host.knowledge.extract.tables import markdown_table
from dify_host.knowledge.extract.text import Text

__all__ = ["read_pptx"]

_MAIN = "ppt/presentation.xml"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_EMBED = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}embed"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
_DATA = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}dm"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"


def read_pptx(data: bytes, pictures: Pictures | None = None) -> list[Text]:
    """Read the slides in the order of the presentation; the metadata has the slide's number, from 1."""
    with open_archive(data, "pptx") as archive:
        targets = relations(archive, _MAIN)
        slides = [targets.get(item.get(_ID), ("", ""))[1] for item in parse_xml(archive.read(_MAIN)).iter(f"{_P}sldId")]
        texts = ((number, _slide(archive, name, pictures)) for number, name in enumerate(slides, 1))
        return [Text(text=text, metadata={"slide": number}) for number, text in texts if text]


class _Part:
    """What a part of the presentation refers to; pictures only where they are wanted."""

    def __init__(self, archive: zipfile.ZipFile, name: str, pictures: Pictures | None = None) -> None:
        self._archive, self._pictures = archive, pictures
        self.links = relations(archive, name)

    def link(self, name: str | None, kind: str) -> str:
        """The part, or the address, that an id of that kind names; "" for none."""
        found, target = self.links.get(name or "", ("", ""))
        return target if found == kind else ""

    def picture(self, name: str | None) -> str:
        """What stands for a picture by its id."""
        found = read_part(self._archive, self.link(name, "image")) if self._pictures is not None else None
        return self._pictures.add(found) if found and self._pictures is not None else ""

    def diagram(self, name: str | None) -> Iterator[str]:
        """The words of a diagram by the id of its data."""
        target = self.link(name, "diagramData")
        data = read_part(self._archive, target)
        return _texts(parse_xml(data), _Part(self._archive, target, self._pictures)) if data else iter(())


def _slide(archive: zipfile.ZipFile, name: str, pictures: Pictures | None) -> str:
    slide = read_part(archive, name)
    if slide is None:
        return ""
    part = _Part(archive, name, pictures)
    texts = list(_texts(parse_xml(slide), part))
    for kind, target in part.links.values():
        notes = read_part(archive, target) if kind == "notesSlide" else None
        if notes is not None:
            own = _Part(archive, target)
            said = [
                line for shape in parse_xml(notes).iter(f"{_P}sp") if _is_body(shape) for line in _texts(shape, own)
            ]
            texts += ["", "Notes:", *said] if said else []
    return "\n".join(texts).strip()


def _is_body(shape: Any) -> bool:
    """Whether a shape of a page of notes holds the notes, and not the number or the date of the page."""
    return any(item.get("type") == "body" for item in shape.iter(f"{_P}ph"))


def _texts(root: Any, part: _Part) -> Iterator[str]:
    """Paragraphs, tables, diagrams and pictures of an element, in order, without empty ones."""
    for child in root:
        if child.tag == f"{_A}tbl":
            table = markdown_table(
                [" ".join(_paragraph(item, part) for item in cell.iter(f"{_A}p")) for cell in row.iter(f"{_A}tc")]
                for row in child.iter(f"{_A}tr")
            )
            yield from (table,) if table else ()
        elif child.tag == f"{_A}p":
            text = _paragraph(child, part)
            yield from (text,) if text.strip() else ()
        elif child.tag == f"{_A}blip":
            shown = part.picture(child.get(_EMBED))
            yield from (shown,) if shown else ()
        elif child.tag == _DIAGRAM:
            yield from part.diagram(child.get(_DATA))
        elif child.tag != _FALLBACK:
            yield from _texts(child, part)


def _paragraph(paragraph: Any, part: _Part) -> str:
    parts = []
    for item in paragraph.iter(f"{_A}r", f"{_A}br", f"{_A}fld", _MATH):
        if item.tag == f"{_A}br":
            parts.append("\n")
            continue
        if item.tag == _MATH:
            parts.append(item.text or "")
            continue
        text = item.findtext(f"{_A}t") or ""
        link = item.find(f"{_A}rPr/{_A}hlinkClick")
        address = part.link(link.get(_ID), "hyperlink") if link is not None else ""
        parts.append(f"[{text}]({address})" if address and text.strip() else text)
    return "".join(parts)
