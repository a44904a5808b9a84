"""Rows: pieces of texts, words as terms, parts of a request."""

import pytest
from dify_kernel.contracts.vector import MAX_TEXT_BYTES
from dify_kernel.errors import InvalidQuery
from dify_kernel.testing.vector.data import NASTY, record
from dify_vdb_milvus.rows import LONGEST, MOST_TOKENS, batches, query_words, text_of, text_words, to_row
from hypothesis import given
from hypothesis import strategies as st

LONG = "知识 word🙂 " * (MAX_TEXT_BYTES // 19)


@pytest.mark.parametrize("text", ["", *NASTY, LONG, "x" * LONGEST, "é" * (MAX_TEXT_BYTES // 2)])
def test_a_text_comes_back_from_its_pieces(text):
    row = to_row("p", record(1, text=text))
    assert text_of(row) == text
    assert max(len(piece.encode()) for piece in [row["text"], *row["rest"]]) <= LONGEST
    assert len(row["rest"]) <= 8


@given(st.text())
def test_the_words_of_a_query_are_among_those_of_the_same_text(text):
    assert set(query_words(text).split()) <= set(text_words(text).split())
    assert text_words(text).replace(" ", "a").isalnum() or not text_words(text)


def test_words_fit_into_a_field():
    many = " ".join(f"word{i}" for i in range(20_000))
    assert len(text_words(many)) <= LONGEST
    repeated = "pear plum " * 20_000
    assert set(text_words(repeated).split()) == set(query_words("pear plum").split())


def test_metadata_with_more_tokens_than_an_array_holds_is_refused():
    row = to_row("p", record(1, **{f"f{i}": i for i in range(MOST_TOKENS // 2)}))
    assert len(row["tokens"]) == MOST_TOKENS
    with pytest.raises(InvalidQuery, match="too many fields"):
        to_row("p", record(1, **{f"f{i}": i for i in range(MOST_TOKENS // 2 + 1)}))


def test_parts_hold_every_record_once_and_are_bounded():
    records = [record(i, text="t" * (i % 7) * 100_000) for i in range(200)] + [record(f"s{i}") for i in range(1200)]
    parts = list(batches(records))
    assert [item.id for part in parts for item in part] == [item.id for item in records]
    assert max(map(len, parts)) == 500
    assert max(sum(len(item.text) for item in part) for part in parts) < 2_500_000
    assert list(batches([])) == []
