"""Tables in PDFs: those that are ruled become Markdown where they stand; everything else stays lines of text."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import pytest
from dify_host.knowledge.extract.pdf import read_pdf

XS, YS = (50, 150, 250), (300, 270, 240, 210)
CELLS = [["Name", "Legs"], ["Bee", "6"], ["Spider | web", "8"]]
TABLE = "| Name | Legs |\n| --- | --- |\n| Bee | 6 |\n| Spider \\| web | 8 |"


def pdf(stream: str) -> bytes:
    """A page with that content and Helvetica."""
    content = stream.encode("latin-1")
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 400] /Contents 5 0 R "
        b"/Resources << /Font << /F1 3 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
    ]
    out, offsets = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, body in enumerate(bodies, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    out.write(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(bodies) + 1, start))
    return out.getvalue()


def read(*parts: str) -> str:
    return read_pdf(pdf("\n".join(parts)))[0].text.strip()


def words(x: float, y: float, text: str) -> str:
    return f"BT /F1 10 Tf {x} {y} Td ({text}) Tj ET"


def cells(rows: Sequence[Sequence[str]] = CELLS) -> str:
    return "\n".join(
        words(x + 5, y - 20, text) for y, row in zip(YS, rows, strict=False) for x, text in zip(XS, row, strict=False)
    )


def stroked() -> str:
    """Lines, each drawn by itself."""
    across = [f"{XS[0]} {y} m {XS[-1]} {y} l S" for y in YS]
    return "\n".join([*across, *(f"{x} {YS[0]} m {x} {YS[-1]} l S" for x in XS)])


def one_path() -> str:
    """The same lines as one path, in a space of its own."""
    across = [f"{XS[0] / 2} {y / 2} m {XS[-1] / 2} {y / 2} l" for y in YS]
    return "\n".join(
        ["q 2 0 0 2 0 0 cm", *across, *(f"{x / 2} {YS[0] / 2} m {x / 2} {YS[-1] / 2} l" for x in XS), "S Q"]
    )


def boxes() -> str:
    """A box around each cell."""
    pairs = [(x, y) for y in YS[1:] for x in XS[:-1]]
    return "\n".join(f"{x} {y} 100 30 re S" for x, y in pairs)


def thin_fills() -> str:
    """Lines as word processors draw them: thin filled boxes."""
    across = [f"{XS[0]} {y} {XS[-1] - XS[0]} 0.5 re f" for y in YS]
    return "\n".join([*across, *(f"{x} {YS[-1]} 0.5 {YS[0] - YS[-1]} re f" for x in XS)])


@pytest.mark.parametrize("rules", [stroked, one_path, boxes, thin_fills])
def test_a_ruled_table_is_markdown_between_the_words_around_it(rules: Callable[[], str]) -> None:
    text = read(words(50, 350, "Before it."), rules(), cells(), words(50, 150, "After it."))
    assert [part for part in text.split("\n\n") if part.strip()] == ["Before it.", TABLE, "After it."]


@pytest.mark.parametrize(
    "rules",
    [
        "",  # columns without lines
        "\n".join(f"50 {y} m 250 {y} l S" for y in YS),  # lines below rows only
        "50 210 200 90 re S",  # a frame
        "\n".join([stroked().replace("150 300 m 150 210 l S", "150 300 m 150 270 l S")]),  # merged cells
        "50 210 200 90 re f",  # a background
        stroked() + "\n" + words(120, 255, "acrossthelines"),
    ],
)
def test_what_is_not_wholly_ruled_stays_text(rules: str) -> None:
    text = read(rules, cells())
    assert "---" not in text
    assert "Spider | web" in text


def test_an_empty_grid_is_no_table() -> None:
    assert read(stroked(), words(50, 350, "Form")) == "Form"


def test_a_drawing_of_many_lines_is_no_table() -> None:
    hatch = "\n".join(f"{x / 10} 0 m {x / 10} 400 l S 0 {x / 10} m 400 {x / 10} l S" for x in range(0, 4000, 4))
    assert read(hatch, words(50, 350, "Drawn")) == "Drawn"
