"""Makes several hundred files that mean harm or are broken, the same ones each time."""

from __future__ import annotations

import functools
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator

from .good_documents import WORD, good_documents
from .more_documents import make_epub, make_msg, make_ods, make_odt, make_pptx, make_scan, zipped

__all__ = ["Hostile", "hostile_files"]

#: What the case is, the extension of its name, and its bytes.
Hostile = tuple[str, str, bytes]

_SEED = 20_240_517
_MIB = 1024 * 1024
_LAUGHS = '<!DOCTYPE x [<!ENTITY a "haha">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)
_ENTITIES = {
    "laughs": (_LAUGHS + "]>", "&j;"),
    "square": (f'<!DOCTYPE x [<!ENTITY a "{"a" * 50_000}">]>', "&a;" * 50_000),
    "file": ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>', "&a;"),
    "web": ('<!DOCTYPE x [<!ENTITY a SYSTEM "http://127.0.0.1:9/">]>', "&a;"),
    "parameter": ('<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>', "x"),
    "deep": ("", "<a>" * 50_000 + "</a>" * 50_000),
    "wide": ("", "<a/>" * 300_000),
}
#: By extension: the parts around the one that is attacked, its name, and what stands around the attack.
_HOSTS: dict[str, tuple[dict[str, str], str, str, str]] = {
    "docx": ({"[Content_Types].xml": "<Types/>"}, "word/document.xml", "<w>", "</w>"),
    "xlsx": ({"[Content_Types].xml": "<Types/>"}, "xl/workbook.xml", "<w>", "</w>"),
    "pptx": ({"[Content_Types].xml": "<Types/>"}, "ppt/presentation.xml", "<p>", "</p>"),
    "epub": ({}, "META-INF/container.xml", "<c>", "</c>"),
    "odt": ({}, "content.xml", "<o>", "</o>"),
    "ods": ({}, "content.xml", "<o>", "</o>"),
}


@functools.cache
def hostile_files() -> list[Hostile]:
    """All of them."""
    chance = random.Random(_SEED)
    good = good_documents()
    return [
        *_cut(good, chance),
        *_damaged(good, chance),
        *_disguised(good, chance),
        *_entities(),
        *_bombs(good),
        *_archives(good),
        *_sheets(),
        *_pdfs(),
        *_mails(),
        *_texts(),
    ]


def _cut(good: dict[str, bytes], chance: random.Random) -> Iterator[Hostile]:
    for extension, data in good.items():
        for length in (0, 1, 7, *(chance.randrange(8, len(data)) for _ in range(3)), len(data) - 1):
            yield f"cut at {length}", extension, data[:length]


