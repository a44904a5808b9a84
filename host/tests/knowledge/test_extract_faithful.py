"""What is legal and unusual in a document: its words come once, in their order, in the encoding that they have."""

from __future__ import annotations

import io
import zipfile
from email.message import EmailMessage

import docx
import openpyxl
import pytest
from dify_host.knowledge.extract.extractor import Extractor
from docx.oxml import parse_xml

from .documents import make_docx, make_xlsx
from .more_documents import make_epub, make_ods, make_odt, make_pptx, zipped

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_M = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


async def texts(data: bytes | str, name: str) -> list[str]:
    source = data if isinstance(data, bytes) else data.encode()
    return [item.text for item in await Extractor().extract(source, name)]


def unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# -- encodings and line ends -----------------------------------------------------------------------------------------


async def test_every_line_end_is_one() -> None:
    assert await texts("one\rtwo\r\nthree\nfour", "a.txt") == ["one\ntwo\nthree\nfour"]
    assert await texts("one\rtwo".encode("utf-16-be"), "a.txt") == ["one\ntwo"]
    assert await texts("# One\rtext\r\r# Two\rmore", "a.md") == ["One\ntext", "Two\nmore"]
    assert await texts("a,b\r1,2\r3,4\r", "a.csv") == ["a: 1;b: 2", "a: 3;b: 4"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("latin-1", "café au lait"),
        ("cp1251", "Привет, мир! Это проверка кодировки."),
        ("koi8-r", "Привет, мир! Это проверка кодировки."),
        ("iso2022_jp", "日本語の文書です"),
        ("utf-16-le", "知识库让应用\n根据你的文档回答问题"),
        ("utf-16-be", "知识库让应用 a 根据你的文档回答问题"),
        ("euc_kr", "안녕하세요 세계. 이것은 한국어 문서입니다."),
        ("cp1256", "مرحبا بالعالم هذا مستند باللغة العربية"),
    ],
)
async def test_short_texts_are_read_in_the_encoding_they_have(encoding: str, text: str) -> None:
    assert await texts(text.encode(encoding), "a.txt") == [text]


@pytest.mark.parametrize(
    ("named", "encoding", "text"),
    [
        ("gb2312", "gbk", "朱镕基"),
        ("Shift_JIS", "cp932", "①髙"),
        ("iso-8859-1", "cp1252", "“Köln” – €"),
        ("iso-8859-1", "utf-8", "Köln 知识"),
        ("iso-8859-1", "utf-8-sig", "Köln"),
        ("utf-16", "utf-8", "Koeln, one"),
        ("gbk", "gbk", "联通"),
        ("made-up", "utf-8", "Köln"),
        ("undefined", "utf-8", "Köln"),
    ],
)
async def test_a_named_encoding_is_read_as_browsers_do_and_only_when_it_is_true(
    named: str, encoding: str, text: str
) -> None:
    assert await texts(f'<meta charset="{named}"><p>{text}'.encode(encoding), "a.html") == [text]
    page = f'<?xml version="1.0" encoding="{named}"?><html><body><p>{text}</p></body></html>'
    assert await texts(page.encode(encoding), "a.htm") == [text]
    head = f"Subject: x\nContent-Type: text/plain; charset={named}\n\n".encode()
    assert await texts(head + text.encode(encoding), "a.eml") == [f"Subject: x\n\n{text}"]


async def test_one_bad_byte_costs_one_letter() -> None:
    text = "Grüße aus Köln, 知识库让应用根据你的文档回答问题"
    assert await texts(text.encode() + "知".encode()[:2], "a.txt") == [f"{text}\ufffd"]
    assert await texts(b"\xff" + f"<p>{text}".encode(), "a.html") == [f"\ufffd\n{text}"]


# -- messages --------------------------------------------------------------------------------------------------------


