"""Words of any script, and their ranking."""

import math
import unicodedata

import pytest
from dify_kernel.contracts.lexical import _UNSPACED, bm25, query_terms, runs, text_terms
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" -*?。", []),
        ("Hello, World!", [("hello", False), ("world", False)]),
        ("snake_case e-mail", [("snake", False), ("case", False), ("e", False), ("mail", False)]),
        ("STRASSE straße", [("strasse", False), ("strasse", False)]),
        ("ｆｕｌｌ　ｗｉｄｔｈ", [("full", False), ("width", False)]),
        ("使用Python3写的知识库", [("使用", True), ("python3", False), ("写的知识库", True)]),
        ("データ 검색", [("データ", True), ("검색", True)]),
        ("cafe\u0301", [("café", False)]),
        ("हिन्दी", [("हिन्दी", False)]),
        ("𠮷野家", [("𠮷野家", True)]),
        ("การเดินทาง by train", [("การเดินทาง", True), ("by", False), ("train", False)]),
        ("ປະເທດລາວ", [("ປະເທດລາວ", True)]),
        ("ភាសាខ្មែរ", [("ភាសាខ្មែរ", True)]),
        ("မြန်မာဘာသာ၊ 2024", [("မြန်မာဘာသာ", True), ("2024", False)]),
    ],
)
def test_runs(text, found):
    assert list(runs(text)) == found


def test_terms_of_unspaced_scripts():
    assert query_terms("知识库 库 cat cat") == ["知识", "识库", "库", "cat"]
    assert text_terms("知识库 cat cat") == ["知", "识", "库", "知识", "识库", "cat", "cat"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("เบี้ยเลี้ยงเดินทางวันละสี่สิบสองยูโร", "เดินทาง"),
        ("ຄ່າເດີນທາງມື້ລະສີ່ສິບສອງເອີໂຣ", "ເດີນທາງ"),
        ("ប្រាក់ឧបត្ថម្ភធ្វើដំណើរសែសិបពីរអឺរ៉ូ", "ធ្វើដំណើរ"),
        ("ခရီးသွားစရိတ်တစ်ရက်လျှင်ယူရို", "ခရီးသွား"),
        ("出張手当は一日四十二ユーロです", "手当"),
        ("출장수당은하루사십이유로입니다", "수당"),
        ("差旅津贴为每天四十二欧元", "津贴"),
    ],
)
def test_a_word_inside_an_unspaced_text_is_found_and_ranks_it_first(text, word):
    others = {"b": text.replace(word, ""), "c": "something else", "d": text[-len(text) // 4 :]}
    assert bm25(word, {"a": text, **others})[0][0] == "a"


@given(st.text())
def test_a_text_is_found_by_each_of_its_own_words(text):
    assert set(query_terms(text)) <= set(text_terms(text))
    assert [id for id, _ in bm25(text, {"it": text})] == (["it"] if text_terms(text) else [])


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_text_takes_the_same_way_as_any_other(text):
    assert list(runs(text)) == list(runs(text + " é"))[:-1]


def test_bm25_against_the_formula():
    documents = {"a": "x y", "b": "x x z", "c": "z"}
    rarity = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))

    def score(count, length):
        return rarity * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / 2))

    assert bm25("x", documents) == [("b", pytest.approx(score(2, 3))), ("a", pytest.approx(score(1, 2)))]
    assert bm25("nothing", documents) == bm25("x", {}) == []


SCRIPTS = st.text(st.sampled_from("aZ9_ é\u0301ß-。かカ知识库กี่한ﬁ٣Ⅷ\u0e31\u200d\ud800𠮷\u3099") | st.characters())


@given(SCRIPTS)
def test_runs_are_as_they_are_defined(text):
    """One character after the other: what is a letter, digit or mark goes on, and a mark never changes the kind."""
    expected, run, unspaced = [], "", False
    for char in unicodedata.normalize("NFKC", text).casefold():
        kept = unicodedata.category(char)[0] in "LNM"
        kind = any(first <= ord(char) <= last for first, last in _UNSPACED)
        if run and not (kept and (kind is unspaced or unicodedata.combining(char))):
            expected.append((run, unspaced))
            run = ""
        if kept:
            run, unspaced = run + char, unspaced if run else kind
    assert list(runs(text)) == [*expected, *([(run, unspaced)] if run else [])]
