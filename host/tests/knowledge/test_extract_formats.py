"""What every format gives: how many texts, what stands in them, and where they stood."""

from __future__ import annotations

import io
import struct
import zipfile
from datetime import UTC, datetime
from email.message import EmailMessage
from itertools import pairwise

import docx
import openpyxl
import pytest
from dify_host.knowledge.errors import ExtractionFailed, UnsupportedFileType
from dify_host.knowledge.extract.extractor import Extractor
from dify_host.knowledge.extract.tables import markdown_table
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from hypothesis import given
from hypothesis import strategies as st

from .documents import make_pdf
from .more_documents import make_epub, make_msg, make_ods, make_odt, make_pptx, make_scan, make_xls, zipped

CHINESE = "知识库让应用根据你的文档回答问题，并给出来源。" * 8
JAPANESE = "これは日本語の文書です。ひらがなとカタカナが含まれています。" * 8
LATIN = "Grüße aus Köln: das Café schließt um fünf Uhr, dann gehen die Gäste über die Brücke. " * 4


async def texts(data: bytes, name: str) -> list[str]:
    return [item.text for item in await Extractor().extract(data, name)]


async def one(data: bytes, name: str) -> str:
    (text,) = await texts(data, name)
    return text


# -- sheets ----------------------------------------------------------------------------------------------------------


async def test_links_of_a_workbook_are_markdown() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (["Links"], ["name", "page"], ["Ada", "her page"], ["Bob", "none"]):
        sheet.append(row)
    sheet["B3"].hyperlink = "https://example.com/ada?a=1&b=2"
    book.create_sheet("Empty")
    out = io.BytesIO()
    book.save(out)
    assert await texts(out.getvalue(), "a.xlsx") == [
        '"name":"Ada";"page":"[her page](https://example.com/ada?a=1&b=2)"',
        '"name":"Bob";"page":"none"',
    ]


async def test_a_far_cell_costs_nothing() -> None:
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        '<row r="1"><c r="A1"><v>1</v></c><c r="B1"><v>2</v></c></row>'
        '<row r="1048576"><c r="XFD1048576"><v>3</v></c></row></sheetData></worksheet>'
    )
    book = openpyxl.Workbook()
    out = io.BytesIO()
    book.save(out)
    with zipfile.ZipFile(out) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (text,) = await Extractor().extract(zipped({**parts, "xl/worksheets/sheet1.xml": sheet}), "a.xlsx")
    assert (text.text, text.metadata["row"]) == ('"":"3"', 1_048_576)


@pytest.mark.parametrize("name", ["a.xls", "a.XLS"])
async def test_xls(name: str) -> None:
    data = make_xls([["Prices"], ["name", "price"], ["tea", 2.5], ["milk", 3.0]])
    found = await Extractor().extract(data, name)
    assert [item.text for item in found] == ['"name":"tea";"price":"2.5"', '"name":"milk";"price":"3"']
    assert found[1].metadata["row"] == 4


async def test_a_new_workbook_under_the_old_name_is_read() -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (["a", "b"], [1, True]):
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    assert await texts(out.getvalue(), "a.xls") == ['"a":"1";"b":"True"']


async def test_ods() -> None:
    def cell(text: str, more: str = "") -> str:
        return f"<table:table-cell {more}><text:p>{text}</text:p></table:table-cell>"

    empty = '<table:table-cell table:number-columns-repeated="16380"/>'
    link = '<text:a xlink:href="https://example.com/">page</text:a>'
    rows = (
        f"<table:table-row>{cell('name')}{cell('page')}{empty}</table:table-row>"
        f'<table:table-row table:number-rows-repeated="7"><table:table-cell/></table:table-row>'
        f"<table:table-row>{cell('Ada')}{cell(link)}</table:table-row>"
        f'<table:table-row table:number-rows-repeated="99999999">{empty}</table:table-row>'
    )
    (found,) = await Extractor().extract(make_ods(f'<table:table table:name="S">{rows}</table:table>'), "a.ods")
    assert found.text == '"name":"Ada";"page":"[page](https://example.com/)"'
    assert found.metadata == {"sheet": "S", "row": 9}


# -- texts of offices ------------------------------------------------------------------------------------------------