async def test_every_text_of_a_message_that_is_shown_is_read() -> None:
    message = EmailMessage()
    message["Subject"] = "S"
    message.set_content("first\n")
    message.add_attachment(b"\x89PNG", "image", "png", disposition="inline", filename="a.png")
    message.add_attachment("second\n", disposition="inline")
    message.add_attachment("<p>third</p>", subtype="html", disposition="inline")
    message.add_attachment("kept out\n", filename="log.txt")
    assert await texts(message.as_bytes(), "a.eml") == [
        "Subject: S\n\nfirst\n\nsecond\n\nthird\n\nAttachments: a.png, log.txt"
    ]


async def test_a_page_is_read_where_the_plain_text_beside_it_is_empty() -> None:
    message = EmailMessage()
    message["Subject"] = "S"
    message.set_content(" \n")
    message.add_alternative("<p>The page</p><img src='cid:1'>", subtype="html")
    page = message.get_payload()[1]  # type: ignore[index]
    page.add_related(b"\x89PNG", "image", "png", cid="<1>")  # type: ignore[union-attr]
    message.add_alternative("BEGIN:VCALENDAR", subtype="calendar")
    assert await texts(message.as_bytes(), "a.eml") == ["Subject: S\n\nThe page"]


async def test_headers_that_are_not_ascii_and_a_mark_before_them() -> None:
    assert await texts("\ufeffSubject: Grüße 知识\n\nx", "a.eml") == ["Subject: Grüße 知识\n\nx"]
    assert await texts("Subject: Grüße aus Köln\n\nx".encode("latin-1"), "a.eml") == ["Subject: Grüße aus Köln\n\nx"]


# -- texts of offices ------------------------------------------------------------------------------------------------


def word(*blocks: str) -> bytes:
    document = docx.Document()
    for block in blocks:
        document.element.body.insert(len(document.element.body) - 1, parse_xml(block))
    document.styles["Heading 2"].element.set(f"{{{_W[9:-1]}}}styleId", "berschrift2")
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def said(text: str) -> str:
    return f"<w:r><w:t>{text}</w:t></w:r>"


async def test_docx_with_changes_formulas_and_headings_of_another_language() -> None:
    moved = f"<w:p {_W}><w:moveFrom>{said('moved')}</w:moveFrom></w:p>"
    gone = f"<w:p {_W}>{said('a')}<w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:ins>{said('b')}</w:ins></w:p>"
    there = f"<w:p {_W}><w:moveTo>{said('moved')}</w:moveTo></w:p>"
    formula = f"<w:p {_W} {_M}>{said('E = ')}<m:oMath><m:r><m:t>mc²</m:t></m:r></m:oMath></w:p>"
    heading = f'<w:p {_W}><w:pPr><w:pStyle w:val="berschrift2"/></w:pPr>{said("Kapitel")}</w:p>'
    (text,) = await texts(word(moved, gone, there, formula, heading), "a.docx")
    assert text.split("\n") == ["ab", "moved", "E = mc²", "## Kapitel"]


async def test_rows_and_cells_of_a_form_are_in_the_table() -> None:
    def cell(text: str) -> str:
        return f"<w:tc><w:p>{said(text)}</w:p></w:tc>"

    wrapped = f"<w:sdt><w:sdtContent><w:tr>{cell('c')}<w:sdt><w:sdtContent>{cell('d')}</w:sdtContent></w:sdt></w:tr>"
    table = f"<w:tbl {_W}><w:tr>{cell('a')}{cell('b')}</w:tr>{wrapped}</w:sdtContent></w:sdt></w:tbl>"
    assert await texts(word(table), "a.docx") == ["| a | b |\n| --- | --- |\n| c | d |"]


async def test_notes_of_a_word_document_stand_below_it() -> None:
    body = f'<w:p {_W}>{said("Tea")}<w:r><w:footnoteReference w:id="7"/></w:r>{said(" and milk")}</w:p>'
    parts = unpacked(word(body))
    notes = f'<w:footnote w:id="7"><w:p>{said("From")}</w:p><w:p>{said("Assam")}</w:p></w:footnote>'
    parts["word/footnotes.xml"] = f"<w:footnotes {_W}>{notes}</w:footnotes>".encode()
    link = f'<Relationship Id="rN" Type="{_RELATIONS}/footnotes" Target="footnotes.xml"/></Relationships>'
    rels = "word/_rels/document.xml.rels"
    parts[rels] = parts[rels].replace(b"</Relationships>", link.encode())
    assert await texts(zipped(parts), "a.docx") == ["Tea[^1] and milk\n\n[^1]: From Assam"]


