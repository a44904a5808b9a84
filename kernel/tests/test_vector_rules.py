"""Geometry, fusion, and the definition of filters and checks that stores share."""

import math

import pytest
from dify_kernel.contracts.vector import And, Compare, Hit, Record, Space
from dify_kernel.contracts.vector_rules import (
    check_filter,
    check_records,
    clamp,
    cosine,
    cut,
    fuse,
    is_uuid,
    last_by_id,
    matches,
    unit,
)
from dify_kernel.errors import InvalidQuery
from dify_kernel.testing.vector.filtering import BAD, CASES, ROWS
from hypothesis import given
from hypothesis import strategies as st

VECTORS = st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3).filter(lambda v: math.hypot(*v) > 1e-3)


def test_matches_defines_every_case_of_the_suite():
    for filter, names in CASES:
        check_filter(filter)
        assert "".join(name for name, row in ROWS.items() if matches(filter, row)) == names, filter


@pytest.mark.parametrize("filter", BAD, ids=str)
def test_check_filter_refuses(filter):
    with pytest.raises(InvalidQuery):
        check_filter(filter)


def test_check_filter_refuses_what_is_no_filter():
    with pytest.raises(InvalidQuery, match="dict is not a filter"):
        check_filter(And([{"eq": 1}]))


SCALARS = st.text(max_size=3) | st.integers(-3, 3) | st.floats(-3, 3) | st.booleans()


@given(SCALARS, SCALARS)
def test_ne_and_not_in_negate_eq_and_in(found, value):
    for row in ({"f": found}, {}):
        assert matches(Compare("ne", "f", value), row) is not matches(Compare("eq", "f", value), row)
        assert matches(Compare("not_in", "f", [value]), row) is not matches(Compare("in", "f", [value]), row)
        assert matches(Compare("in", "f", [value]), row) is matches(Compare("eq", "f", value), row)


@given(VECTORS, VECTORS, st.floats(0.01, 100))
def test_cosine_is_symmetric_bounded_and_blind_to_length(a, b, scale):
    assert -1 <= cosine(a, b) <= 1
    assert cosine(a, b) == pytest.approx(cosine(b, a))
    assert cosine([scale * x for x in a], b) == pytest.approx(cosine(a, b), abs=1e-9)
    assert cosine(a, a) == pytest.approx(1)
    assert math.hypot(*unit(a)) == pytest.approx(1)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-100, 1e100, 1e200, 1e300])
def test_cosine_of_what_no_product_holds(scale):
    a, b = [3.0, 4.0, 0.0], [4.0, 3.0, 0.0]
    for one, other in ((scale, scale), (scale, 1.0), (scale, 1 / scale)):
        assert cosine([one * x for x in a], [other * x for x in b]) == pytest.approx(0.96)


def test_clamp():
    assert [clamp(x) for x in (-1.0000001, -1, 0.3, 1, 1.0000001)] == [-1, -1, 0.3, 1, 1]


def test_fuse_adds_reciprocal_ranks():
    assert fuse(["a", "b", "c"], ["c", "b"]) == ["c", "b", "a"]  # 1/63+1/61 > 1/62+1/62 > 1/61
    assert fuse(["a", "b"], []) == ["a", "b"]
    assert fuse([], []) == []


def test_cut():
    hits = [Hit(id=str(i), text="", score=1 - i / 10) for i in range(5)]
    assert cut(hits, 2, None) == hits[:2]
    assert cut(hits, 4, 0.8) == hits[:3]


def test_last_by_id():
    records = [Record(id=id, text=text, vector=[1.0]) for id, text in (("a", "1"), ("b", "2"), ("a", "3"))]
    assert {record.id: record.text for record in last_by_id(records)} == {"a": "3", "b": "2"}


def test_is_uuid():
    good = "6b1f0f2e-0000-4000-8000-000000000001"
    assert is_uuid(good)
    assert not any(map(is_uuid, ("", "1", good.upper(), good.replace("-", ""), f"{{{good}}}", f"urn:uuid:{good}")))


def test_a_refusal_names_the_record_and_the_key():
    id = "6b1f0f2e-0000-4000-8000-000000000001"
    with pytest.raises(InvalidQuery, match=f"Metadata 'a' of record {id} is None"):
        check_records(Space("s", 1), [Record(id=id, text="", vector=[1.0], metadata={"a": None})])
    with pytest.raises(InvalidQuery, match=f"record {id} has dimension 2, space s has 1"):
        check_records(Space("s", 1), [Record(id=id, text="", vector=[1.0, 2.0])])
