"""Makes small documents of the formats that no library of ours writes, by hand from their specifications."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence

__all__ = ["make_epub", "make_msg", "make_ods", "make_odt", "make_pptx", "make_scan", "make_xls", "zipped"]

_A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_P = "http://schemas.openxmlformats.org/presentationml/2006/main"
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_ODF = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
)


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    """An archive of these parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def make_scan(pages: int) -> bytes:
    """A PDF whose pages are a picture each, of one grey point."""
    picture = (
        b"<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1"
    )
    kids = b" ".join(b"%d 0 R" % (5 + number) for number in range(pages))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, pages),
        picture + b" >>\nstream\nx\nendstream",
        b"<< /Length 25 >>\nstream\nq 100 0 0 100 0 0 cm /I Do Q\nendstream".replace(b"25", b"29"),
    ]
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] /Contents 4 0 R "
    objects += [page + b"/Resources << /XObject << /I 3 0 R >> >> >>"] * pages
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R >>\n" % (size, table, size)
    return out + end + b"startxref\n%d\n%%%%EOF" % len(out)


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


def make_pptx(slides: Sequence[str], notes: Mapping[int, str] | None = None) -> bytes:
    """A presentation of slides given as DrawingML, parts numbered backwards; `notes` by a slide's place, from 0.

    Every slide has a link rLink to https://example.com/.
    """
    count = len(slides)
    ids = "".join(f'<p:sldId id="{256 + n}" r:id="rId{n}"/>' for n in range(count))
    links = "".join(
        f'<Relationship Id="rId{n}" Type="{_R}/slide" Target="slides/slide{count - n}.xml"/>' for n in range(count)
    )
    names = f'xmlns:p="{_P}" xmlns:a="{_A}" xmlns:r="{_R}"'
    parts = {
        "[Content_Types].xml": "<Types/>",
        "ppt/presentation.xml": f"<p:presentation {names}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": f"<Relationships>{links}</Relationships>",
    }
    address = f'<Relationship Id="rLink" Type="{_R}/hyperlink" Target="https://example.com/" TargetMode="External"/>'
    for n, content in enumerate(slides):
        parts[f"ppt/slides/slide{count - n}.xml"] = f"<p:sld {names}>{content}</p:sld>"
        relation = address
        if notes and n in notes:
            relation += f'<Relationship Id="rNotes" Type="{_R}/notesSlide" Target="../notesSlides/n{n}.xml"/>'
            number = '<p:sp><p:nvPr><p:ph type="sldNum"/></p:nvPr><a:p><a:r><a:t>7</a:t></a:r></a:p></p:sp>'
            body = f'<p:sp><p:nvPr><p:ph type="body"/></p:nvPr><a:p><a:r><a:t>{notes[n]}</a:t></a:r></a:p></p:sp>'
            parts[f"ppt/notesSlides/n{n}.xml"] = f"<p:notes {names}>{number}{body}</p:notes>"
        parts[f"ppt/slides/_rels/slide{count - n}.xml.rels"] = f"<Relationships>{relation}</Relationships>"
    return zipped(parts)


def make_epub(chapters: Mapping[str, str]) -> bytes:
    """A book of chapters by file name, read in this order and stored in another."""
    items = "".join(f'<item id="i{n}" href="text/{name.replace(" ", "%20")}"/>' for n, name in enumerate(chapters))
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(len(chapters)))
    package = (
        f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{spine}</spine></package>'
    )
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="O/b.opf"/></rootfiles></container>',
            "O/b.opf": package,
            **{f"O/text/{name}": text for name, text in sorted(chapters.items(), reverse=True)},
        }
    )


def make_odt(body: str) -> bytes:
    """A text document of this body."""
    return _open_document(f"<office:text>{body}</office:text>")


def make_ods(body: str) -> bytes:
    """A spreadsheet of these tables."""
    return _open_document(f"<office:spreadsheet>{body}</office:spreadsheet>")


def _open_document(body: str) -> bytes:
    names = f'{_ODF} xmlns:xlink="http://www.w3.org/1999/xlink"'
    content = f"<office:document-content {names}><office:body>{body}</office:body></office:document-content>"
    return zipped({"mimetype": "application/vnd.oasis.opendocument", "content.xml": content})


def make_msg(streams: Mapping[str, bytes], folders: Mapping[str, Mapping[str, bytes]] | None = None) -> bytes:
    """A compound file with these streams, and folders with streams, in its root; short ones are padded with zeros."""
    sectors: list[bytes] = []
    chains: list[int] = []

    def add(content: bytes) -> int:
        start, pieces = len(sectors), [content[at : at + 512].ljust(512, b"\0") for at in range(0, len(content), 512)]
        for number, piece in enumerate(pieces, 1):
            sectors.append(piece)
            chains.append(0xFFFFFFFE if number == len(pieces) else start + number)
        return start

    entries = [b""]

    def enter(items: Mapping[str, bytes | Mapping[str, bytes]]) -> int:
        """Add a level of the directory as a list to the right; its first entry."""
        names = sorted(items, key=lambda name: (len(name), name.upper()))
        first = len(entries)
        entries.extend(b"" for _ in names)
        for number, name in enumerate(names):
            item, right = items[name], first + number + 1 if number + 1 < len(names) else 0xFFFFFFFF
            if isinstance(item, bytes):
                start, size = add(item.ljust(4096, b"\0")), max(len(item), 4096)
                entries[first + number] = _entry(name, 2, right=right, start=start, size=size)
            else:
                entries[first + number] = _entry(name, 1, right=right, child=enter(item))
        return first

    entries[0] = _entry("Root Entry", 5, child=enter({**streams, **(folders or {})}), start=0xFFFFFFFE)
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
