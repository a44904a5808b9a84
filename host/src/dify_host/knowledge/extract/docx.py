"""Reads Word documents: page headers, paragraphs and tables in order, notes; tables, links, pictures as Markdown."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

from dify_host.knowledge.extract.archive import parse_xml
from dify_host.knowledge.extract.pictures import Pictures
from dify_host.knowledge.extract.tables import markdown_table
from dify_host.knowledge.extract.text import Text

__all__ = ["read_docx"]

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_ID, _NOTE_ID = f"{_R}id", f"{_W}id"
#: What shows a picture, new and old, and where it names it.
_PICTURES = {
    "{http://schemas.openxmlformats.org/drawingml/2006/main}blip": (f"{_R}embed", f"{_R}link"),
    "{urn:schemas-microsoft-com:vml}imagedata": (_ID, f"{_R}href"),
}
#: What is drawn twice for old programs, or was taken out by an editor who kept track; what was moved stands elsewhere.
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_PASSED = frozenset((_FALLBACK, f"{_W}del", f"{_W}moveFrom"))
#: What stands around blocks, rows and cells: fields that a form has, and what an editor added who kept track.
_AROUND = frozenset(f"{_W}{name}" for name in ("sdt", "sdtContent", "ins", "moveTo", "customXml"))
_HEADING = re.compile("heading ([1-6])", re.IGNORECASE)
_WORDS = frozenset((f"{_W}t", "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"))
#: What refers to a note, and the kind of part that has it.
_NOTES = {f"{_W}footnoteReference": "footnotes", f"{_W}endnoteReference": "endnotes"}
_SIGNS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}


class _Part:
    """What a part of the document refers to; pictures only where they are wanted."""

    def __init__(self, part: Any, levels: Mapping[str, str], pictures: Pictures | None = None) -> None:
        self._rels, self._levels, self._pictures = part.rels, levels, pictures
        self._notes: list[tuple[str, str]] = []

    def heading(self, paragraph: Any) -> str:
        """The Markdown sign of a heading; "" for any other paragraph."""
        style = paragraph.find(f"{_W}pPr/{_W}pStyle")
        return self._levels.get(style.get(f"{_W}val") or "", "") if style is not None else ""

    def note(self, kind: str, name: str | None) -> str:
        """What stands for a note in the text, by its kind and its id there."""
        wanted = (kind, name or "")
        if wanted not in self._notes:
            self._notes.append(wanted)
        return f"[^{self._notes.index(wanted) + 1}]"

    def notes(self) -> Iterator[str]:
        """The notes that the text refers to, by number."""
        found: dict[tuple[str, str], Any] = {}
        for link in self._rels.values():
            kind = link.reltype.rpartition("/")[2]
            if kind in _NOTES.values() and not link.is_external:
                part = _Part(link.target_part, self._levels)
                for note in parse_xml(link.target_part.blob):
                    found[(kind, note.get(_NOTE_ID) or "")] = note, part
        for number, wanted in enumerate(self._notes, 1):
            if wanted in found:
                yield f"[^{number}]: " + " ".join("\n".join(_blocks(*found[wanted])).split())

    def address(self, name: str | None) -> str:
        """The address of a link by its id."""
        link = self._rels.get(name) if name else None
        return link.target_ref if link is not None and link.is_external else ""

    def picture(self, name: str | None) -> str:
        """What stands for a picture by its id."""
        link = self._rels.get(name) if name and self._pictures is not None else None
        if link is None or self._pictures is None:
            return ""
        return self._pictures.shown(link.target_ref) if link.is_external else self._pictures.add(link.target_part.blob)


def read_docx(data: bytes, pictures: Pictures | None = None) -> list[Text]:
    """Read the document as one text; a header that several sections share stands once, without its pictures."""
    from docx import Document

    document = Document(io.BytesIO(data))
    levels = {style.style_id: sign for style in document.styles if (sign := _sign(style.element))}
    headers: list[str] = []
    for section in document.sections:
        for source in (section.first_page_header, section.header, section.even_page_header):
            if not source.is_linked_to_previous:
                header = "\n".join(_blocks(source._element, _Part(source.part, levels))).strip()
                headers += [header] if header and header not in headers else []
    main = _Part(document.part, levels, pictures)
    body = "\n".join(_blocks(document.element.body, main))
    return [Text(text="\n\n".join([*headers, body, *main.notes()]).strip())]


def _sign(style: Any) -> str:
    """The Markdown sign of a style of headings: its name is the same in every language, other than its id."""
    name = style.find(f"{_W}name")
    found = _HEADING.fullmatch(name.get(f"{_W}val") or "") if name is not None else None
    return "#" * int(found[1]) + " " if found else ""


def _blocks(parent: Any, part: _Part) -> Iterator[str]:
    """The paragraphs and tables of an element."""
    for child in parent:
        if child.tag == f"{_W}p":
            yield part.heading(child) + _inline(child, part)
        elif child.tag == f"{_W}tbl":
            table = markdown_table(_rows(child, part))
            if table:
                yield table + "\n"
        elif child.tag in _AROUND:
            yield from _blocks(child, part)


def _inline(element: Any, part: _Part) -> str:
    """The text of a paragraph; a link with an address becomes a Markdown link."""
    parts = []
    for child in element:
        if child.tag in _WORDS:
            parts.append(child.text or "")
        elif child.tag in _NOTES:
            parts.append(part.note(_NOTES[child.tag], child.get(_NOTE_ID)))
        elif child.tag in _SIGNS:
            parts.append(_SIGNS[child.tag])
        elif child.tag == f"{_W}hyperlink":
            text, target = _inline(child, part), part.address(child.get(_ID))
            parts.append(f"[{text}]({target})" if target and text.strip() else text)
        elif child.tag in _PICTURES:
            named = next(filter(None, map(child.get, _PICTURES[child.tag])), None)
            parts.append(part.picture(named))
        elif child.tag == f"{_W}txbxContent":
            parts.append("\n" + "\n".join(_blocks(child, part)) + "\n")
        elif child.tag not in _PASSED:
            parts.append(_inline(child, part))
    return "".join(parts)


def _rows(table: Any, part: _Part) -> Iterator[list[str]]:
    """The texts of the cells; a merged cell is written once, and leaves its other places empty."""
    for row in _inside(table, f"{_W}tr"):
        texts = []
        for cell in _inside(row, f"{_W}tc"):
            merged = cell.find(f"{_W}tcPr/{_W}vMerge")
            goes_on = merged is not None and merged.get(f"{_W}val") != "restart"
            texts.append("" if goes_on else _cell(cell, part))
            span = cell.find(f"{_W}tcPr/{_W}gridSpan")
            texts += [""] * (min(int(span.get(f"{_W}val") or 1), 64) - 1 if span is not None else 0)
        yield texts


def _inside(parent: Any, tag: str) -> Iterator[Any]:
    """The rows of a table, or the cells of a row, and none of a table inside."""
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in _AROUND:
            yield from _inside(child, tag)


def _cell(cell: Any, part: _Part) -> str:
    """The paragraphs of a cell; a table in it as its cells."""
    texts = []
    for child in cell:
        if child.tag == f"{_W}tbl":
            texts += [text for row in _rows(child, part) for text in row]
        elif child.tag == f"{_W}p":
            texts.append(_inline(child, part))
        elif child.tag in _AROUND:
            texts += _blocks(child, part)
    return " ".join(text.strip() for text in texts if text.strip())
