"""The vendor's filter against the definition of filters, evaluated by the vendor's own engine."""

import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Not, Or
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.testing.vector.filtering import CASES, ROWS
from dify_vdb_qdrant.filters import NEVER, expressible, kinds, narrowing, to_condition
from dify_vdb_qdrant.points import to_filter
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.local.payload_filters import check_filter

RED = Compare("eq", "color", "red")
TEXT_RED = {
    "must": [{"key": "kinds", "match": {"value": "color:text"}}, {"key": "metadata.color", "match": {"value": "red"}}]
}


def holds(filter, row):
    payload = {"metadata": row, "kinds": kinds(row)}
    return check_filter(to_filter(models, [to_condition(filter)]), payload, "1", {})


@pytest.mark.parametrize(
    ("filter", "condition"),
    [
        (RED, TEXT_RED),
        (Compare("ne", "color", "red"), {"must_not": [TEXT_RED]}),
        (Compare("in", "color", []), NEVER),
        (Compare("not_in", "color", []), {"must_not": [NEVER]}),
        (Compare("eq", "ok", True), {"key": "kinds", "match": {"value": "ok:true"}}),
        (
            Compare("ge", "page", 2),
            {
                "must": [
                    {"key": "kinds", "match": {"value": "page:number"}},
                    {"key": "metadata.page", "range": {"gte": 2}},
                ]
            },
        ),
        (Exists("color"), {"key": "kinds", "match": {"value": "color"}}),
        (And([]), {"must_not": [NEVER]}),
        (Or([]), NEVER),
        (Not(RED), {"must_not": [TEXT_RED]}),
        (And([RED, Exists("a")]), {"must": [TEXT_RED, {"key": "kinds", "match": {"value": "a"}}]}),
    ],
    ids=str,
)
def test_to_condition(filter, condition):
    assert to_condition(filter) == condition


@pytest.mark.parametrize(("filter", "names"), CASES, ids=[str(filter) for filter, _ in CASES])
def test_every_case_of_the_suite_that_can_be_said(filter, names):
    if expressible(filter):
        assert {name for name, row in ROWS.items() if holds(filter, row)} == set(names)


def test_every_condition_travels_over_grpc():
    for filter, names in CASES:
        if expressible(filter):
            sent = RestToGrpc.convert_filter(to_filter(models, [to_condition(filter)]))
            received = GrpcToRest.convert_filter(type(sent).FromString(sent.SerializeToString()))
            payloads = {name: {"metadata": row, "kinds": kinds(row)} for name, row in ROWS.items()}
            found = {name for name, payload in payloads.items() if check_filter(received, payload, "1", {})}
            assert found == set(names), filter


def test_what_cannot_be_said_is_narrowed_by_what_can():
    part = Compare("contains", "title", "a")
    assert not expressible(part)
    assert not expressible(Not(Or([part])))
    assert not expressible(Compare("in", "big", [1, 2**53]))
    assert narrowing(And([RED, part])) == [RED]
    assert narrowing(Or([RED, part])) == []
    assert narrowing(part) == []


def test_kinds():
    row = {"a": "x", "b": 1, "c": 1.5, "d": True, "e": False, "f": []}
    assert kinds(row)[1::2] == ["a:text", "b:number", "c:number", "d:true", "e:false", "f:list"]
    assert kinds(row)[::2] == list("abcdef")


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
    filter = And(items)
    if matches(filter, row):
        assert all(holds(part, row) for part in narrowing(filter))
