"""CSV whose quotes do not close: no row is swallowed, and what is well formed is read as ever."""

from __future__ import annotations

import csv
import io
import time

import pytest
from dify_host.knowledge.extract.csv_rows import read_csv
from hypothesis import given
from hypothesis import strategies as st


def lines(source: str) -> list[str]:
    return [item.text for item in read_csv(source.encode())]


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ('a,b\n1,"two\n3,4\n5,6\n', ['a: 1;b: "two', "a: 3;b: 4", "a: 5;b: 6"]),
        ('a,b\n1,"x\n2,"y"\n3,"z"\n', ['a: 1;b: "x', "a: 2;b: y", "a: 3;b: z"]),
        ('a,b\n1,2\n3,"four', ["a: 1;b: 2", "a: 3;b: four"]),
        ('a,b\n1,"two\nlines"\n3,4\n', ["a: 1;b: two\nlines", "a: 3;b: 4"]),
        ('a,b\n1,5" pipe\n3,4\n', ['a: 1;b: 5" pipe', "a: 3;b: 4"]),
        ('a,b\n1,"two\nlines",5" pipe\n', ['a: 1;b: two\nlines;5" pipe']),
    ],
)
def test_a_quote_without_an_end_swallows_nothing(source: str, texts: list[str]) -> None:
    assert lines(source) == texts


def test_rows_are_numbered_by_their_last_line_behind_an_open_quote_too() -> None:
    assert [item.metadata["row"] for item in read_csv(b'a,b\n1,"two\n3,"4\n5"\n6,7\n')] == [2, 4, 5]


_values = st.text(alphabet='ab,;"\n\r ', max_size=8)


@given(st.lists(st.lists(_values, min_size=2, max_size=2), min_size=1, max_size=8))
def test_what_is_written_by_the_rules_is_read_by_them(rows: list[list[str]]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([["one,", "two,"], *rows])
    expected = [
        f"one,: {first.strip()};two,: {second.strip()}" for first, second in rows if first.strip() or second.strip()
    ]
    assert lines(written.getvalue()) == (expected or ["one,;two,"])


@given(st.text(alphabet='ab,"\n\r', max_size=60))
def test_no_text_breaks_the_reader_or_loses_letters(source: str) -> None:
    found = "".join(lines("h,h\n" + source))
    assert found.count("a") == source.count("a")
    assert found.count("b") == source.count("b")


@pytest.mark.parametrize("fault", ['x,"y"z"\n', 'x,"y\nz,"w"\n', 'x,"y""\n'])
def test_many_open_quotes_cost_no_more_than_their_lines(fault: str) -> None:
    def seconds(number: int) -> float:
        source = "a,b\n" + fault * number
        begin = time.perf_counter()
        lines(source)
        return time.perf_counter() - begin

    seconds(100)
    small = min(seconds(2_000) for _ in range(3))
    assert min(seconds(16_000) for _ in range(3)) < 8 * 4 * small
