"""The conditions against the definition of filters, evaluated by the engine; what they look like."""

import lancedb
import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Not, Or, Record, Space
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.contracts.vector_tokens import leaf_tokens
from dify_kernel.testing.vector.data import NASTY, id_of
from dify_kernel.testing.vector.filtering import CASES, ROWS
from dify_vdb_lancedb.filters import conditions, to_sql, within
from dify_vdb_lancedb.rows import schema_of, to_table

SPACE = Space("filters", 2)
HEX = set("0123456789abcdef")


def has(leaf):
    return f"array_has_any(tokens, ['{leaf_tokens(leaf)[0]}'])"


RED = Compare("in", "color", ["red"])
THERE = Exists("title")


@pytest.mark.parametrize(
    ("filter", "sql"),
    [
        (RED, has(RED)),
        (Not(RED), f"NOT {has(RED)}"),
        (Not(Not(RED)), has(RED)),
        (And([]), "true"),
        (Or([]), "false"),
        (Not(Or([])), "true"),
        (Compare("in", "color", []), "false"),
        (Not(Compare("in", "color", [])), "true"),
        (And([RED]), has(RED)),
        (And([RED, THERE]), f"({has(RED)} AND {has(THERE)})"),
        (Not(And([RED, Not(THERE)])), f"(NOT {has(RED)} OR {has(THERE)})"),
        (Not(Or([RED, THERE])), f"(NOT {has(RED)} AND NOT {has(THERE)})"),
    ],
    ids=str,
)
def test_to_sql(filter, sql):
    assert to_sql(filter) == sql


async def test_every_case_means_what_the_definition_means(tmp_path):
    db = await lancedb.connect_async(tmp_path)
    table = await db.create_table("t", schema=schema_of(SPACE))
    rows = [Record(id=id_of(name), text="", vector=[1, 0], metadata=row) for name, row in ROWS.items()]
    await table.add(to_table(SPACE, "p", rows))
    for filter, _ in CASES:
        said, whole = conditions(filter)
        got = {row["id"] for row in await table.query().where(within("p", *said)).select(["id"]).to_list()}
        wanted = {row.id for row in rows if matches(filter, row.metadata)}
        assert got == wanted if whole else got >= wanted, filter


@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_a_user_wrote_stands_in_a_condition(text):
    (sql,), whole = conditions(Compare("eq", "title", text))
    token = sql.removeprefix("array_has_any(tokens, ['").removesuffix("'])")
    assert whole
    assert len(token) == 32
    assert set(token) <= HEX
    name = within(text).removeprefix("partition = '").removesuffix("'")
    assert name.isascii()
    assert name.replace("_", "a").isalnum()


def test_a_tree_too_deep_for_the_parser_is_not_said():
    deep = RED
    for _ in range(30):
        deep = And([Or([deep, RED]), THERE])
    assert conditions(deep) == ([], False)
    straight = RED
    for _ in range(200):
        straight = Not(And([straight]))
    assert conditions(straight) == ([has(RED)], True)
