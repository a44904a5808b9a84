"""Reading documents of every format, and refusing what is not one."""

from __future__ import annotations

import asyncio
import io
import os
import zipfile
from pathlib import Path

import psutil
import pytest
from dify_host.knowledge.errors import ExtractionFailed, UnsupportedFileType
from dify_host.knowledge.extract.extractor import ExtractLimits, Extractor
from dify_host.knowledge.extract.formats import EXTENSIONS
from dify_host.knowledge.extract.text import decode
from dify_kernel.errors import BadInput, TooLarge
from hypothesis import given, settings
from hypothesis import strategies as st

from .documents import make_docx, make_pdf, make_xlsx


async def read(data: bytes, name: str, limits: ExtractLimits | None = None) -> list[str]:
    return [item.text for item in await Extractor(limits).extract(data, name)]


async def test_plain_text_in_any_encoding() -> None:
    assert await read("héllo\r\nwörld".encode(), "a.txt") == ["héllo\nwörld"]
    assert await read("héllo".encode("utf-16"), "a.TXT") == ["héllo"]
    latin = "Die Straße führt über die Brücke zum schönen Gärtchen. Größere Füße müssen später übernachten." * 3
    assert await read(latin.encode("latin-1"), "a.properties") == [latin]
    chinese = "知识库是一种可以检索的文档集合，它把文本切成小段。" * 10
    assert await read(chinese.encode("gb18030"), "a.vtt") == [chinese]


async def test_markdown_gives_a_text_a_section() -> None:
    source = "intro <b>bold</b>\n# One\nfirst\n```\n# not a heading <b>\n```\n## Two ##\nsecond\n# Empty"
    assert await read(source.encode(), "a.md") == [
        "intro bold",
        "One\nfirst\n```\n# not a heading <b>\n```",
        "Two\nsecond",
        "Empty",
    ]


async def test_html_gives_visible_text_a_line_a_block() -> None:
    page = (
        "<html><head><title>T</title><style>x{}</style></head><body><p>one <b>two</b></p><p>three</p>"
        "<script>alert(1)</script><table><tr><td>a</td><td>b</td></tr></table>x<br>y</body></html>"
    )
    (text,) = await read(page.encode(), "a.html")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines == ["T", "one two", "three", "a b", "x", "y"]


async def test_html_in_the_encoding_that_it_names() -> None:
    assert await read('<meta charset="windows-1251"><p>Привет'.encode("windows-1251"), "a.htm") == ["Привет"]


async def test_pdf_gives_a_text_a_page() -> None:
    texts = await Extractor().extract(make_pdf(["The first page", "The second page"]), "a.pdf")
    assert [(item.text.strip(), item.metadata) for item in texts] == [
        ("The first page", {"page": 1}),
        ("The second page", {"page": 2}),
    ]


async def test_docx_gives_paragraphs_and_tables_in_order() -> None:
    (text,) = await read(make_docx(["Hello", "World"], [["name", "price"], ["tea", "2|3"]]), "a.docx")
    assert text == "Hello\nWorld\n| name | price |\n| --- | --- |\n| tea | 2\\|3 |\n\nEnd"


async def test_xlsx_gives_a_text_a_row() -> None:
    rows: list[list[object]] = [["Price list", None], ["name", "price"], ["tea", 2.5], [None, None], ['"x"', None]]
    texts = await Extractor().extract(make_xlsx(rows), "a.xlsx")
    assert [item.text for item in texts] == ['"name":"tea";"price":"2.5"', '"name":"\\"x\\""']
    assert texts[0].metadata == {"sheet": "Prices", "row": 3}


async def test_csv_gives_a_text_a_row_and_loses_no_value() -> None:
    source = 'name;price\n"tea; green";2\n\ncoffee;3;extra\n"two\nlines";4'
    assert await read(source.encode(), "a.csv") == [
        "name: tea; green;price: 2",
        "name: coffee;price: 3;extra",
        "name: two\nlines;price: 4",
    ]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_decoding_utf8_is_exact(text: str) -> None:
    if not text.startswith("\ufeff"):
        assert decode(text.encode()) == text


@settings(deadline=None)
@given(st.binary())
def test_decoding_never_fails(data: bytes) -> None:
    assert isinstance(decode(data), str)


