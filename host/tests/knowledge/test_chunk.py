"""From cleaned texts to chunks: rules, cleaning, shapes, hashes and keywords."""

from __future__ import annotations

import time

import pytest
from dify_host.knowledge.chunk import Chunk, chunk_texts, text_hash
from dify_host.knowledge.clean import clean
from dify_host.knowledge.rules import AUTOMATIC_RULES, ProcessRule, Rules, check_rule, read_rule
from dify_host.knowledge.words import keyword_scores, keywords, words
from dify_kernel.errors import BadInput


def rule(mode: str = "custom", *, spaces: bool = True, addresses: bool = False, **parts: object) -> ProcessRule:
    pre = [
        {"id": "remove_extra_spaces", "enabled": spaces},
        {"id": "remove_urls_emails", "enabled": addresses},
    ]
    rules = {"pre_processing_rules": pre, "segmentation": {"max_tokens": 100, "separator": "\n"}, **parts}
    return read_rule(mode, rules)


def rules_of(**options: bool) -> Rules:
    return rule(**options).effective


def test_markers_and_control_characters_always_go() -> None:
    dirty = "<|im_start|>a\x00b\x07c\td\n\x7fe\ufffef"
    assert clean(dirty, rules_of(spaces=False)) == "<im_start>abc\td\nef"


def test_extra_spaces_are_folded_only_when_the_rule_is_on() -> None:
    text = "a \u3000\t b\n\n\n\nc"
    assert clean(text, rules_of(spaces=True)) == "a b\n\nc"
    assert clean(text, rules_of(spaces=False)) == text


def test_addresses_go_and_markdown_links_stay() -> None:
    text = "Mail me@example.com now, or see https://a.example/x?y=1, [page](https://b.example/z) ![i](http://c/d.png)!"
    kept = "Mail  now, or see  [page](https://b.example/z) ![i](http://c/d.png)!"
    assert clean(text, rules_of(addresses=True)) == kept
    assert clean(text, rules_of()) == text


@pytest.mark.parametrize("unit", ["a", "[", "[a](", "a@", "http://", "a.", "](", "[a](()"])
def test_cleaning_hostile_text_is_linear(unit: str) -> None:
    started = time.process_time()
    clean(unit * (400_000 // len(unit)), rules_of(addresses=True))
    assert time.process_time() - started < 3


def test_automatic_chunks_hold_at_most_500_characters() -> None:
    text = "\n".join(f"Line {n} says something of no importance." for n in range(100))
    chunks = chunk_texts([text], ProcessRule(), "text_model")
    assert all(len(chunk.content) <= 500 for chunk in chunks)
    assert len(chunks) < 15


def test_what_a_cut_leaves_in_front_is_dropped() -> None:
    assert chunk_texts(["。first\n., second\n ... \n![image](x)"], rule(), "text_model") == [
        Chunk(content="first"),
        Chunk(content="second"),
        Chunk(content="![image](x)"),
    ]


def test_paragraph_parents_hold_their_children() -> None:
    inner = {"max_tokens": 50, "separator": ". "}
    parts = {"segmentation": {"max_tokens": 100, "separator": "\\n\\n"}, "subchunk_segmentation": inner}
    chunks = chunk_texts(["One. Two\n\nThree. Four"], rule("hierarchical", **parts), "hierarchical_model")
    assert chunks == [
        Chunk(content="One. Two", children=["One", "Two"]),
        Chunk(content="Three. Four", children=["Three", "Four"]),
    ]


def test_full_doc_is_one_parent_of_all_pages() -> None:
    parts = {"parent_mode": "full-doc", "subchunk_segmentation": {"max_tokens": 50, "separator": "\n"}}
    (chunk,) = chunk_texts(["page one", "page two"], rule("hierarchical", **parts), "hierarchical_model")
    assert chunk == Chunk(content="page one\npage two", children=["page one", "page two"])


def test_questions_are_made_of_the_chunks_of_a_text() -> None:
    texts = ["Tea is green. " * 100]
    assert chunk_texts(texts, ProcessRule(), "qa_model") == chunk_texts(texts, ProcessRule(), "text_model")


def test_the_text_hash_is_the_one_indexes_already_hold() -> None:
    assert text_hash("") == "dc937b59892604f5a86ac96936cd7ff09e25f18ae6b758e8014a24c7fa039e91"
    assert text_hash("a") != text_hash("b")


def test_rules_are_read_from_what_was_stored() -> None:
    stored = {
        "pre_processing_rules": [{"id": "remove_stopwords", "enabled": True}],
        "segmentation": {"delimiter": "\n\n", "max_tokens": 200, "chunk_overlap": 10},
    }
    assert read_rule("custom", stored).effective.segmentation.separator == "\n\n"
    assert read_rule("automatic", None).effective is AUTOMATIC_RULES
    assert read_rule("automatic", {}).effective is AUTOMATIC_RULES


@pytest.mark.parametrize(
    ("parts", "doc_form", "message"),
    [
        ({"segmentation": {"max_tokens": 49}}, "text_model", "segmentation.max_tokens is 49"),
        ({"segmentation": {"max_tokens": 4001}}, "text_model", "between 50 and 4000"),
        ({"segmentation": {"max_tokens": 100, "chunk_overlap": 100}}, "text_model", "chunk_overlap"),
        ({}, "hierarchical_model", "subchunk_segmentation"),
        ({"subchunk_segmentation": {"max_tokens": 1}}, "hierarchical_model", "subchunk_segmentation.max_tokens"),
    ],
)
def test_rules_that_do_not_work_are_refused(parts: dict[str, object], doc_form: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        check_rule(rule(**parts), doc_form=doc_form)


@pytest.mark.parametrize(("mode", "rules"), [("magic", None), ("custom", {"segmentation": 1}), ("custom", [])])
def test_malformed_rules_are_bad_input(mode: str, rules: object) -> None:
    with pytest.raises(BadInput):
        check_rule(read_rule(mode, rules))


def test_words_are_case_blind_and_cut_scripts_without_blanks_in_pairs() -> None:
    assert words("The Cat sat ON a MAT-42") == ["cat", "sat", "mat", "42"]
    assert words("知识库检索") == ["知识", "识库", "库检", "检索"]
    assert words("Ｆｕｌｌ 한국어 naïve") == ["full", "한국", "국어", "naïve"]


def test_keywords_are_the_words_that_stand_out() -> None:
    assert keywords("Travel allowance: the travel allowance is 42 a day", 2) == ["allowance", "travel"]


def test_keyword_scores_rank_what_shares_rare_words() -> None:
    texts = ["the travel allowance is 42", "office hours are nine to five", "the allowance for food"]
    scores = keyword_scores("travel allowance", texts)
    assert scores[0] > scores[2] > scores[1] == 0
    assert keyword_scores("", texts) == [0, 0, 0]
    assert keyword_scores("travel allowance", ["travel allowance"])[0] == pytest.approx(1)
