"""The dialect's conditions, asked of a real engine: they mean what the definition means."""

import msgspec
import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Not, Or
from dify_kernel.contracts.vector_exact import narrow
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.contracts.vector_tokens import metadata_tokens
from dify_kernel.families.sql_dialect import to_sql
from dify_kernel.testing.vector.data import NASTY
from dify_kernel.testing.vector.filtering import CASES, ROWS
from dify_vdb_oceanbase import OceanbaseStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import PASSWORD, socket_of

DIALECT = OceanbaseStore.dialect


@pytest.fixture(scope="module")
def ask(server):
    """Whether a condition holds for a row of metadata."""
    import pymysql

    address = {"unix_socket": socket_of(server), "user": "dify", "password": PASSWORD, "database": "vectors"}
    with pymysql.connect(**address, autocommit=True, init_command=OceanbaseStore.session) as connection:
        cursor = connection.cursor()
        columns = "id INTEGER PRIMARY KEY, metadata LONGTEXT NOT NULL, tokens LONGTEXT NOT NULL"
        cursor.execute(f"CREATE TABLE filtered ({columns}) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin")

        def holds(filter, metadata):
            condition, values = to_sql(DIALECT, filter)
            row = [msgspec.json.encode(metadata).decode(), DIALECT.tokens(metadata_tokens(metadata))]
            cursor.execute("REPLACE INTO filtered VALUES (1, %s, %s)", row)
            cursor.execute(
                f"SELECT ({condition}) AS told FROM filtered", values
            )  # the name of a column is cut within a character
            ((told,),) = cursor.fetchall()
            cursor.execute(f"SELECT id FROM filtered WHERE {condition}", values)
            assert told in (0, 1), "a condition is true or false, never NULL"
            assert len(cursor.fetchall()) == told
            return bool(told)

        yield holds
        cursor.execute("DROP TABLE filtered")


def said(filter):
    condition, whole = narrow(filter, DIALECT.said)
    assert whole, filter
    return condition


def test_every_case_is_said_as_a_whole(ask):
    for filter, names in CASES:
        assert {name for name, row in ROWS.items() if ask(said(filter), row)} == set(names), filter


def test_hostile_text_is_only_text(ask):
    for text in NASTY:
        for op in ("eq", "contains", "starts_with", "ends_with"):
            for other in NASTY:
                filter = Compare(op, "value", text)
                assert ask(said(filter), {"value": other}) == matches(filter, {"value": other}), (op, text, other)


def test_values_never_stand_in_the_statement():
    for op, value in (("eq", "x'; --"), ("in", ["x'; --"]), ("contains", "x'; --"), ("starts_with", "x'; --")):
        condition, values = to_sql(DIALECT, said(Compare(op, "field", value)))
        assert "x'" not in condition
        assert condition.count("%s") == len(values)


def test_order_beside_integers_that_a_double_cannot_hold_is_not_said():
    assert narrow(Compare("lt", "big", 2**53 - 1), DIALECT.said)[1]
    assert not narrow(Compare("lt", "big", 2**53 + 1), DIALECT.said)[1]


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3) | st.sampled_from("ab")
NUMBER = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e18, 1e18) | st.integers(0, 2)
SMALL = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e9, 1e9) | st.integers(0, 2)
SCALAR = TEXT | NUMBER | st.booleans()
ROW = st.dictionaries(st.sampled_from("fg"), SCALAR | st.lists(TEXT, max_size=3))
FIELD = st.sampled_from("fg")
LEAF = (
    st.builds(Compare, st.sampled_from(["eq", "ne"]), FIELD, SCALAR)
    | st.builds(Compare, st.sampled_from(["in", "not_in"]), FIELD, st.lists(SCALAR, max_size=80))
    | st.builds(Compare, st.sampled_from(["lt", "le", "gt", "ge"]), FIELD, SMALL)
    | st.builds(Compare, st.sampled_from(["contains", "starts_with", "ends_with"]), FIELD, TEXT)
    | st.builds(Exists, FIELD)
)
FILTER = st.recursive(
    LEAF, lambda f: st.builds(And, st.lists(f, max_size=3)) | st.builds(Or, st.lists(f, max_size=3)) | st.builds(Not, f)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(FILTER, ROW)
def test_the_condition_means_what_the_definition_means(ask, filter, row):
    assert ask(said(filter), row) == matches(filter, row)
