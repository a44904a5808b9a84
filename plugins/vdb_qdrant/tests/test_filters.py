"""The vendor's filter against the definition of filters, evaluated by the vendor's own engine."""

import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Not, Or
from dify_kernel.contracts.vector_exact import narrow
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.contracts.vector_tokens import leaf_tokens
from dify_kernel.testing.vector.filtering import CASES, ROWS
from dify_vdb_qdrant.filters import NEVER, said, to_condition, tokens
from dify_vdb_qdrant.points import to_filter
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.local.payload_filters import check_filter

RED = Compare("eq", "color", "red")
TEXT_RED = {"key": "tokens", "match": {"any": leaf_tokens(Compare("in", "color", ["red"]))}}
TITLE_IS_THERE = {"key": "tokens", "match": {"any": leaf_tokens(Exists("title"))}}
A_IS_THERE = {"key": "tokens", "match": {"any": leaf_tokens(Exists("a"))}}


def holds(filter, row):
    """What the vendor's engine finds of a narrowed filter; everything when nothing is said of it."""
    narrowed, _ = narrow(filter, said)
    conditions = [] if narrowed is None else [to_condition(narrowed)]
    return check_filter(to_filter(models, conditions), payload_of(row), "1", {})


def payload_of(row):
    return {"metadata": row, "tokens": tokens(row)}


def is_whole(filter):
    return narrow(filter, said)[1]


@pytest.mark.parametrize(
    ("filter", "condition"),
    [
        (RED, TEXT_RED),
        (Compare("ne", "color", "red"), {"must_not": [TEXT_RED]}),
        (Compare("in", "color", []), NEVER),
        (Compare("not_in", "color", []), {"must_not": [NEVER]}),
        (
            Compare("ge", "page", 2),
            {
                "must": [
                    {"key": "tokens", "match": {"value": "page:number"}},
                    {"key": "metadata.page", "range": {"gte": 2}},
                ]
            },
        ),
        (Exists("a"), A_IS_THERE),
        (And([]), {"must_not": [NEVER]}),
        (Or([]), NEVER),
        (Not(RED), {"must_not": [TEXT_RED]}),
        (And([RED, Exists("a")]), {"must": [TEXT_RED, A_IS_THERE]}),
        (And([RED, Compare("contains", "title", "a")]), {"must": [TEXT_RED, TITLE_IS_THERE]}),
    ],
    ids=str,
)
def test_to_condition(filter, condition):
    assert to_condition(narrow(filter, said)[0]) == condition


@pytest.mark.parametrize(("filter", "names"), CASES, ids=[str(filter) for filter, _ in CASES])
def test_every_case_of_the_suite(filter, names):
    found = {name for name, row in ROWS.items() if holds(filter, row)}
    assert found >= set(names)
    assert not is_whole(filter) or found == set(names)


def test_every_condition_travels_over_grpc():
    for filter, names in CASES:
        if is_whole(filter):
            condition = to_condition(narrow(filter, said)[0])
            sent = RestToGrpc.convert_filter(to_filter(models, [condition]))
            received = GrpcToRest.convert_filter(type(sent).FromString(sent.SerializeToString()))
            found = {name for name, row in ROWS.items() if check_filter(received, payload_of(row), "1", {})}
            assert found == set(names), filter


def test_order_beside_integers_that_a_double_cannot_hold_is_not_said():
    assert is_whole(Compare("in", "big", [1, 2**53 + 1]))
    assert is_whole(Compare("lt", "big", 2**53 - 1))
    assert not is_whole(Compare("lt", "big", 2**53 + 1))
    assert not is_whole(Not(Or([Compare("contains", "title", "a")])))


TEXT = st.text(max_size=3) | st.sampled_from(["a", "b"])
NUMBER = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e9, 1e9) | st.integers(0, 2)
SCALAR = TEXT | NUMBER | st.booleans()
ROW = st.dictionaries(st.sampled_from("fg"), SCALAR | st.lists(TEXT, max_size=3))
FIELD = st.sampled_from("fg")
LEAF = (
    st.builds(Compare, st.sampled_from(["eq", "ne"]), FIELD, SCALAR)
    | st.builds(Compare, st.sampled_from(["in", "not_in"]), FIELD, st.lists(SCALAR, max_size=4))
    | st.builds(Compare, st.sampled_from(["lt", "le", "gt", "ge"]), FIELD, NUMBER)
    | st.builds(Exists, FIELD)
)
FILTER = st.recursive(
    LEAF, lambda f: st.builds(And, st.lists(f, max_size=3)) | st.builds(Or, st.lists(f, max_size=3)) | st.builds(Not, f)
)


@given(FILTER, ROW)
def test_the_condition_means_what_the_definition_means(filter, row):
    assert holds(filter, row) == matches(filter, row)


@given(st.lists(FILTER | st.builds(Compare, st.just("contains"), FIELD, TEXT), max_size=3), ROW)
def test_narrowing_keeps_every_match(items, row):
    assert holds(And(items), row) or not matches(And(items), row)