def _damaged(good: dict[str, bytes], chance: random.Random) -> Iterator[Hostile]:
    for extension, data in good.items():
        for number in range(3):
            content = bytearray(data)
            for _ in range(1 + len(content) // 200):
                content[chance.randrange(len(content))] = chance.randrange(256)
            yield f"damaged {number}", extension, bytes(content)
        middle = len(data) // 2
        yield "with itself inside", extension, data[:middle] + data + data[middle:]


def _disguised(good: dict[str, bytes], chance: random.Random) -> Iterator[Hostile]:
    for extension, data in good.items():
        for other in chance.sample(sorted(set(good) - {extension}), 3):
            yield f"{extension} under a wrong name", other, data


def _entities() -> Iterator[Hostile]:
    for name, (head, body) in _ENTITIES.items():
        yield f"entities: {name}", "xml", f"{head}<x>{body}</x>".encode()
        for extension, (parts, attacked, before, after) in _HOSTS.items():
            yield f"entities: {name}", extension, zipped({**parts, attacked: f"{head}{before}{body}{after}"})


def _bombs(good: dict[str, bytes]) -> Iterator[Hostile]:
    for extension, (parts, attacked, _, _) in _HOSTS.items():
        yield "dense part", extension, zipped({**parts, attacked: b" " * 64 * _MIB})
    dense = zipped({"[Content_Types].xml": "<Types/>", "word/document.xml": b" " * 40 * _MIB})
    for place in (dense.rfind(b"PK\x01\x02") + 24, dense.find(b"PK\x03\x04") + 22):
        yield "a part that lies about its size", "docx", dense[:place] + struct.pack("<I", 100) + dense[place + 4 :]
    inner = zipped({"a": b"0" * 10 * _MIB})
    for _ in range(4):
        inner = zipped({f"{n}.zip": inner for n in range(10)})
    yield "archives in archives", "docx", zipped({"[Content_Types].xml": "<Types/>", "word/document.xml": inner})
    many = {f"word/{n}.xml": "" for n in range(20_500)}
    yield "many parts", "docx", zipped({"[Content_Types].xml": "<Types/>", **many})
    yield "parts that overlap", "docx", _overlapping()
    docx, xlsx = good["docx"], good["xlsx"]
    yield "an archive in front of an archive", "docx", xlsx + docx
    stream = zlib.compress(b"0 0 m " * 10_000_000, 9)
    yield "a stream that swells", "pdf", _document(_stream(stream, "/Filter /FlateDecode"))


def _overlapping() -> bytes:
    """Fifty names in the directory that all point to the same ten megabytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"x" * 10 * _MIB)
        original = archive.getinfo("word/document.xml")
        for number in range(50):
            copy = zipfile.ZipInfo(f"word/{number}.xml")
            for name in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
                setattr(copy, name, getattr(original, name))
            archive.filelist.append(copy)
            archive.NameToInfo[copy.filename] = copy
        archive._didModify = True  # type: ignore[attr-defined]
    return out.getvalue()


def _archives(good: dict[str, bytes]) -> Iterator[Hostile]:
    """Parts that are missing, point outside, or have a password."""
    for extension in _HOSTS:
        data = good[extension]
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        for missing in list(parts)[:6]:
            yield f"without {missing}", extension, zipped({k: v for k, v in parts.items() if k != missing})
        yield "empty parts", extension, zipped(dict.fromkeys(parts, b""))
        yield "paths that leave", extension, zipped({**parts, "../../../tmp/evil": "x", "/etc/evil": "x"})
        locked, at = bytearray(data), -1
        while (at := locked.find(b"PK\x01\x02", at + 1)) >= 0:
            locked[at + 8] |= 1
        yield "password on its parts", extension, bytes(locked)
        yield "password on the whole", extension, make_msg({"EncryptedPackage": b"x", "EncryptionInfo": b"x"})
    outside = '<container><rootfiles><rootfile full-path="../../../etc/passwd"/></rootfiles></container>'
    yield "a book outside", "epub", zipped({"META-INF/container.xml": outside})
    yield "a chapter outside", "epub", make_epub({"../../../../etc/passwd": "<p>x</p>"})
    yield "a thousand times one chapter", "epub", _repeated_chapter()
    yield "a slide outside", "pptx", make_pptx(["<p:sp/>"]).replace(b"slides/slide1.xml", b"../../etc/passwd1")
    manifest = "<manifest><encryption-data/></manifest>"
    yield "password", "odt", zipped({"content.xml": "x", "META-INF/manifest.xml": manifest})


def _repeated_chapter() -> bytes:
    with zipfile.ZipFile(io.BytesIO(make_epub({"a.xhtml": f"<p>{WORD * 100}</p>"}))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    spine = b'<itemref idref="i0"/>'
    return zipped({**parts, "O/b.opf": parts["O/b.opf"].replace(spine, spine * 100_000)})


def _sheets() -> Iterator[Hostile]:
    def sheet(rows: str) -> bytes:
        names = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
        with zipfile.ZipFile(io.BytesIO(good_documents()["xlsx"])) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        content = f'<worksheet {names}><dimension ref="A1:XFD1048576"/><sheetData>{rows}</sheetData></worksheet>'
        return zipped({**parts, "xl/worksheets/sheet1.xml": content})

    far = '<c r="XFD{n}" t="inlineStr"><is><t>x</t></is></c>'
    yield "one far cell", "xlsx", sheet(f'<row r="1048576">{far.format(n=1_048_576)}</row>')
    yield "far cells", "xlsx", sheet("".join(f'<row r="{n}">{far.format(n=n)}</row>' for n in range(1, 3000)))
    yield "a cell past the end", "xlsx", sheet('<row r="99999999999"><c r="ZZZZ99999999999"><v>1</v></c></row>')
    yield "a huge cell", "xlsx", sheet(f'<row><c t="inlineStr"><is><t>{"x" * 9 * _MIB}</t></is></c></row>')
    yield "no string of that number", "xlsx", sheet('<row><c t="s"><v>99999999</v></c></row>')
    yield "dates that are none", "xlsx", sheet('<row><c t="d"><v>never</v></c><c t="n"><v>1e999</v></c></row>')
    cell = '<table:table-cell table:number-columns-repeated="999999999"><text:p>x</text:p></table:table-cell>'
    row = f'<table:table-row table:number-rows-repeated="999999999">{cell}</table:table-row>'
    yield "repeated cells", "ods", make_ods(f"<table:table>{row * 50}</table:table>")
    yield "a number that is none", "ods", make_ods(f"<table:table>{row.replace('999999999', '-1')}</table:table>")
    spans = '<table:table-cell table:number-columns-repeated="²"><text:p>x</text:p></table:table-cell>'
    yield (
        "a digit that is none",
        "ods",
        make_ods(f"<table:table><table:table-row>{spans}</table:table-row></table:table>"),
    )
    opened = "<table:table><table:table-row><table:table-cell>" * 60
    closed = "</table:table-cell></table:table-row></table:table>" * 60
    yield "tables in tables", "odt", make_odt(f"{opened}<text:p>x</text:p>{closed}")
    records = struct.pack("<HHHH", 0x0009, 4, 0, 0x0010)
    yield "a record that is longer than the file", "xls", records + struct.pack("<HH", 0x0004, 0xFFFF) + b"x"
    yield "a far cell", "xls", records + struct.pack("<HHHH3xd", 0x0003, 15, 65535, 255, 1.0)


def _pdf(objects: list[bytes]) -> bytes:
    """A PDF of these objects, numbered from 1."""
    out, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    trailer = b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R >>\n" % (size, table, size)
    return out + trailer + b"startxref\n%d\n%%%%EOF" % len(out)


def _stream(content: bytes, more: str = "") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), more.encode(), content)


def _document(*objects: bytes, resources: str = "<< >>", count: int = 1, kids: str = "3 0 R") -> bytes:
    first = b"<< /Type /Catalog /Pages 2 0 R >>"
    pages = f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode()
    page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources {resources} >>".encode()
    return _pdf([first, pages, page, *objects])


def _pdfs() -> Iterator[Hostile]:
    empty = _stream(b"")
    yield "pages that hold themselves", "pdf", _document(empty, kids="2 0 R")
    yield "pages that hold each other", "pdf", _document(empty, kids="2 0 R 3 0 R 2 0 R", count=9)
    for count in (-1, 1000, 1_000_000, 2**31 - 1, 2**40):
        yield f"a count of {count}", "pdf", _document(empty, count=count)
    form = "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F 5 0 R >> >>"
    drawn = _stream(b"/F Do " * 50, form)
    yield (
        "a drawing that draws itself",
        "pdf",
        _document(_stream(b"/F Do"), drawn, resources="<< /XObject << /F 5 0 R >> >>"),
    )
    picture = "/Type /XObject /Subtype /Image /ColorSpace /DeviceRGB /BitsPerComponent 8 /Width {n} /Height {n}"
    for size in (100_000, 2**31 - 1):
        image = _stream(b"x", picture.format(n=size))
        yield (
            f"a picture of {size} points",
            "pdf",
            _document(_stream(b"/F Do"), image, resources="<< /XObject << /F 5 0 R >> >>"),
        )
    yield "a length that is itself", "pdf", _document(b"<< /Length 4 0 R >>\nstream\nx\nendstream")
    yield "arrays in arrays", "pdf", _document(b"[" * 100_000 + b"]" * 100_000)
    yield "filters on filters", "pdf", _document(_stream(b"x" * 99, f"/Filter [{'/FlateDecode ' * 5000}]"))
    swollen = zlib.compress(zlib.compress(b"BT /F 1 Tf (x) Tj ET " * 4_000_000, 9), 9)
    yield "a stream that swells twice", "pdf", _document(_stream(swollen, "/Filter [/FlateDecode /FlateDecode]"))
    font = "<< /Font << /F << /Type /Font /Subtype /TrueType /BaseFont /A /FontDescriptor 5 0 R >> >> >>"
    yield (
        "a font that is none",
        "pdf",
        _document(
            _stream(b"BT /F 1 Tf (x) Tj ET"),
            b"<< /Type /FontDescriptor /FontName /A /Flags 4 /FontFile2 6 0 R >>",
            _stream(b"\0\1\0\0\xff\xff" + b"glyf" * 50_000),
            resources=font,
        ),
    )
    yield "scans", "pdf", make_scan(2)
    good = good_documents()["pdf"]
    yield "a table that points to itself", "pdf", good[: good.rfind(b"startxref")] + b"startxref\n9\n%%EOF"
    loop = good.replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev %d" % good.rfind(b"xref\n0"))
    yield "tables that follow each other", "pdf", loop
    keys = b"/V 1 /R 2 /P -4 /O (%s) /U (%s)" % (b"o" * 32, b"u" * 32)
    lock = b"/ID [<00><00>] /Encrypt << /Filter /Standard %s >>" % keys
    yield "password", "pdf", good.replace(b"/Root 1 0 R", b"/Root 1 0 R " + lock)


def _mails() -> Iterator[Hostile]:
    def part(n: int) -> str:
        return f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n'

    yield "parts in parts", "eml", "".join(part(n) for n in range(10_000)).encode()
    yield "messages in messages", "eml", b"Content-Type: message/rfc822\n\n" * 10_000
    flat = "--b\nContent-Type: text/plain\n\nx\n" * 10_000
    yield "many parts", "eml", f'Content-Type: multipart/mixed; boundary="b"\n\n{flat}--b--\n'.encode()
    yield "a charset that is a lie", "eml", b"Content-Type: text/plain; charset=utf-7\n\n+AGEAYg\xff"
    yield "a codec that is no charset", "eml", b"Content-Type: text/plain; charset=zip\n\nabc"
    yield "a header that never ends", "eml", b"Subject: " + b"=?utf-8?b?" * 200_000
    yield "many addresses", "eml", b"To: " + b"a@example.com, " * 50_000 + b"\n\nx"
    yield "brackets in addresses", "eml", b"From: " + b"(" * 100_000 + b"\n\nx"
    yield "base64 that is none", "eml", b"Content-Transfer-Encoding: base64\n\n" + b"=" * 100_000
    yield "no message", "eml", b"\n\n"
    yield "a loop of streams", "msg", make_msg({"__properties_version1.0": b"x"})[:1024] + b"\0" * 5000


def _texts() -> Iterator[Hostile]:
    yield "a quote that is never closed", "csv", b'a,b\n"' + b"x,y\n" * 100_000
    yield "one line", "csv", b"a," * 500_000
    yield "a row of millions under a header", "csv", b"a,b\n" + b"," * 2_000_000 + b"1\n"
    yield "zeros inside", "csv", b"a,b\n" * 5000 + b"\0" * 5000
    yield "zeros inside", "txt", b"a" * 10_000 + b"\0" * 10_000
    yield "zeros alone", "txt", b"\0" * 10_000
    for number, mark in enumerate((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xff\xfe\0\0")):
        yield f"a mark that lies {number}", "txt", mark + b"just text\xff!" * 99
        yield f"a mark that lies {number}", "html", mark + b"<p>just text\xff!" * 99
    for name in ("utf-7", "utf-16", "zip", "idna", "rot13", "made-up", "cp037"):
        yield f"charset {name}", "html", f'<meta charset="{name}"><p>'.encode() + b"text \xe4\xff" * 50
        yield f"encoding {name}", "xml", f'<?xml version="1.0" encoding="{name}"?><r>'.encode() + b"\xe4</r>"
    yield "elements in elements", "html", b"<div>" * 30_000
    yield "attributes", "html", b"<p " + b"a=1 " * 200_000 + b">"
    yield "comments that never end", "html", b"<!--" * 200_000
    yield "half tags", "html", b"<a <" * 100_000
    yield "half links", "md", b"[" * 200_000 + b"](" * 200_000
    yield "half tags", "md", b"<a" * 300_000
    yield "rungs", "json", b"[" * 500_000
    yield "a long number", "json", b"9" * 500_000
    yield "rungs", "jsonl", b'{"a":' * 300_000
    yield "groups in groups", "rtf", b"{\\rtf1 " + b"{" * 500_000
    yield "a long word", "rtf", b"{\\rtf1 \\" + b"a" * 500_000
    yield "characters that are none", "rtf", b"{\\rtf1 \\u99999999?\\u-99999?\\'zz\\bin99999999999 x}"
