"""Damaged, disguised, protected and hostile files fail the node in a word, soon, and without harm to the process."""

import io
import struct
import time
import zipfile

import pytest
from dify_kernel.errors import BadInput, NodeFailed
from dify_kernel.graph.values import File
from dify_kernel.testing.fakes import FakeDocuments
from dify_nodes_document import extraction
from dify_nodes_document.extraction import extract_text

from .builders import make_docx, make_epub, make_msg, make_pdf, make_pptx, make_xlsx, zipped

DOCX = make_docx("a", [["b"]], "c")
XLSX = make_xlsx({"s": [["a"]]})
ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)


async def failure(data, name, mime_type=None):
    extension = f".{name.rpartition('.')[2]}" if "." in name else None
    with pytest.raises(NodeFailed) as caught:
        await extract_text(File(filename=name, extension=extension, mime_type=mime_type), data, FakeDocuments())
    return caught.value


def locked(data):
    """The archive with the flag of encryption set on its parts."""
    out = bytearray(data)
    at = -1
    while (at := out.find(b"PK\x01\x02", at + 1)) >= 0:
        out[at + 8] |= 1
    return bytes(out)


@pytest.mark.parametrize(
    ("name", "mime_type", "message"),
    [
        ("a.exe", "text/plain", "Unsupported Extension Type: .exe"),
        ("a", "image/png", "Unsupported MIME type: image/png"),
        ("a", None, "Unable to determine file type"),
    ],
)
async def test_types_that_are_not_read(name, mime_type, message):
    found = await failure(b"x", name, mime_type)
    assert found.error_type == "UnsupportedFileTypeError"
    assert message in str(found)


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (make_pdf(["x"]), "a.txt", "its content is a PDF"),
        (DOCX, "a.json", "its content is a zip archive"),
        (b"\x00\x01\x02", "a.csv", "its content is binary data"),
        (b"plain words", "a.pdf", "its content is something else"),
        (b"plain words", "a.docx", "its content is something else"),
        (b"plain words", "a.xlsx", "its content is something else"),
        (XLSX, "a.docx", "is not a Word file"),
        (DOCX, "a.xlsx", "it has no part xl/workbook.xml"),
        (DOCX, "a.epub", "it has no part META-INF/container.xml"),
        (DOCX, "a.pptx", "it has no part ppt/presentation.xml"),
        (make_msg({"Workbook": bytes(4096)}), "a.msg", "it is no Outlook message"),
        (make_msg({"EncryptedPackage": bytes(4096)}), "a.docx", "or one with a password"),
        (make_msg({"EncryptedPackage": bytes(4096)}), "a.xlsx", "without a password"),
    ],
)
async def test_files_that_are_not_what_they_say(data, name, message):
    found = await failure(data, name)
    assert found.error_type == "TextExtractionError"
    assert message in str(found)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.4 and nothing more", "a.pdf"),
        (b"", "a.pdf"),
        (DOCX[:-40], "a.docx"),
        (zipped({"[Content_Types].xml": "<x/>", "word/document.xml": "<broken"}), "a.docx"),
        (zipped({"xl/workbook.xml": "<broken"}), "a.xlsx"),
        (zipped({"ppt/presentation.xml": "<broken"}), "a.pptx"),
        (zipped({"META-INF/container.xml": "<container/>"}), "a.epub"),
        (b"{'a': 1}", "a.json"),
        (b"a: [1", "a.yaml"),
        (b"a: !!python/object/apply:os.system ['true']", "a.yaml"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.msg"),
        (b"\x09\x08\x00", "a.xls"),
        (locked(DOCX), "a.docx"),
        (locked(XLSX), "a.xlsx"),
        (locked(make_epub({"a.xhtml": "<p/>"})), "a.epub"),
        (zipped({"META-INF/container.xml": "<c/>", "META-INF/rights.xml": "<r/>"}), "a.epub"),
    ],
)
async def test_damaged_and_protected_files(data, name):
    found = await failure(data, name)
    assert found.error_type == "TextExtractionError"
    assert found.message.startswith("Failed to extract text from ")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"[" * 200_000, "a.json"),
        (b"[" * 200_000, "a.yaml"),
        (make_pptx(["<a:x>" * 1000 + "</a:x>" * 1000]), "a.pptx"),
        (zipped({"ppt/presentation.xml": ENTITIES + "]><x>&j;</x>", "x": ""}), "a.pptx"),
        (zipped({"[Content_Types].xml": ENTITIES + "]><Types>&j;</Types>", "word/document.xml": "<x/>"}), "a.docx"),
        (zipped({"[Content_Types].xml": "<Types/>", "xl/workbook.xml": ENTITIES + "]><x>&j;</x>"}), "a.xlsx"),
    ],
)
async def test_deep_and_swelling_texts_end_soon(data, name):
    begun = time.monotonic()
    try:
        text = await extract_text(File(filename=name, extension=f".{name[2:]}"), data, FakeDocuments())
    except NodeFailed as exc:
        text = exc.message
    assert "aaaaaaaaaa" not in text
    assert time.monotonic() - begun < 20


def bomb(stated=None):
    """An archive whose part is a gigabyte of blanks; its directory may state less."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        with archive.open("[Content_Types].xml", "w", force_zip64=True) as part:
            for _ in range(600):
                part.write(b" " * 1024 * 1024)
    data = bytearray(out.getvalue())
    if stated is not None:
        at = data.rfind(b"PK\x01\x02")
        data[at + 24 : at + 28] = struct.pack("<I", stated)
    return bytes(data)


@pytest.mark.parametrize("stated", [None, 100])
async def test_a_zip_bomb_does_not_go_off(stated):
    found = await failure(bomb(stated), "a.xlsx")
    assert found.error_type == "TextExtractionError"
    if stated is None:
        assert "it unpacks to too much" in found.message


async def test_a_file_over_the_limit_is_not_read(monkeypatch):
    monkeypatch.setattr(extraction, "MAX_INPUT", 3)
    assert "it has 4 bytes, more than 3" in (await failure(b"1234", "a.txt")).message


class Unread(BadInput):
    """As the platform says that it does not read a format."""

    code = "unsupported_file_type"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unread("It needs a converter.", hint="Save it."), "UnsupportedFileTypeError"),
        (BadInput("It is damaged."), "TextExtractionError"),
    ],
)
async def test_what_the_platform_refuses_fails_the_node_with_its_words(error, kind):
    with pytest.raises(NodeFailed, match=error.message) as caught:
        await extract_text(File(filename="a.doc", extension=".doc"), b"x", FakeDocuments(error))
    assert caught.value.error_type == kind
