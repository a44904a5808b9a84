"""Cutting text: nothing is lost, no chunk is too long, overlap repeats what came before, time stays linear."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from dify_host.knowledge.split import decode_escapes, split_fixed, split_recursive
from hypothesis import given
from hypothesis import strategies as st

prose = st.text(alphabet=st.sampled_from("ab \n。.字，x"), max_size=600)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@given(text=prose, max_length=st.integers(1, 80))
def test_without_overlap_the_chunks_are_the_text(text: str, max_length: int) -> None:
    chunks = split_recursive(text, max_length=max_length)
    assert squeezed("".join(chunks)) == squeezed(text)
    assert all(0 < len(chunk) <= max_length for chunk in chunks)
    assert all(chunk == chunk.strip() for chunk in chunks)


@given(
    joints=st.lists(st.sampled_from(["", "", "", " ", ". ", "。", "\n", "\n\n"]), max_size=300),
    max_length=st.integers(2, 80),
    overlap=st.integers(0, 80),
)
def test_with_overlap_each_chunk_starts_within_the_one_before(joints: list[str], max_length: int, overlap: int) -> None:
    # No two letters of the text are alike, so a chunk shows where it was cut.
    text = "".join(chr(0x5000 + n) + joint for n, joint in enumerate(joints))
    end = 0
    for chunk in split_recursive(text, max_length=max_length, overlap=overlap):
        assert 0 < len(chunk) <= max_length
        if not chunk.strip(" .。"):
            continue
        start = text.index(chunk)
        assert end - overlap <= start
        assert not text[end:start].strip(" .。\n")
        assert start + len(chunk) > end
        end = start + len(chunk)
    assert not text[end:].strip(" .。\n")


@given(parts=st.lists(st.text(alphabet="ab c.", max_size=50), max_size=20), max_length=st.integers(5, 60))
def test_a_fixed_separator_is_the_only_thing_dropped(parts: list[str], max_length: int) -> None:
    text = "###".join(parts)
    chunks = split_fixed(text, separator="###", max_length=max_length)
    assert squeezed("".join(chunks)) == squeezed("".join(parts))
    assert all(0 < len(chunk) <= max_length for chunk in chunks)


def test_short_parts_are_not_merged_across_the_separator() -> None:
    assert split_fixed("one\ntwo\n\nthree", separator="\\n", max_length=100) == ["one", "two", "three"]


def test_overlap_repeats_the_end_of_the_chunk_before() -> None:
    text = " ".join(f"word{n:02}" for n in range(40))
    chunks = split_recursive(text, max_length=70, overlap=21)
    for before, after in itertools.pairwise(chunks):
        assert after.startswith(before[-20:])


def test_a_text_without_any_separator_is_cut_by_characters() -> None:
    chunks = split_recursive("x" * 1000, max_length=100, overlap=20)
    assert {len(chunk) for chunk in chunks[:-1]} <= set(range(90, 101))
    assert len(chunks) < 15


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("\\n\\n", "\n\n"), ("\\t", "\t"), ("\\\\n", "\\n"), ("\\u3002", "。"), ("##", "##"), ("\\r\\n", "\n")],
)
def test_escapes_mean_the_character(typed: str, meant: str) -> None:
    assert decode_escapes(typed) == meant


@pytest.mark.parametrize("unit", ["字", "a b. ", "x\n\n", ". "])
def test_time_grows_with_the_text_and_not_with_its_square(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        started = time.process_time()
        split_recursive(text, max_length=500, overlap=50)
        return time.process_time() - started

    small, large = seconds(100_000), seconds(800_000)
    assert large < max(small, 0.02) * 30