def zipped(**names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return out.getvalue()


WINDOWS_PROGRAM = b"MZ" + b"\x00" * 58 + (64).to_bytes(4, "little") + b"PE\x00\x00"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (WINDOWS_PROGRAM, "a.txt"),
        (WINDOWS_PROGRAM, "a.pdf"),
        (b"\x7fELF\x02\x01\x01", "a.docx"),
        (b"\xcf\xfa\xed\xfe\x07\x00", "a.csv"),
        (b"#!/bin/sh\nrm -rf /", "a.txt"),
        (b"#! /usr/bin/env python", "a.md"),
        (b"<?php system($_GET[0]);", "a.html"),
        (b"just text", "a.pdf"),
        (b"just text", "a.docx"),
        (make_xlsx([["a", "b"]]), "a.docx"),
        (make_docx(["a"], [["b"]]), "a.xlsx"),
        (zipped(**{"evil.exe": "MZ"}), "a.docx"),
        (make_pdf(["x"]), "a.txt"),
        (b"\x89PNG\r\n", "a.md"),
        (b"a\x00\x01b\x00", "a.csv"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.docx"),
        (b"text", "a.exe"),
        (b"text", "noextension"),
    ],
)
async def test_a_file_that_is_not_what_its_name_says_is_refused(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedFileType) as caught:
        await Extractor().extract(data, name)
    assert caught.value.code == "unsupported_file_type"
    assert caught.value.status == 415


async def test_text_that_happens_to_begin_like_a_program_is_text() -> None:
    assert await read(b"MZ is how some programs begin.", "a.txt") == ["MZ is how some programs begin."]
    assert await read(b"#!channel", "a.txt") == ["#!channel"]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.4 and nothing more", "a.pdf"),
        (make_docx(["a"], [["b"]])[:-40], "a.docx"),
        (zipped(**{"[Content_Types].xml": "<x/>", "word/document.xml": "<broken"}), "a.docx"),
        (zipped(**{"[Content_Types].xml": "<x/>", "xl/workbook.xml": "<broken"}), "a.xlsx"),
    ],
)
async def test_a_damaged_file_says_so(data: bytes, name: str) -> None:
    with pytest.raises(ExtractionFailed) as caught:
        await Extractor().extract(data, name)
    assert caught.value.where["file"] == name


async def test_an_entity_bomb_does_not_go_off() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
    )
    document = bomb + ']><w:document xmlns:w="w"><w:body><w:p>&j;</w:p></w:body></w:document>'
    parts = zipped(**{"[Content_Types].xml": bomb + "]><Types>&j;</Types>", "word/document.xml": document})
    with pytest.raises(BadInput):
        await Extractor(ExtractLimits(max_memory=512 * 1024 * 1024, seconds=20)).extract(parts, "a.docx")


async def test_memory_is_bounded() -> None:
    with pytest.raises(ExtractionFailed, match="memory"):
        await read(b"a,b\n" + b"1,2\n" * 300_000, "a.csv", ExtractLimits(max_memory=128 * 1024 * 1024))


async def test_time_is_bounded_and_the_reader_is_gone() -> None:
    await read(make_pdf(["x"]), "a.pdf")
    before = children()
    with pytest.raises(ExtractionFailed, match="more than 0 s"):
        await read(make_pdf(["x"]), "a.pdf", ExtractLimits(seconds=0))
    assert children() == before


async def test_cancelling_kills_the_reader() -> None:
    await read(make_pdf(["x"]), "a.pdf")
    before = children()
    task = asyncio.create_task(read(b"a,b\n" + b"1,2\n" * 300_000, "a.csv"))
    while children() == before:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == before


async def test_size_is_bounded() -> None:
    with pytest.raises(TooLarge):
        await read(b"12345", "a.txt", ExtractLimits(max_input=4))
    with pytest.raises(TooLarge):
        await read(b"a,b\n" + b"1,2\n" * 100, "a.csv", ExtractLimits(max_output=100))


async def test_the_reader_sees_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "lxml.py").write_text("raise SystemExit(3)")
    assert await read(b"<p>x", "a.html") == ["x"]


def test_every_extension_of_the_list_is_read() -> None:
    plain = "csv htm html json jsonl markdown md mdx properties txt vtt xml"
    office = "doc docx eml epub msg odt ods pdf ppt pptx rtf xls xlsx"
    assert sorted(EXTENSIONS) == sorted(f"{plain} {office}".split())


def children() -> set[int]:
    return {child.pid for child in psutil.Process(os.getpid()).children(recursive=True)}
