"""The expressions: what they look like, and that nothing of a user's stands in them."""

import re

import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Not, Or
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.contracts.vector_tokens import leaf_tokens, metadata_tokens
from dify_kernel.testing.vector.data import NASTY
from dify_kernel.testing.vector.filtering import CASES, ROWS
from dify_vdb_milvus.filters import conditions, to_expression, within

RED, THERE = Compare("in", "color", ["red"]), Exists("title")
ALWAYS, NEVER = 'id != ""', 'id == ""'


def has(leaf):
    return f'array_contains_any(tokens, ["{leaf_tokens(leaf)[0]}"])'


@pytest.mark.parametrize(
    ("filter", "expression"),
    [
        (RED, has(RED)),
        (Not(RED), f"not {has(RED)}"),
        (Not(Not(RED)), has(RED)),
        (And([]), ALWAYS),
        (Or([]), NEVER),
        (Not(Or([])), ALWAYS),
        (Compare("in", "color", []), NEVER),
        (Not(Compare("in", "color", [])), ALWAYS),
        (And([RED]), has(RED)),
        (And([RED, THERE]), f"({has(RED)} and {has(THERE)})"),
        (Not(And([RED, Not(THERE)])), f"(not {has(RED)} or {has(THERE)})"),
        (Not(Or([RED, THERE])), f"(not {has(RED)} and not {has(THERE)})"),
    ],
    ids=str,
)
def test_to_expression(filter, expression):
    assert to_expression(filter) == expression


def holds(expression, tokens):
    """An expression by its words: those that are written here are Python's, too."""
    names = {"array_contains_any": lambda tokens, wanted: bool(set(tokens) & set(wanted)), "tokens": tokens, "id": "x"}
    return eval(expression, {"__builtins__": {}}, names)


@pytest.mark.parametrize(("filter", "names"), CASES, ids=[str(filter) for filter, _ in CASES])
def test_every_case_of_the_suite(filter, names):
    said, whole = conditions(filter)
    found = {name for name, row in ROWS.items() if all(holds(part, metadata_tokens(row)) for part in said)}
    wanted = {name for name, row in ROWS.items() if matches(filter, row)}
    assert found == wanted if whole else found >= wanted


@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_a_user_wrote_stands_in_an_expression(text):
    said, whole = conditions(Compare("eq", "title", text))
    assert whole
    assert re.fullmatch(
        r'partition == "[a-z0-9_]{1,63}" and array_contains_any\(tokens, \["[0-9a-f]{32}"\]\)', within(text, *said)
    )


def test_a_deep_tree_is_not_said():
    deep = RED
    for _ in range(30):
        deep = And([Or([deep, RED]), THERE])
    assert conditions(deep) == ([], False)
