"""Every format gives its text: the real readers, in the real process."""

import sys
from email.message import EmailMessage

import pytest
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.values import File
from dify_kernel.testing.fakes import FakeDocuments
from dify_nodes_document import reader
from dify_nodes_document.extraction import extract_text
from dify_nodes_document.tables import markdown_table
from hypothesis import given
from hypothesis import strategies as st

from .builders import make_docx, make_epub, make_msg, make_pdf, make_pptx, make_xls, make_xlsx

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


async def read(data, name="", mime_type=None):
    extension = f".{name.rpartition('.')[2]}" if "." in name else None
    return await extract_text(File(filename=name, extension=extension, mime_type=mime_type), data, FakeDocuments())


@pytest.mark.parametrize("name", ["a.txt", "a.MD", "a.html", "a.xml", "a.vtt", "a.py", "a.c++", "a.toml", "a.srt"])
async def test_what_is_text_stays_as_it_is(name):
    text = "\n <b>Grüße</b>\r\n\tto: all\n"
    assert await read(text.encode(), name) == text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "gb18030", "shift_jis"])
async def test_encodings_are_found_out(encoding):
    sentences = {
        "gb18030": "知识库让应用根据你的文档回答问题，并给出来源。" * 8,
        "shift_jis": "これは日本語の文書です。ひらがなとカタカナが含まれています。" * 8,
    }
    text = sentences.get(
        encoding, "Grüße aus Köln: das Café schließt um fünf Uhr, dann gehen die Gäste über die Brücke. " * 4
    )
    assert await read(text.encode(encoding), "a.txt") == text


async def test_json_is_written_again():
    assert await read('{"b":[1,{"ä":null}]}'.encode(), "a.json") == (
        '{\n  "b": [\n    1,\n    {\n      "ä": null\n    }\n  ]\n}'
    )


async def test_yaml_is_written_again_with_all_its_documents():
    assert await read("b: {ä: [1, 2]}\na: x\n---\n- y\n".encode(), "a.yml") == (
        "b:\n  ä:\n  - 1\n  - 2\na: x\n---\n- y\n"
    )


async def test_properties():
    text = "# a = comment\n\n  host = a:80 \nname: x=y\nalone\n"
    assert await read(text.encode(), "a.properties") == "# a = comment\n\nhost: a:80\nname: x=y\nalone: "


async def test_pdf():
    assert await read(make_pdf(["First page", "Second page"]), "a.pdf") == "First page\nSecond page"


async def test_docx():
    data = make_docx("Before", [["A", "B|C"], ["1\n2", ""]], "After")
    assert await read(data, "a.docx") == "Before\n| A | B\\|C |\n| --- | --- |\n| 1<br>2 |  |\n\nAfter"


async def test_docx_without_a_table_that_says_anything():
    assert await read(make_docx("Before", [["", ""]], "After"), "a.docx") == "Before\nAfter"


async def test_csv():
    data = b'name;note\nAda;"two\nlines"\n;\nBob;a|b;more\n'
    assert await read(data, "a.csv") == (
        "| name | note |  |\n| --- | --- | --- |\n| Ada | two lines |  |\n| Bob | a\\|b | more |"
    )


async def test_xlsx():
    data = make_xlsx({"one": [["n", "x"], [1, 2.5], [None, None], [True, "é\nf"]], "none": [], "two": [["alone"]]})
    assert await read(data, "a.xlsx") == ("| n | x |\n| --- | --- |\n| 1 | 2.5 |\n| True | é f |\n\n| alone |\n| --- |")


@pytest.mark.parametrize("name", ["a.xls", "a.xlsx"])
async def test_workbooks_are_told_apart_by_their_content(name):
    table = "| n | x |\n| --- | --- |\n| 1 | 2.5 |"
    assert await read(make_xls([["n", "x"], [1.0, 2.5]]), name) == table
    assert await read(make_xlsx({"s": [["n", "x"], [1, 2.5]]}), name) == table


