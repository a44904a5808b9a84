"""Thinking is parted from text the same way however the answer is cut into pieces."""

import re

import pytest
from dify_nodes_llm.reasoning import Separated, Tagged, without_thinking
from hypothesis import given
from hypothesis import strategies as st

BLOCK = re.compile(r"<think[^>]*>(.*?)</think>", re.IGNORECASE | re.DOTALL)


def at_once(text):
    """The rule, on the whole text."""
    thoughts = [block.strip() for block in BLOCK.findall(text)]
    return re.sub(r"\n\s*\n", "\n\n", BLOCK.sub("", text)).strip(), "\n".join(
        thought for thought in thoughts if thought
    )


def streamed(voice, deltas):
    pieces = [voice.feed(text, reasoning) for text, reasoning in deltas]
    pieces.append(voice.finish())
    return "".join(text for text, _ in pieces), "".join(reasoning for _, reasoning in pieces)


PARTS = [
    "<",
    "think",
    "<think>",
    "<THINK a='b'>",
    "</think>",
    "</",
    ">",
    "word",
    " ",
    "\n",
    "\n\n",
    "\t",
    "é",
    "<thin",
    "İ",
]


@given(pieces=st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=4)), max_size=30))
def test_any_cut_gives_what_the_whole_text_gives(pieces):
    expected = at_once("".join(pieces))
    assert streamed(Separated(), [(piece, "") for piece in pieces]) == expected
    assert streamed(Separated(), [("".join(pieces), "")]) == expected
    assert streamed(Separated(), [(char, "") for char in "".join(pieces)]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", ("plain", "")),
        ("<think>a</think>b", ("b", "a")),
        ("<think>\na\n</think>\n\nb", ("b", "a")),
        ("x<think>a</think>y<Think id='1'>b\nc</THINK>z", ("xyz", "a\nb\nc")),
        ("a < b <think", ("a < b <think", "")),
        ("<think>never closed", ("<think>never closed", "")),
        ("  a\n \n\n b  ", ("a\n\n b", "")),
        ("", ("", "")),
    ],
)
def test_separated(text, expected):
    assert at_once(text) == expected
    assert streamed(Separated(), [(text, "")]) == expected


def test_text_is_shown_as_soon_as_it_is_certain():
    voice = Separated()
    assert voice.feed("Hello", "") == ("Hello", "")
    assert voice.feed(" wor", "") == (" wor", "")
    assert voice.feed("ld <thi", "") == ("ld", "")
    assert voice.feed("s is", "") == (" <this is", "")


def test_reasoning_that_comes_apart():
    deltas = [("", "one "), ("", "two"), ("a", ""), ("<think>three</think>", ""), ("b", "")]
    assert streamed(Separated(), deltas) == ("ab", "one two\nthree")
    assert streamed(Tagged(), deltas) == ("<think>\none two\n</think>a<think>three</think>b", "")
    assert streamed(Tagged(), [("", "only")]) == ("<think>\nonly\n</think>", "")
    assert streamed(Tagged(), [("a", "r"), ("b", "s")]) == ("<think>\nr\n</think>a<think>\ns\n</think>b", "")


@given(pieces=st.lists(st.text(max_size=4)))
def test_tagged_leaves_text_alone(pieces):
    assert streamed(Tagged(), [(piece, "") for piece in pieces]) == ("".join(pieces), "")


def test_without_thinking():
    assert without_thinking("<think>{}</think>{1}") == "{1}"
    assert without_thinking("no block") == "no block"