async def test_office_files_in_their_strict_form_are_read() -> None:
    def strict(data: bytes) -> bytes:
        parts = unpacked(data)
        for kind in (b"wordprocessingml", b"spreadsheetml", b"presentationml", b"drawingml", b"officeDocument"):
            before, after = b"http://schemas.openxmlformats.org/%b/2006/", b"http://purl.oclc.org/ooxml/%b/"
            parts = {name: part.replace(before % kind, after % kind) for name, part in parts.items()}
        return zipped(parts)

    slides = make_pptx(["<p:sp><a:p><a:r><a:t>A slide</a:t></a:r></a:p></p:sp>"])
    main = f'<Relationships><Relationship Id="r" Type="{_RELATIONS}/officeDocument" Target="ppt/presentation.xml"/>'
    slides = zipped({**unpacked(slides), "_rels/.rels": f"{main}</Relationships>"})
    for name, data in {
        "a.docx": make_docx(["Words"], [["a", "b"]]),
        "a.xlsx": make_xlsx([["a", "b"], [1, 2]]),
        "a.pptx": slides,
    }.items():
        assert b"purl.oclc.org" in b"".join(unpacked(strict(data)).values())
        found = await texts(strict(data), name)
        assert found == await texts(data, name)
        assert found


async def test_words_of_a_diagram_are_those_of_its_slide() -> None:
    dgm = "http://schemas.openxmlformats.org/drawingml/2006/diagram"
    main = "http://schemas.openxmlformats.org/drawingml/2006/main"
    parts = unpacked(make_pptx([f'<p:graphicFrame><d:relIds xmlns:d="{dgm}" r:dm="rD"/></p:graphicFrame>']))
    rels = "ppt/slides/_rels/slide1.xml.rels"
    link = f'<Relationship Id="rD" Type="{_RELATIONS}/diagramData" Target="../diagrams/d.xml"/></Relationships>'
    parts[rels] = parts[rels].replace(b"</Relationships>", link.encode())
    points = "".join(f"<d:pt><d:t><a:p><a:r><a:t>{text}</a:t></a:r></a:p></d:t></d:pt>" for text in ("Plan", "Do"))
    parts["ppt/diagrams/d.xml"] = f'<d:dataModel xmlns:d="{dgm}" xmlns:a="{main}">{points}</d:dataModel>'.encode()
    assert await texts(zipped(parts), "a.pptx") == ["Plan\nDo"]


async def test_open_documents_with_boxes_notes_and_comments() -> None:
    box = (
        '<d:frame xmlns:d="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"><d:text-box><text:p>box</text:p>'
        "</d:text-box></d:frame>"
    )
    note = "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>note</text:p></text:note-body>"
    cell = f"<table:table-cell><text:p>in{box}</text:p></table:table-cell>"
    body = f"<text:p>a{note}</text:note>b</text:p><table:table><table:table-row>{cell}</table:table-row></table:table>"
    assert await texts(make_odt(body), "a.odt") == ["a note b\n| in box |\n| --- |"]

    def row(*cells: str) -> str:
        inside = "".join(f"<table:table-cell>{cell}</table:table-cell>" for cell in cells)
        return f"<table:table-row>{inside}</table:table-row>"

    comment = "<office:annotation><text:p>a comment</text:p></office:annotation>"
    rows = row("<text:p>a</text:p>", "<text:p>b</text:p>") + row(f"{comment}<text:p>1</text:p><text:p>2</text:p>")
    sheet = make_ods(f'<table:table table:name="S">{rows}</table:table>')
    assert await texts(sheet, "a.ods") == ['"a":"1 2"']


