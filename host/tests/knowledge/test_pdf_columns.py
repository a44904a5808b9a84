"""Tables in PDFs by their white space: what is surely one becomes Markdown, what only stands in columns stays text."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .test_pdf_tables import read, words

STEP = 14
BEFORE = "What stands before it is a line of prose, and goes over the width."
AFTER = "What stands after it is another one, which does the same as that."
FOOD = [["Dish", "Grams", "Price"], ["Soup", "250", "4.50"], ["Fresh fish", "400", "14.00"], ["Tea", "90", "1.20"]]
MARKDOWN = (
    "| Dish | Grams | Price |\n| --- | --- | --- |\n"
    "| Soup | 250 | 4.50 |\n| Fresh fish | 400 | 14.00 |\n| Tea | 90 | 1.20 |"
)
PROSE = re.findall(
    r"\w+",
    "the river came down from the hills in the night and nobody who lived by it was asleep when the water reached the "
    "first of the houses where a light was still burning although it was late and the lamp had almost no oil in it",
)


def pieces(rows: Sequence[Sequence[str]], xs: Sequence[float], top: float = 320) -> str:
    """Each cell written by itself, row by row."""
    return "\n".join(
        words(x, top - STEP * number, text)
        for number, row in enumerate(rows)
        for x, text in zip(xs, row, strict=True)
        if text
    )


def kerned(rows: Sequence[Sequence[str]], widths: Sequence[float], top: float = 320) -> str:
    """Each row in one go, its cells moved apart as typesetters do: by so many points from start to start."""
    lines = []
    for row in rows:
        parts = [f"({text}) {-(width - 5 * len(text)) * 100:.0f}" for text, width in zip(row[:-1], widths, strict=True)]
        lines.append(f"[{' '.join(parts)} ({row[-1]})] TJ 0 -{STEP} Td")
    return f"BT /F1 10 Tf 50 {top} Td {' '.join(lines)} ET"


def lines_of(text: Sequence[str], width: int) -> list[str]:
    """Words as lines of so many letters."""
    lines = [""]
    for word in text:
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def parts(text: str) -> list[str]:
    return [part.strip() for part in text.split("\n\n") if part.strip()]


@pytest.mark.parametrize("written", [pieces(FOOD, (50, 150, 250)), kerned(FOOD, (100, 100))])
def test_columns_of_figures_are_a_table_between_the_words_around_it(written: str) -> None:
    text = read(words(50, 350, BEFORE), written, words(50, 240, AFTER))
    assert parts(text) == [BEFORE, MARKDOWN, AFTER]


def test_a_place_may_be_empty_and_a_line_above_may_stand_across() -> None:
    rows = [["", "2023", "2024"], ["Income", "1,200", "(350)"], ["Costs", "", "12%"], ["Rest", "-", "3"]]
    title = words(50, 334, "Amounts in thousands and shares") + words(260, 334, "unaudited")
    text = read(words(50, 370, BEFORE), title, pieces(rows, (50, 150, 250)))
    assert "|  | 2023 | 2024 |\n| --- | --- | --- |\n| Income | 1,200 | (350) |\n| Costs |  | 12% |" in text
    assert "thousands" in text.split("|")[0]


def test_a_heading_inside_is_a_row_of_its_own() -> None:
    rows = [["Item", "Old", "New"], ["Assets", "", ""], ["Cash", "12", "15"], ["Land", "40", "41"], ["House", "7", "6"]]
    assert "| Item | Old | New |\n| --- | --- | --- |\n| Assets |  |  |\n| Cash |" in read(pieces(rows, (50, 150, 250)))


def test_a_page_that_is_all_table_is_read_where_single_letters_are_lines() -> None:
    rows = [("Thing", "Old", "New"), *((f"Thing {n}", str(n * 3 % 7), str(n * 5 % 9)) for n in range(20))]
    text = read(pieces(rows, (50, 150, 250), 380))
    assert text.split("\n")[2:] == [f"| {' | '.join(row)} |" for row in rows[1:]]


def test_words_in_columns_are_a_table_when_a_line_is_drawn_below_their_head() -> None:
    rows = [["Symbol", "Meaning"], ["alpha", "the angle"], ["beta", "the other angle"], ["gamma", "what is left"]]
    table = pieces(rows, (50, 150))
    assert "---" not in read(words(50, 350, BEFORE), table)
    text = read(words(50, 350, BEFORE), table, "50 315 m 230 315 l S")
    assert "| Symbol | Meaning |\n| --- | --- |\n| alpha | the angle |" in text


def columns(left: Sequence[str], right: Sequence[str], x: float = 210) -> str:
    """Two columns of which each line goes over both."""
    return pieces(list(zip(left, right, strict=False)), (30, x), 380)


ADDRESSES = [
    ["Bee Ltd.", "Spider Inc.", "Bank: Savings"],
    ["1 Flower Road", "22 Web Street", "Account 12 34"],
    ["12345 Meadow", "54321 Corner", "Court: Meadow"],
    ["Country", "Country", "Register B 7"],
]
CODE = [["int a = 1;", "// one"], ["int bee = 22;", "// two"], ["char c = 3;", "// three"], ["call(a);", "// four"]]
CONTENTS = [["1", "First things", "1"], ["1.1", "Of bees", "3"], ["1.2", "Of spiders", "3"], ["2", "Last things", "17"]]


@pytest.mark.parametrize(
    "written",
    [
        columns(lines_of(PROSE, 26), lines_of(PROSE[5:], 26)),
        columns(lines_of(PROSE, 30), lines_of(PROSE[9:], 18)),
        "\n".join(words(x, 380 - STEP * n, line) for x in (30, 210) for n, line in enumerate(lines_of(PROSE, 26))),
        pieces(CONTENTS, (50, 80, 300)),
        pieces([row[1:] for row in CONTENTS], (50, 300)),
        pieces([[f"{row[1]} . . . . . . .", row[2]] for row in FOOD], (50, 300)),
        pieces([[f"{number}.", line] for number, line in enumerate(lines_of(PROSE, 50), 1)], (50, 80)),
        pieces([["(a)", "12"], ["(b)", "twelve"], ["(c)", "the rest"], ["(d)", "none"]], (50, 80)),
        pieces([[str(number), line] for number, line in enumerate(lines_of(PROSE, 50), 1)], (50, 80)),
        pieces(ADDRESSES, (50, 160, 270)),
        pieces([row[:2] for row in ADDRESSES], (50, 260)),
        pieces(ADDRESSES, (50, 160, 270)) + "\n50 335 m 350 335 l S",
        pieces(CODE, (50, 200)),
        kerned(CODE, (150,)),
        pieces([["Name:", "Bee"], ["Date:", "1 May"], ["Place:", "Meadow"], ["Number:", "7"]], (50, 150)),
        pieces([["a = b + c", "(1)"], ["d = e", "(2)"], ["f = g + h", "(3)"], ["i = j", "(4)"]], (50, 300)),
        pieces(FOOD[:2], (50, 150, 250)),
    ],
)  # fmt: skip
def test_what_only_stands_in_columns_stays_text(written: str) -> None:
    text = read(written, words(50, 30, BEFORE), words(50, 16, AFTER))
    assert "---" not in text
    assert "|" not in text


WORD = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=9)
FIGURE = st.one_of(st.integers(0, 99), st.decimals(0, 9999, places=1)).map(str)


@settings(max_examples=40, deadline=None)
@given(st.lists(WORD, min_size=60, max_size=160), st.integers(12, 30), st.integers(0, 40), st.booleans())
def test_prose_in_two_columns_is_never_a_table(text: list[str], width: int, moved: int, numbered: bool) -> None:
    left, right = lines_of(text, width), lines_of(text[moved:], width)
    if numbered:
        left = [f"{number} {line}" for number, line in enumerate(left, 1)]
    assert "---" not in read(columns(left[:25], right[:25]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(WORD, FIGURE, FIGURE), min_size=3, max_size=15), st.booleans())
def test_figures_in_columns_are_read_cell_by_cell(rows: list[tuple[str, str, str]], kerning: bool) -> None:
    table = [("name", "one", "two"), *rows]
    written = kerned(table, (100, 100)) if kerning else pieces(table, (50, 150, 250))
    text = read(words(50, 350, BEFORE), written, words(50, 30, AFTER))
    wanted = [f"| {' | '.join(row)} |" for row in table]
    assert [line for line in text.split("\n") if line.startswith("| ") and "---" not in line] == wanted
