"""Measures of rankings, labelled sets, and the drawing of a comparison."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
from dify_host.cli.eval_plot import draw
from dify_host.cli.knowledge_eval import read_setting
from dify_host.knowledge.evaluation import compare, ndcg, recall, reciprocal_rank, score
from dify_host.knowledge.labelled import read_labelled
from dify_kernel.errors import BadInput
from hypothesis import given
from hypothesis import strategies as st

GAINS = {"a": 3.0, "b": 1.0, "c": 2.0}


def test_measures_against_their_definitions() -> None:
    best = 3 + 2 / math.log2(3) + 1 / 2
    assert ndcg(["a", "c", "b"], GAINS, 10) == pytest.approx(1.0)
    assert ndcg(["x", "a", "c"], GAINS, 10) == pytest.approx((3 / math.log2(3) + 2 / 2) / best)
    assert ndcg(["x", "a"], GAINS, 1) == 0.0
    assert recall(["x", "a", "b", "c"], GAINS, 3) == pytest.approx(2 / 3)
    assert reciprocal_rank(["x", "y", "b"], GAINS) == pytest.approx(1 / 3)
    assert reciprocal_rank(["x"], GAINS) == 0.0


@given(st.lists(st.sampled_from("abcdefgh"), unique=True), st.integers(1, 10))
def test_measures_lie_between_nothing_and_all(ranking: list[str], k: int) -> None:
    found = score(ranking, GAINS, k)
    for value in (found.ndcg, found.recall, found.reciprocal_rank):
        assert 0.0 <= value <= 1.0 + 1e-9


def test_a_difference_is_certain_only_when_it_holds_over_the_questions() -> None:
    base = [0.1 * (i % 7) for i in range(60)]
    better = compare(base, [value + 0.2 for value in base])
    assert better.is_certain
    assert (better.difference, better.better, better.worse) == (pytest.approx(0.2), 60, 0)
    mixed = compare(base, [value + (0.3 if i % 2 else -0.3) for i, value in enumerate(base)])
    assert not mixed.is_certain
    assert mixed.low < 0 < mixed.high
    assert compare(base, base).same == 60


def written(folder: Path, *, queries: str = "", qrels: str = "", passages: str = "") -> Path:
    (folder / "passages.jsonl").write_text(passages or '{"id": "p1", "text": "tea"}\n{"id": "p2", "text": " "}\n')
    (folder / "queries.jsonl").write_text(queries or '{"id": "1", "text": "what"}\n{"id": "2", "text": "who"}\n')
    (folder / "qrels.tsv").write_text(qrels or "query\tpassage\tgrade\n1\tp1\t1\n2\tp2\t1\n1\tgone\t1\n")
    return folder


def test_a_labelled_set_keeps_what_can_be_found(tmp_path: Path) -> None:
    found = read_labelled(written(tmp_path))
    assert [passage.id for passage in found.passages] == ["p1"]
    assert [question.id for question in found.questions] == ["1"]
    assert found.gains == {"1": {"p1": 1.0}}
    assert read_labelled(tmp_path, grades="rank").gains == {"1": {"p1": 4.0}}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"passages": '{"id": "p1"}\n'}, "passages.jsonl, line 1"),
        ({"passages": '{"id": "p", "text": "a"}\n{"id": "p", "text": "b"}\n'}, "'p' twice"),
        ({"queries": "\nno json\n"}, "queries.jsonl, line 2"),
        ({"qrels": "1\tp1\t1\n1 p1 1\n"}, "qrels.tsv, line 2"),
        ({"qrels": "1\tp1\t0\n"}, "No question"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read_labelled(written(tmp_path, **files))
    with pytest.raises(BadInput, match="cannot be read"):
        read_labelled(tmp_path / "nowhere")


def test_settings_by_name_and_as_json() -> None:
    assert read_setting("own", 10) is None
    assert read_setting("hybrid", 7) == {"search_method": "hybrid_search", "top_k": 7}
    assert read_setting('{"search_method": "full_text_search"}', 3) == {"search_method": "full_text_search", "top_k": 3}
    ranked = read_setting("rerank:vendor/some/model", 5) or {}
    chosen = {"reranking_provider_name": "vendor", "reranking_model_name": "some/model"}
    assert ranked["reranking_model"] == chosen
    for wrong in ("magic", "rerank:", "{", "[1]"):
        with pytest.raises(BadInput, match="setting"):
            read_setting(wrong, 10)


def test_a_comparison_is_drawn_as_well_formed_svg() -> None:
    some = [score(["a"], GAINS, 10), score(["x", "c"], GAINS, 10)]
    other = [score(["a", "c"], GAINS, 10), score([], GAINS, 10)]
    tree = ElementTree.fromstring(draw("A < B & C", ["semantic", '{"top_k": 3}'], [some, other], 10))
    assert tree.tag.endswith("svg")
    texts = [item.text for item in tree.iter() if item.tag.endswith("text")]
    assert "A < B & C" in texts
    assert '{"top_k": 3}' in texts
