"""Makes small files of every format, so that tests read what their own lines say."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence

from docx import Document
from openpyxl import Workbook

__all__ = ["make_docx", "make_epub", "make_msg", "make_pdf", "make_pptx", "make_xls", "make_xlsx", "zipped"]

_A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_P = "http://schemas.openxmlformats.org/presentationml/2006/main"
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    """An archive of these parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def make_pdf(pages: Sequence[str]) -> bytes:
    """A PDF with a line of text a page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for text in pages:
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {len(objects)} 0 R >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(pages)} >>"
    body, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    return f"{body}{end}startxref\n{len(body)}\n%%EOF".encode()


def make_docx(before: str, rows: Sequence[Sequence[str]], after: str) -> bytes:
    """A document of a paragraph, a table and a paragraph."""
    document = Document()
    document.add_paragraph(before)
    table = document.add_table(len(rows), len(rows[0]))
    for row, texts in zip(table.rows, rows, strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    document.add_paragraph(after)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def make_xlsx(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """A workbook of these rows a sheet."""
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def make_xls(rows: Sequence[Sequence[str | float]]) -> bytes:
    """A worksheet in the oldest form of the format (BIFF 2): texts and numbers."""
    out = struct.pack("<HHHH", 0x0009, 4, 0, 0x0010)
    for number, row in enumerate(rows):
        for column, value in enumerate(row):
            place = struct.pack("<HH3x", number, column)
            if isinstance(value, str):
                content = value.encode("latin-1")
                record, body = 0x0004, place + struct.pack("<B", len(content)) + content
            else:
                record, body = 0x0003, place + struct.pack("<d", value)
            out += struct.pack("<HH", record, len(body)) + body
    return out + struct.pack("<HH", 0x000A, 0)


def make_pptx(slides: Sequence[str]) -> bytes:
    """A presentation of slides given as DrawingML; their parts are numbered backwards, as after sorting them."""
    count = len(slides)
    ids = "".join(f'<p:sldId id="{256 + n}" r:id="rId{n}"/>' for n in range(count))
    links = "".join(f'<Relationship Id="rId{n}" Target="slides/slide{count - n}.xml"/>' for n in range(count))
    parts = {
        "[Content_Types].xml": "<Types/>",
        "ppt/presentation.xml": f'<p:presentation xmlns:p="{_P}" xmlns:r="{_R}"><p:sldIdLst>{ids}</p:sldIdLst>'
        "</p:presentation>",
        "ppt/_rels/presentation.xml.rels": f"<Relationships>{links}</Relationships>",
    }
    for n, content in enumerate(slides):
        parts[f"ppt/slides/slide{count - n}.xml"] = f'<p:sld xmlns:p="{_P}" xmlns:a="{_A}">{content}</p:sld>'
    return zipped(parts)


def make_epub(chapters: Mapping[str, str]) -> bytes:
    """A book of chapters by file name, read in this order."""
    items = "".join(f'<item id="i{n}" href="text/{name}"/>' for n, name in enumerate(chapters))
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(len(chapters)))
    package = (
        f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{spine}</spine></package>'
    )
    container = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OEBPS/book.opf": package,
            **{f"OEBPS/text/{name}": text for name, text in sorted(chapters.items(), reverse=True)},
        }
    )


def make_msg(streams: Mapping[str, bytes]) -> bytes:
    """A compound file with these streams in its root; short ones are padded."""
    sectors: list[bytes] = []
    chains: list[int] = []

    def add(content: bytes) -> int:
        start, pieces = len(sectors), [content[at : at + 512].ljust(512, b"\0") for at in range(0, len(content), 512)]
        for number, piece in enumerate(pieces, 1):
            sectors.append(piece)
            chains.append(0xFFFFFFFE if number == len(pieces) else start + number)
        return start

    starts = {name: add(content.ljust(4096, b"\0")) for name, content in streams.items()}
    names = sorted(streams, key=lambda name: (len(name), name.upper()))
    entries = [_entry("Root Entry", 5, child=1, start=0xFFFFFFFE)]
    for number, name in enumerate(names, 1):
        after = number + 1 if number < len(names) else 0xFFFFFFFF
        entries.append(_entry(name, 2, right=after, start=starts[name], size=max(len(streams[name]), 4096)))
    entries += [_entry("", 0)] * (-len(entries) % 4)
    directory = add(b"".join(entries))
    table = len(sectors)
    fat = struct.pack(f"<{table + 1}I", *chains, 0xFFFFFFFD).ljust(512, b"\xff")
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<IIIIIIIII", 0, 1, directory, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    header += struct.pack("<I", table).ljust(436, b"\xff")
    return header + b"".join(sectors) + fat


def _entry(
    name: str, kind: int, *, right: int = 0xFFFFFFFF, child: int = 0xFFFFFFFF, start: int = 0, size: int = 0
) -> bytes:
    text = (name + "\0").encode("utf-16-le") if name else b""
    head = text.ljust(64, b"\0") + struct.pack("<HBBIII", len(text), kind, 1, 0xFFFFFFFF, right, child)
    return head + bytes(36) + struct.pack("<IQ", start, size)
