"""The SQL of a filter against the definition of filters, inside the real engine."""

import json

import apsw
import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Not, Or
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.testing.vector.filtering import CASES, ROWS
from dify_vdb_sqlite.filters import to_sql
from hypothesis import given
from hypothesis import strategies as st

DB = apsw.Connection(":memory:")


def holds(filter, row):
    """What the engine answers for one row: 0 or 1, never NULL."""
    condition, values = to_sql(filter)
    return DB.execute(f"SELECT {condition} FROM (SELECT jsonb(?) AS metadata)", (*values, json.dumps(row))).fetchall()[
        0
    ][0]


@pytest.mark.parametrize(
    ("filter", "condition", "values"),
    [
        (None, "1", []),
        (And([]), "1", []),
        (Or([]), "0", []),
        (Exists("a"), """(json_type(metadata, '$."a"') IS NOT NULL)""", []),
        (Compare("in", "a", []), "0", []),
        (Not(Or([])), "(NOT 0)", []),
    ],
)
def test_condition(filter, condition, values):
    assert to_sql(filter) == (condition, values)


@pytest.mark.parametrize(("filter", "names"), CASES, ids=[str(filter) for filter, _ in CASES])
def test_every_case_of_the_suite(filter, names):
    assert {name: holds(filter, row) for name, row in ROWS.items()} == {name: int(name in names) for name in ROWS}


@pytest.mark.parametrize("value", ["' OR 1=1 --", '"; DROP TABLE texts', "%", "_", "\\", "?", ":x", "'||'"])
@pytest.mark.parametrize("op", ["eq", "ne", "contains", "starts_with", "ends_with"])
def test_a_value_never_stands_in_the_condition(op, value):
    condition, values = to_sql(Compare(op, "a", value))
    assert value in values
    assert condition == to_sql(Compare(op, "a", "x"))[0]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=4)
NUMBER = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
SCALAR = TEXT | NUMBER | st.booleans() | st.sampled_from(["a", "ab", "b", 0, 1, 1.0])
ROW = st.dictionaries(st.sampled_from("fg"), SCALAR | st.lists(TEXT | st.sampled_from(["a", "b"]), max_size=3))
FIELD = st.sampled_from("fg")
LEAF = (
    st.builds(Compare, st.sampled_from(["eq", "ne"]), FIELD, SCALAR)
    | st.builds(Compare, st.sampled_from(["in", "not_in"]), FIELD, st.lists(SCALAR, max_size=4))
    | st.builds(Compare, st.sampled_from(["lt", "le", "gt", "ge"]), FIELD, NUMBER)
    | st.builds(
        Compare, st.sampled_from(["contains", "starts_with", "ends_with"]), FIELD, TEXT | st.sampled_from(["a", "b"])
    )
    | st.builds(Exists, FIELD)
)
FILTER = st.recursive(
    LEAF, lambda f: st.builds(And, st.lists(f, max_size=3)) | st.builds(Or, st.lists(f, max_size=3)) | st.builds(Not, f)
)


@given(FILTER, ROW)
def test_sql_means_what_the_definition_means(filter, row):
    assert holds(filter, row) == int(matches(filter, row))


@given(ROW, FIELD)
def test_a_stored_value_equals_itself(row, field):
    if field in row and not isinstance(row[field], list):
        assert holds(Compare("eq", field, row[field]), row) == 1
        assert holds(Compare("in", field, [row[field], "other"]), row) == 1