async def test_docx_keeps_headings_links_and_headers() -> None:
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "ACME"
    document.add_heading("Terms", 2)
    paragraph = document.add_paragraph("See ")
    link = OxmlElement("w:hyperlink")
    link.set(qn("r:id"), document.part.relate_to("https://example.com/", _HYPERLINK, is_external=True))
    run = OxmlElement("w:r")
    words = OxmlElement("w:t")
    words.text = "here"
    run.append(words)
    link.append(run)
    paragraph._p.append(link)
    table = document.add_table(2, 3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "wide"
    table.cell(0, 2).merge(table.cell(1, 2)).text = "high"
    table.cell(1, 0).text = "a\nb"
    inner = table.cell(1, 1).add_table(1, 1)
    inner.cell(0, 0).text = "inner"
    out = io.BytesIO()
    document.save(out)
    assert await one(out.getvalue(), "a.docx") == (
        "ACME\n\n## Terms\nSee [here](https://example.com/)\n"
        "| wide |  | high |\n| --- | --- | --- |\n| a b | inner |  |"
    )


_HYPERLINK = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink"


def said(*runs: str) -> str:
    return "<a:p>" + "".join(f"<a:r><a:t>{run}</a:t></a:r>" for run in runs) + "</a:p>"


async def test_pptx_gives_a_text_a_slide_with_tables_and_notes() -> None:
    cells = "".join(f"<a:tc><a:txBody>{said(text)}</a:txBody></a:tc>" for text in ("A", "B"))
    link = '<a:p><a:r><a:rPr><a:hlinkClick r:id="rLink"/></a:rPr><a:t>page</a:t></a:r></a:p>'
    slides = [
        f"<p:sp><p:txBody>{said('Hel', 'lo')}<a:p/>{link}</p:txBody></p:sp>",
        "<p:sp/>",
        f"<p:graphicFrame><a:tbl><a:tr>{cells}</a:tr></a:tbl></p:graphicFrame>",
    ]
    found = await Extractor().extract(make_pptx(slides, {0: "Say it slowly"}), "a.pptx")
    assert [(item.text, item.metadata["slide"]) for item in found] == [
        ("Hello\n[page](https://example.com/)\n\nNotes:\nSay it slowly", 1),
        ("| A | B |\n| --- | --- |", 3),
    ]


async def test_odt() -> None:
    cells = "".join(f"<table:table-cell><text:p>{text}</text:p></table:table-cell>" for text in "AB")
    body = (
        '<text:h text:outline-level="2">Terms</text:h><text:p>See<text:s/><text:a xlink:href="https://example.com/">'
        "here</text:a>, <text:span>and</text:span> there</text:p><text:list><text:list-item><text:p>one</text:p>"
        f"</text:list-item></text:list><table:table><table:table-row>{cells}</table:table-row></table:table>"
    )
    assert await one(make_odt(body), "a.odt") == (
        "## Terms\nSee [here](https://example.com/), and there\none\n| A | B |\n| --- | --- |"
    )


async def test_rtf() -> None:
    source = (
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\*\generator x;}\f0 Caf\'e9 \b bold\b0\par \u20320?\u22909?}"
    )
    assert await one(source, "a.rtf") == "Café bold\n你好"


async def test_epub_gives_a_text_a_chapter() -> None:
    chapters = {
        "b 1.xhtml": "<html><head><title>no</title></head><body><h1>One</h1><p>It was.</p></body></html>",
        "empty.xhtml": "<body><img src='x.png'/></body>",
        "a2.xhtml": "<body><p>Then<br/>more</p><script>x()</script></body>",
    }
    found = await Extractor().extract(make_epub(chapters), "a.epub")
    assert [(item.text, item.metadata["chapter"]) for item in found] == [("One\n\nIt was.", 1), ("Then\nmore", 3)]


# -- messages --------------------------------------------------------------------------------------------------------


def message(plain: str | None = None, page: str | None = None) -> EmailMessage:
    found = EmailMessage()
    found["Subject"], found["From"], found["To"] = "Grüße aus Köln", "Ada <ada@example.com>", "bob@example.com"
    found["Date"] = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    if plain is not None:
        found.set_content(plain)
    if page is not None:
        (found.add_alternative if plain is not None else found.set_content)(page, subtype="html")
    found.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="x.pdf")
    return found


HEAD = (
    "Subject: Grüße aus Köln\nFrom: Ada <ada@example.com>\nTo: bob@example.com\n"
    "Date: Mon, 06 May 2024 07:08:09 +0000\n\n"
)


async def test_eml() -> None:
    assert await one(message("Plain é\n", "<p>No</p>").as_bytes(), "a.eml") == f"{HEAD}Plain é\n\nAttachments: x.pdf"
    assert await one(message(page="<p>Just <b>this</b></p>").as_bytes(), "a.eml") == (
        f"{HEAD}Just this\n\nAttachments: x.pdf"
    )
    (found,) = await Extractor().extract(message("x").as_bytes(), "a.eml")
    assert found.metadata["subject"] == "Grüße aus Köln"


@pytest.mark.parametrize(("charset", "body"), [("gb18030", CHINESE), ("shift_jis", JAPANESE), ("iso-8859-1", LATIN)])
async def test_eml_in_the_charset_that_it_names(charset: str, body: str) -> None:
    head = f"Subject: x\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: 8bit\n\n"
    assert await one(head.encode() + body.encode(charset), "a.eml") == f"Subject: x\n\n{body.strip()}"
    lied = head.replace(charset, "made-up")
    assert await one(lied.encode() + body.encode(charset), "a.eml") == f"Subject: x\n\n{body.strip()}"