async def test_pptx():
    def said(*runs):
        return "<a:p>" + "".join(f"<a:r><a:t>{run}</a:t></a:r>" for run in runs) + "</a:p>"

    cells = "".join(f"<a:tc><a:txBody>{said(text)}</a:txBody></a:tc>" for text in ("A", "B"))
    table = f"<p:graphicFrame><a:tbl><a:tr>{cells}</a:tr></a:tbl></p:graphicFrame>"
    slides = [
        f"<p:sp><p:txBody>{said('Hel', 'lo')}<a:p/>{said('there')}</p:txBody></p:sp>",
        f"<p:sp><a:p><a:r><a:t>a</a:t></a:r><a:br/><a:r><a:t>b</a:t></a:r></a:p></p:sp>{table}",
    ]
    assert await read(make_pptx(slides), "a.pptx") == "Hello\nthere\n\na\nb\n| A | B |\n| --- | --- |"


async def test_epub():
    chapters = {
        "b 1.xhtml": "<html><head><title>no</title></head><body><h1>One</h1><p>It  was.</p></body></html>",
        "a2.xhtml": "<body><p>Then<br/>more</p><script>x()</script></body>",
    }
    assert await read(make_epub(chapters), "a.epub") == "One\n\nIt was.\n\nThen\nmore"


def message(plain=None, page=None):
    found = EmailMessage()
    found["Subject"] = "Hello"
    if plain is not None:
        found.set_content(plain)
    if page is not None:
        (found.add_alternative if plain is not None else found.set_content)(page, subtype="html")
    found.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="x.pdf")
    return found.as_bytes()


async def test_eml():
    assert await read(message("Grüße\n", "<p>No</p>"), "a.eml") == "Grüße\n"
    assert await read(message(page="<p>Just <b>this</b></p>"), "a.eml") == "Just this"
    assert await read(b"Subject: x\nContent-Type: text/plain; charset=made-up\n\nbody", "a.eml") == "body"
    assert await read(message(), "a.eml") == ""


async def test_msg():
    properties = {"__properties_version1.0": bytes(32)}
    body = "Grüße " * 800
    unicode = make_msg({**properties, "__substg1.0_1000001F": body.encode("utf-16-le")})
    page = make_msg({**properties, "__substg1.0_10130102": b"<p>Just this</p>".ljust(5000)})
    assert await read(unicode, "a.msg") == body
    assert await read(page, "a.msg") == "Just this"


@pytest.mark.parametrize(
    ("mime_type", "data", "expected"),
    [
        ("text/plain; charset=utf-8", b"x", "x"),
        ("text/markdown", b"# x", "# x"),
        ("application/json", b"[1]", "[\n  1\n]"),
        ("text/csv", b"a,b", "| a | b |\n| --- | --- |"),
        ("application/pdf", make_pdf(["x"]), "x"),
        (DOCX, make_docx("x", [[""]], "y"), "x\ny"),
        ("application/vnd.ms-excel", make_xls([["x"]]), "| x |\n| --- |"),
    ],
)
async def test_without_an_extension_the_mime_type_counts(mime_type, data, expected):
    assert await read(data, "noname", mime_type) == expected


@pytest.mark.parametrize("name", ["a.doc", "a.PPT", "a.odt", "a.ods", "a.rtf"])
async def test_what_the_platform_reads_is_asked_of_it(name):
    documents = FakeDocuments()
    text = await extract_text(File(filename=name, extension=name[1:]), b"one\ntwo", documents)
    assert text == ("one\ntwo" if name == "a.ods" else "one\n\ntwo")
    assert documents.asked == [name[2:].lower()]


async def test_an_extension_counts_more_than_the_mime_type():
    assert await read(b"{}", "a.txt", "application/json") == "{}"


@pytest.mark.parametrize(("library", "name", "data"), [("xlrd", "xls", make_xls([["x"]])), ("olefile", "msg", b"")])
def test_a_missing_extra_says_what_to_install(library, name, data, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(NodeFailed, match=rf"dify-nodes-document\[{name}\]") as caught:
        reader.reader_of("excel" if name == "xls" else name)(data)
    assert caught.value.error_type == "UnsupportedFileTypeError"


@given(st.lists(st.lists(st.text(max_size=8), max_size=4), max_size=5))
def test_a_table_has_a_line_a_row_and_as_many_cells_in_each(rows):
    lines = markdown_table(rows).split("\n")
    width = max((len(row) for row in rows), default=0)
    if not width:
        assert lines == [""]
        return
    assert len(lines) == len(rows) + 1
    assert {line.replace("\\|", "").count("|") for line in lines} == {width + 1}