# -- tables ----------------------------------------------------------------------------------------------------------


async def test_a_header_that_nothing_follows_is_no_empty_document() -> None:
    assert await texts("name,price\n", "a.csv") == ["name;price"]
    assert await texts(make_xlsx([["name", "price"]]), "a.xlsx") == ['"name";"price"']
    assert await texts(make_xlsx([["only"]]), "a.xlsx") == ['"only"']


async def test_letters_that_a_workbook_writes_out() -> None:
    out = io.BytesIO()
    book = openpyxl.Workbook()
    assert book.active is not None
    for line in (["a", "b"], ["one_x000D_\ntwo", "snake_x0041_"]):
        book.active.append(line)
    book.save(out)
    assert await texts(out.getvalue(), "a.xlsx") == ['"a":"one\ntwo";"b":"snakeA"']


async def test_what_stands_between_the_values_of_a_csv() -> None:
    assert await texts('"a;b;c;d",e\n1,2\n', "a.csv") == ["a;b;c;d: 1;e: 2"]
    assert await texts("sep=;\r\na,b,c;d\r\n1;2\r\n", "a.csv") == ["a,b,c: 1;d: 2"]


# -- markup ----------------------------------------------------------------------------------------------------------


async def test_xml_whose_root_has_words_of_its_own() -> None:
    assert await texts("<r>hello <b>bold</b> end</r>", "a.xml") == ["r: hello bold end"]
    assert await texts("<r k='1'>x<p>hi <b>you</b></p>tail<q><z>1</z></q></r>", "a.xml") == [
        "r (k=1): x\n\np: hi you\ntail\n\nz: 1"
    ]
    entity = '<!DOCTYPE r [<!ENTITY e "x">]><r><a>&e;</a><b>1</b></r>'
    assert await texts(entity, "a.xml") == ["a: &e;\n\nb: 1"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Use `Map<String>` and ``a `<b>` c`` <b>now</b>", "Use `Map<String>` and ``a `<b>` c`` now"),
        ("See <https://a.test/x> or <me@a.test>", "See https://a.test/x or me@a.test"),
        ("List<String> x, a<b and c>d, say <your name>", "List<String> x, a<b and c>d, say <your name>"),
        ("| a | 1<br>2 |\n| `x`<br/>`y` | z |", "| a | 1 2 |\n| `x` `y` | z |"),
        ("<table><tr><td>one</td><td>two</td></tr></table>", "one  two"),
        ("a <Tab\n  title='x'\n>b</Tab> <My.Part x='1'/>c", "a b c"),
        ("a <!-- b\n# no heading\nc --> d <!-- e --> f", "a  d  f"),
        ("a <!-- is not closed\n\nb", "a <!-- is not closed\n\nb"),
        ("a <img\n\nb>", "a <img\n\nb>"),
        ("---\ntitle: x\n# no heading\n---\nb", "---\ntitle: x\n# no heading\n---\nb"),
        ("a\n---\n# b", "a\n---"),
    ],
)
async def test_markdown_loses_tags_and_nothing_else(source: str, text: str) -> None:
    assert (await texts(source, "a.md"))[0] == text


async def test_a_book_with_an_odd_spine() -> None:
    parts = unpacked(make_epub({"a.xhtml": "<p>One</p>", "c.png": "\x89PNG", "d.xhtml": "<p>Two</p>"}))
    package = parts["O/b.opf"].replace(b"text/a.xhtml", b"text/a.xhtml#top")
    package = package.replace(b'text/c.png"', b'text/c.png" media-type="image/png" fallback="i2"')
    package = package.replace(b"</spine>", b'<itemref idref="none"/><itemref/><itemref idref="i0"/></spine>')
    container = parts["META-INF/container.xml"].replace(b'"O/', b'"/O/')
    book = zipped({**parts, "O/b.opf": package, "META-INF/container.xml": container})
    assert await texts(book, "a.epub") == ["One", "Two"]