async def test_msg() -> None:
    sent = int((datetime(2024, 5, 6, tzinfo=UTC) - datetime(1601, 1, 1, tzinfo=UTC)).total_seconds()) * 10_000_000
    streams = {
        "__properties_version1.0": bytes(32) + struct.pack("<IIQ", 0x00390040, 6, sent),
        **{
            f"__substg1.0_{name}001F": text.encode("utf-16-le")
            for name, text in {"0037": "Grüße", "0C1A": "Ada", "5D01": "ada@example.com", "0E04": "Bob"}.items()
        },
        "__substg1.0_1000001F": "The body".encode("utf-16-le"),
    }
    attachment = {"__attach_version1.0_#00000000": {"__substg1.0_3707001F": "x.pdf".encode("utf-16-le")}}
    assert await one(make_msg(streams, attachment), "a.msg") == (
        "Subject: Grüße\nFrom: Ada <ada@example.com>\nTo: Bob\nDate: 2024-05-06 00:00:00+00:00\n\n"
        "The body\n\nAttachments: x.pdf"
    )
    page = {"__properties_version1.0": bytes(32), "__substg1.0_10130102": b"<p>Just this</p>"}
    assert await one(make_msg(page), "a.msg") == "Just this"
    with pytest.raises(UnsupportedFileType, match="no Outlook message"):
        await texts(make_msg({"Workbook": b"x"}), "a.msg")


# -- data ------------------------------------------------------------------------------------------------------------


async def test_xml_gives_a_line_an_element_under_its_name() -> None:
    source = (
        '<?xml version="1.0"?><!-- no --><r xmlns:n="urn:n"><n:item id="1"><name>Tea</name><note>very <b>hot</b>, '
        'strong</note></n:item><item><empty/><name lang="de">Kaffee</name></item></r>'
    )
    assert await one(source.encode(), "a.xml") == (
        "item (id=1)\nname: Tea\nnote: very hot, strong\n\nname (lang=de): Kaffee"
    )


@pytest.mark.parametrize(
    ("declared", "encoding", "text"),
    [
        ("gb2312", "gb2312", "知识库"),
        ("Shift_JIS", "shift_jis", "日本語"),
        ("ISO-8859-1", "iso-8859-1", "Köln"),
        ("UTF-16", "utf-16", "知识库"),
        ("UTF-8", "gb18030", CHINESE),
    ],
)
async def test_xml_in_the_encoding_that_it_declares_or_has(declared: str, encoding: str, text: str) -> None:
    source = f'<?xml version="1.0" encoding="{declared}"?><r>{text}</r>'
    assert await one(source.encode(encoding), "a.xml") == f"r: {text}"


async def test_json_gives_a_text_an_item_of_its_list() -> None:
    found = await Extractor().extract('[{"ä":[1]}, "two", 3]'.encode(), "a.json")
    assert [(item.text, item.metadata["item"]) for item in found] == [
        ('{\n  "ä": [\n    1\n  ]\n}', 1),
        ("two", 2),
        ("3", 3),
    ]
    assert await texts(b'{"a": null}', "a.json") == ['{\n  "a": null\n}']


async def test_jsonl_gives_a_text_a_line_and_names_the_bad_one() -> None:
    assert await texts(b'{"a": 1}\r\n\n"b"\n', "a.jsonl") == ['{\n  "a": 1\n}', "b"]
    with pytest.raises(ExtractionFailed, match="Line 2 "):
        await texts(b"1\n{\n3", "a.jsonl")


# -- encodings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        *(
            ("gb18030", CHINESE),
            ("big5", "知識庫讓應用根據你的文件回答問題，並給出來源。" * 8),
            ("shift_jis", JAPANESE),
        ),
        *(("euc-jp", JAPANESE), ("iso-8859-1", LATIN), ("utf-16", CHINESE), ("utf-16", LATIN), ("utf-8-sig", CHINESE)),
        *(("utf-16-le", LATIN), ("utf-16-be", LATIN)),
    ],
)
async def test_encodings_are_found_out(encoding: str, text: str) -> None:
    assert await one(text.encode(encoding), "a.txt") == text
    assert await one(f"<p>{text}</p>".encode(encoding), "a.html") == text.strip()
    assert await texts(f'a,b\n1,"{text}"\n'.encode(encoding), "a.csv") == [f"a: 1;b: {text.strip()}"]


# -- pdf -------------------------------------------------------------------------------------------------------------


async def test_a_pdf_of_pictures_only_says_that_it_is_scanned() -> None:
    with pytest.raises(ExtractionFailed, match="no text layer: 3 of its 3 pages are scanned") as caught:
        await texts(make_scan(3), "a.pdf")
    assert "OCR" in caught.value.hint


async def test_a_pdf_without_anything_is_empty() -> None:
    found = await Extractor().extract(make_pdf([""]), "a.pdf")
    assert [(item.text, item.metadata) for item in found] == [("", {"page": 1})]


# -- tables ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.text(max_size=8), max_size=4), max_size=5))
def test_a_table_has_a_line_a_row_and_as_many_cells_in_each(rows: list[list[str]]) -> None:
    table = markdown_table(rows)
    if not any(text.split() for row in rows for text in row):
        assert table == ""
        return
    lines = table.split("\n")
    assert len(lines) == len(rows) + 1
    counts = [line.replace("\\|", "").count("|") for line in lines]
    assert all(a == b for a, b in pairwise(counts))
