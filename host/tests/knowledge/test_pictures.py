"""Pictures in documents: stored beside it, linked in its segments, gone with it; hostile ones cost nothing."""

from __future__ import annotations

import base64
import io
import re
import struct
import zipfile
import zlib

import pytest
import sqlalchemy as sa
from dify_host.files.tables import upload_files
from dify_host.knowledge.documents import DocumentOptions, DocumentText
from dify_host.knowledge.extract.extractor import Extractor
from dify_host.knowledge.extract.pictures import Pictures, kind_of, marker
from dify_host.knowledge.tables import segment_attachment_bindings
from docx import Document
from docx.shared import Inches
from hypothesis import given
from hypothesis import strategies as st

from .hostile import _document, _stream
from .house import House, custom_rule
from .more_documents import make_epub, make_pptx, zipped
from .test_indexing import upload

JPEG = b"\xff\xd8\xff\xe0" + bytes(200) + b"\xff\xd9"
BLIP = '<p:pic><p:blipFill><a:blip r:embed="rPic"/></p:blipFill></p:pic>'
SHAPE = "<p:sp><a:p><a:r><a:t>A wheel</a:t></a:r></a:p></p:sp>"


def png(color: int, side: int = 2) -> bytes:
    """A picture of one grey."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes([color]) * side) * side)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", rows) + part(b"IEND", b"")


def docx(*colors: int) -> bytes:
    """A paragraph and a picture for each color."""
    document = Document()
    for color in colors:
        document.add_paragraph(f"Color {color}")
        document.add_picture(io.BytesIO(png(color)), width=Inches(1))
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def pptx() -> bytes:
    """A slide with a text and a picture, whose relation leads to a part beside the slides."""
    out = io.BytesIO(make_pptx([SHAPE + BLIP]))
    with zipfile.ZipFile(out) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    rels = next(name for name in parts if name.startswith("ppt/slides/_rels/"))
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/image"
    link = f'<Relationship Id="rPic" Type="{kind}" Target="../media/a.png"/>'.encode()
    parts[rels] = parts[rels].replace(b"</Relationships>", link + b"</Relationships>")
    parts["ppt/media/a.png"] = png(7)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


def epub() -> bytes:
    """A chapter with a picture from the folder above, one from its own, one that is missing; a cover that is drawn."""
    chapters = {
        "cover.svg": '<svg xmlns="http://www.w3.org/2000/svg"><image xlink:href="a%20b.png"/></svg>',
        "one.xhtml": "<p>A wheel <img src='../a.png' alt='a [wheel]'/><img src='a b.png#x'/><img src='gone.png'/></p>",
    }
    with zipfile.ZipFile(io.BytesIO(make_epub(chapters))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    return zipped({**parts, "O/a.png": png(1), "O/text/a b.png": png(2)})


def pdf(side: int = 64) -> bytes:
    """A page with a line and a photograph."""
    page = _stream(b"BT /F 9 Tf 1 1 Td (A wheel) Tj ET q 9 0 0 9 0 0 cm /P Do Q")
    image = f"/Type /XObject /Subtype /Image /Width {side} /Height {side} /BitsPerComponent 8 /ColorSpace /DeviceRGB"
    photograph = _stream(JPEG, f"{image} /Filter /DCTDecode")
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    return _document(page, photograph, font, resources="<< /XObject << /P 5 0 R >> /Font << /F 6 0 R >> >>")


@pytest.mark.parametrize(
    ("name", "data", "count"),
    [("a.docx", docx(1, 2, 1), 2), ("a.pptx", pptx(), 1), ("a.pdf", pdf(), 1), ("a.epub", epub(), 2)],
)
async def test_pictures_are_read_with_their_places(name: str, data: bytes, count: int) -> None:
    texts, pictures, _ = await Extractor().illustrated(data, name)
    assert len(pictures) == count
    text = "\n".join(item.text for item in texts)
    assert all(f"](picture:{picture.digest})" in text for picture in pictures)
    assert {picture.data for picture in pictures} <= {png(1), png(2), png(7), JPEG}
    plain = await Extractor().extract(data, name)
    assert "![image]" not in "".join(item.text for item in plain)  # for nodes it is the words alone
    bare = re.sub(r"!\[[^]]*\]\(picture:[0-9a-f]{64}\)", "", text)
    assert bare.split() == "\n".join(item.text for item in plain).split()


async def test_the_pictures_of_a_book_stand_where_it_shows_them() -> None:
    texts, (drawn, wheel), _ = await Extractor().illustrated(epub(), "a.epub")
    assert (drawn.data, wheel.data) == (png(2), png(1))
    second = f"A wheel {marker(wheel.digest, 'a (wheel)')}{marker(drawn.digest)}"
    assert [(item.text, item.metadata) for item in texts] == [
        (marker(drawn.digest), {"chapter": 1}),
        (second, {"chapter": 2}),
    ]


async def test_a_picture_that_is_written_out_in_markdown_is_no_text() -> None:
    written = base64.b64encode(png(3)).decode()
    source = f"# One\nSee ![a wheel](data:image/png;base64,{written}) and ![](data:image/svg+xml;base64,PHN2Zz4=) it.\n"
    code = f"```\n![x](data:image/png;base64,{written})\n```"
    broken = "\n![odd](data:image/png;base64,A)"
    texts, (picture,), _ = await Extractor().illustrated((source + code + broken).encode(), "a.md")
    assert picture.data == png(3)
    assert [item.text for item in texts] == [f"One\nSee a wheel {marker(picture.digest)} and  it.\n{code}\nodd"]
    (plain,) = await Extractor().extract(source.encode(), "a.md")
    assert plain.text == "One\nSee a wheel and  it."


async def test_ornaments_and_what_is_no_picture_stay_out() -> None:
    _, pictures, _ = await Extractor().illustrated(pdf(side=8), "a.pdf")
    assert pictures == []
    found = Pictures()
    for data in (b"", b"<svg xmlns='x'/>", b"MZ\x90", b"%PDF-", png(1) + bytes(2 * 1024 * 1024)):
        assert found.add(data) == ""
    marks = {found.add(png(color, side)) for color in range(250) for side in (1, 2)}
    assert (len(found.found), len(marks - {""})) == (200, 200)


@given(st.binary(max_size=40))
def test_the_kind_is_what_the_bytes_say(data: bytes) -> None:
    assert kind_of(data) in ("", "png", "jpg", "gif", "webp")
    assert kind_of(b"\xff\xd8\xff" + data) == "jpg"


async def stored(house: House) -> list[str]:
    """The keys of all pictures, by the rows; the storage has the same."""
    query = sa.select(upload_files.c.key).where(upload_files.c.key.startswith("image_files/"))
    async with house.db.read() as conn:
        rows = sorted((await conn.execute(query)).scalars())
    assert rows == [entry.key async for entry in house.storage.scan("image_files/")]
    return rows


async def test_pictures_are_linked_attached_kept_and_gone_with_their_document(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset()
    options = DocumentOptions(process_rule=custom_rule(separator="Color", max_tokens=500))
    file_id = await upload(house, "colors.docx", docx(1, 2, 1))
    made = await house.documents.create_by_file(dataset.id, file_id, options, house.user)
    place = dataset.id, made.document.id
    await house.work()
    segments = (await house.segments.find(*place)).data
    first, second, third = segments
    assert first.content.splitlines()[-1] == third.content.splitlines()[-1] != second.content.splitlines()[-1]
    for item in segments:
        (attached,) = item.attachments
        assert f"![image](/files/{attached['id']}/file-preview)" in item.content
        assert (attached["extension"], attached["mime_type"]) == ("png", "image/png")
    keys = await stored(house)
    assert len(keys) == 2
    assert sorted([await house.storage.load(key) for key in keys]) == sorted([png(1), png(2)])

    again = await upload(house, "colors.docx", docx(2, 3))
    await house.documents.update_by_file(*place, again, house.user)
    await house.work()
    assert sorted([await house.storage.load(key) for key in await stored(house)]) == sorted([png(2), png(3)])
    await house.documents.update_by_text(*place, DocumentText(name="n", text="Words"), house.user)
    await house.work()
    assert await stored(house) == []

    await house.documents.update_by_file(*place, await upload(house, "c.docx", docx(4)), house.user)
    await house.work()
    assert len(await stored(house)) == 1
    await house.documents.delete(*place)
    assert await stored(house) == []
    last = await house.documents.create_by_file(dataset.id, await upload(house, "c.docx", docx(5)), options, house.user)
    await house.work()
    assert last.document.id
    await house.datasets.delete(dataset.id)
    assert await stored(house) == []
    async with house.db.read() as conn:
        assert (await conn.execute(sa.select(segment_attachment_bindings))).all() == []


async def test_pictures_of_a_document_that_is_deleted_meanwhile_do_not_stay(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset()
    options = DocumentOptions(process_rule=custom_rule())
    file_id = await upload(house, "c.docx", docx(1, 2, 3))
    made = await house.documents.create_by_file(dataset.id, file_id, options, house.user)
    save, calls = house.storage.save, 0

    async def saving(key: str, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            await house.documents.delete(dataset.id, made.document.id)
        await save(key, data)

    house.storage.save = saving  # type: ignore[method-assign,assignment]
    await house.work()
    assert calls == 2
    assert await stored(house) == []
    assert await house.left() == []


async def test_a_link_that_a_text_brings_along_attaches_nothing(house: House) -> None:
    dataset = await house.dataset()
    foreign = await upload(house, "secret.txt", b"secret")
    document_id = await house.add(dataset.id, f"Look ![image](/files/{foreign}/file-preview)")
    (segment,) = (await house.segments.find(dataset.id, document_id)).data
    assert segment.attachments == []
    assert segment.sign_content == segment.content
