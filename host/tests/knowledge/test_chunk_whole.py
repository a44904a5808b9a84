"""Whatever the rule, the chunks of a document hold all of its letters in order, and repeat at most the overlap."""

from __future__ import annotations

import re

import pytest
from dify_host.knowledge.chunk import chunk_texts
from dify_host.knowledge.clean import clean
from dify_host.knowledge.rules import ProcessRule, check_rule, read_rule
from hypothesis import given
from hypothesis import strategies as st

SEPARATORS = (
    *("\n", "\\n", "\\n\\n", "\\r\\n", "###", ".*", "[", "(?i)", "[a-z]", "\\\\", "\\x", "\\ud800", "\\u3002", "\\t"),
    *("", " ", "|", "$", "^", "。", "x" * 500),
)
JOINTS = ("", "", "", " ", "\n", "\n\n", "。", ". ", "###", ".*", "[", "|", "\t", "\\", "?", "! ", "\u3000", "😀\u200d")
LETTER = re.compile("[\u5000-\u9fff]")

texts_of_joints = st.lists(st.lists(st.sampled_from(JOINTS), min_size=60, max_size=150), min_size=1, max_size=3)
lengths = st.sampled_from((50, 51, 100, 4000))


def written(texts: list[list[str]]) -> list[str]:
    """Texts in which no two letters are alike, so that a chunk shows where it was cut."""
    letters = (chr(0x5000 + number) for number in range(1000))
    return ["".join(next(letters) + joint for joint in joints) for joints in texts]


def places(text: str) -> list[int]:
    return [ord(letter) for letter in LETTER.findall(text)]


def check_whole(source: str, pieces: list[str], longest: int, overlap: int) -> None:
    expected = places(source)
    end = 0
    for piece in pieces:
        assert 0 < len(piece) <= longest
        found = places(piece)
        if found:
            start = expected.index(found[0])
            assert found == expected[start : start + len(found)]
            assert end - overlap <= start <= end
            end = max(end, start + len(found))
    assert end == len(expected)


def rule_of(mode: str, form: str, separator: str, longest: int, overlap: int, parent_mode: str) -> ProcessRule:
    pre = [{"id": "remove_extra_spaces", "enabled": True}, {"id": "remove_urls_emails", "enabled": True}]
    part = {"max_tokens": longest, "separator": separator, "chunk_overlap": overlap}
    inner = {"max_tokens": 60, "separator": separator[::-1], "chunk_overlap": 20}
    rules = {"pre_processing_rules": pre, "segmentation": part}
    if mode == "hierarchical":
        rules |= {"parent_mode": parent_mode, "subchunk_segmentation": inner}
    return check_rule(read_rule(mode, rules), doc_form=form)


@pytest.mark.parametrize("form", ["text_model", "qa_model"])
@given(
    texts=texts_of_joints, separator=st.sampled_from(SEPARATORS), longest=lengths, part=st.sampled_from((0, 0.2, 0.98))
)
def test_chunks_are_the_document(form: str, texts: list[list[str]], separator: str, longest: int, part: float) -> None:
    rule = rule_of("custom", form, separator, longest, int(longest * part), "")
    sources = [clean(text, rule.effective) for text in written(texts)]
    pieces = [chunk.content for chunk in chunk_texts(sources, rule, form)]
    check_whole("".join(sources), pieces, longest, min(int(longest * part), longest // 2))
    assert places("".join(sources)) == places("".join(written(texts)))


@pytest.mark.parametrize("parent_mode", ["full-doc", "paragraph"])
@given(texts=texts_of_joints, separator=st.sampled_from(SEPARATORS), longest=lengths)
def test_children_are_their_parents_and_those_the_document(
    parent_mode: str, texts: list[list[str]], separator: str, longest: int
) -> None:
    rule = rule_of("hierarchical", "hierarchical_model", separator, longest, 10, parent_mode)
    sources = written(texts)
    chunks = chunk_texts(sources, rule, "hierarchical_model")
    check_whole(
        "".join(sources), [chunk.content for chunk in chunks], 10_000 if parent_mode == "full-doc" else longest, 10
    )
    for chunk in chunks:
        check_whole(chunk.content, chunk.children, 60, 20)
