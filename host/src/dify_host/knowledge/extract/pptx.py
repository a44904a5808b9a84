"""Reads PowerPoint presentations: one text a slide, tables and pictures as Markdown, notes below."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
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
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"

#: Gives what stands for a picture by its id.
_Shown = Callable[[str | None], str]


def read_pptx(data: bytes, pictures: Pictures | None = None) -> list[Text]:
    """Read the slides in the order of the presentation; the metadata has the slide's number, from 1."""
    with open_archive(data, "pptx") as archive:
        targets = relations(archive, _MAIN)
        slides = [targets.get(item.get(_ID), ("", ""))[1] for item in parse_xml(archive.read(_MAIN)).iter(f"{_P}sldId")]
        texts = ((number, _slide(archive, name, pictures)) for number, name in enumerate(slides, 1))
        return [Text(text=text, metadata={"slide": number}) for number, text in texts if text]


def _slide(archive: zipfile.ZipFile, name: str, pictures: Pictures | None) -> str:
    slide = read_part(archive, name)
    if slide is None:
        return ""
    links = relations(archive, name)

    def picture(name: str | None) -> str:
        kind, target = links.get(name or "", ("", ""))
        found = read_part(archive, target) if kind == "image" and pictures is not None else None
        return pictures.add(found) if found and pictures is not None else ""

    texts = list(_texts(parse_xml(slide), links, picture))
    for kind, target in links.values():
        notes = read_part(archive, target) if kind == "notesSlide" else None
        if notes is not None:
            said = [line for shape in parse_xml(notes).iter(f"{_P}sp") if _is_body(shape) for line in _texts(shape, {})]
            texts += ["", "Notes:", *said] if said else []
    return "\n".join(texts).strip()


def _is_body(shape: Any) -> bool:
    """Whether a shape of a page of notes holds the notes, and not the number or the date of the page."""
    return any(item.get("type") == "body" for item in shape.iter(f"{_P}ph"))


def _texts(root: Any, links: dict[str, tuple[str, str]], picture: _Shown = lambda _: "") -> Iterator[str]:
    """Paragraphs, tables and pictures of an element, in order, without empty ones."""
    for child in root:
        if child.tag == f"{_A}tbl":
            table = markdown_table(
                [" ".join(_paragraph(item, links) for item in cell.iter(f"{_A}p")) for cell in row.iter(f"{_A}tc")]
                for row in child.iter(f"{_A}tr")
            )
            yield from (table,) if table else ()
        elif child.tag == f"{_A}p":
            text = _paragraph(child, links)
            yield from (text,) if text.strip() else ()
        elif child.tag == f"{_A}blip":
            shown = picture(child.get(_EMBED))
            yield from (shown,) if shown else ()
        elif child.tag != _FALLBACK:
            yield from _texts(child, links, picture)


def _paragraph(paragraph: Any, links: dict[str, tuple[str, str]]) -> str:
    parts = []
    for item in paragraph.iter(f"{_A}r", f"{_A}br", f"{_A}fld"):
        if item.tag == f"{_A}br":
            parts.append("\n")
            continue
        text = item.findtext(f"{_A}t") or ""
        link = item.find(f"{_A}rPr/{_A}hlinkClick")
        kind, target = links.get(link.get(_ID) or "", ("", "")) if link is not None else ("", "")
        parts.append(f"[{text}]({target})" if kind == "hyperlink" and text.strip() else text)
    return "".join(parts)
