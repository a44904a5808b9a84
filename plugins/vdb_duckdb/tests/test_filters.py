"""The conditions against the definition of filters, evaluated by the engine; what they look like."""

from collections.abc import Iterator

import duckdb
import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Filter, Not, Or, Record, Space
from dify_kernel.contracts.vector_exact import narrow
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.contracts.vector_tokens import leaf_tokens
from dify_kernel.testing.vector.data import NASTY, id_of
from dify_kernel.testing.vector.filtering import CASES, ROWS
from dify_vdb_duckdb.filters import said, to_sql
from dify_vdb_duckdb.rows import columns, create, table_of, upsert

SPACE = Space("filters", 2)
RED = Compare("in", "color", ["red"])
HAS = "list_has_any(tokens, ?::UUID[])"


@pytest.fixture(scope="module")
def table() -> Iterator[duckdb.DuckDBPyConnection]:
    """A table in memory that holds the rows of the suite."""
    with duckdb.connect() as connection:
        connection.execute(create(SPACE))
        rows = [Record(id=id_of(name), text="", vector=[1, 0], metadata=row) for name, row in ROWS.items()]
        connection.execute(upsert(SPACE), columns("p", rows))
        yield connection


@pytest.mark.parametrize(
    ("filter", "sql", "values"),
    [
        (None, "true", []),
        (RED, HAS, [leaf_tokens(RED)]),
        (Not(Exists("title")), f"(NOT {HAS})", [leaf_tokens(Exists("title"))]),
        (And([]), "true", []),
        (Or([]), "false", []),
        (Or([RED, And([])]), f"({HAS} OR true)", [leaf_tokens(RED)]),
        (
            Compare("ge", "page", 3),
            "coalesce(map_extract_value(numbers, ?) >= ?::DOUBLE, false)",
            ["page", 3],
        ),
    ],
    ids=str,
)
def test_to_sql(filter: Filter, sql: str, values: list[object]) -> None:
    assert to_sql(filter) == (sql, values)


@pytest.mark.parametrize("filter", [filter for filter, _ in CASES], ids=str)
def test_every_case_means_what_the_definition_means(table: duckdb.DuckDBPyConnection, filter: Filter) -> None:
    narrowed, whole = narrow(filter, said)
    sql, values = to_sql(narrowed)
    rows = table.execute(f"SELECT id::VARCHAR, ({sql}) IS NULL, {sql} FROM {table_of(SPACE)}", values * 2).fetchall()
    got = {id for id, _, held in rows if held}
    wanted = {id_of(name) for name, metadata in ROWS.items() if matches(filter, metadata)}
    assert got == wanted if whole else got >= wanted
    assert not any(unknown for _, unknown, _ in rows)


@pytest.mark.parametrize("op", ["eq", "contains", "starts_with", "ends_with"])
@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_a_user_wrote_stands_in_a_condition(op: str, text: str) -> None:
    narrowed, whole = narrow(Compare(op, "title", text), said)
    assert whole
    sql, values = to_sql(narrowed)
    plain, _ = to_sql(narrow(Compare(op, "title", "plain"), said)[0])
    assert sql == plain
    assert sql.count("?") == len(values)


@pytest.mark.parametrize("value", [2**53, -(2**53), 2**63 - 1, 1e20])
def test_what_a_double_cannot_tell_apart_is_not_said(value: float) -> None:
    assert narrow(Compare("gt", "page", value), said) == (Exists("page"), False)
