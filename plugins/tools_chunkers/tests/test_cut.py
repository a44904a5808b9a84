"""Cutting loses nothing, keeps its bounds, and ends for every text."""

from __future__ import annotations

from itertools import pairwise

from dify_tools_chunkers.cut import clean, cut
from hypothesis import given
from hypothesis import strategies as st

TEXTS = st.text(alphabet=st.sampled_from("ab. \n。é"), max_size=200)


@given(TEXTS, st.integers(1, 30), st.integers(0, 40))
def test_pieces_are_short_and_of_the_text(text: str, longest: int, overlap: int) -> None:
    pieces = cut(text, delimiter="\n\n", longest=longest, overlap=overlap)
    assert all(0 < len(piece) <= longest and piece in text for piece in pieces)


@given(TEXTS, st.integers(1, 30))
def test_without_overlap_nothing_is_lost_or_said_twice(text: str, longest: int) -> None:
    pieces = cut(text, delimiter="", longest=longest)
    assert "".join("".join(pieces).split()) == "".join(text.split())


@given(st.text(max_size=200))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = clean(text, spaces=True, addresses=False)
    assert clean(once, spaces=True, addresses=False) == once


def test_an_overlap_repeats_the_end_of_the_piece_before() -> None:
    pieces = cut("one two three four", delimiter="", longest=12, overlap=4)
    assert pieces[0] == "one two"
    assert all(next(iter(piece.split())) in before for before, piece in pairwise(pieces))
