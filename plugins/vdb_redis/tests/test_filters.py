"""The expressions: what they look like, and that they never leave out what matches."""

import re

import msgspec
import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Not, Or
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.contracts.vector_tokens import leaf_tokens
from dify_kernel.testing.vector.data import NASTY
from dify_kernel.testing.vector.filtering import CASES, ROWS
from dify_vdb_redis.filters import MOST, attributes_of, expression_of

RED, PAGES, THERE = Compare("eq", "color", "red"), Compare("in", "page", [1, "2"]), Exists("title")


def among(field, *values):
    tokens = ",".join(f'"{token}"' for token in leaf_tokens(Compare("in", field, list(values))))
    return f"(.{field} in [{tokens}])"


@pytest.mark.parametrize(
    ("filter", "expression", "whole"),
    [
        (None, None, True),
        (And([]), None, True),
        (RED, among("color", "red"), True),
        (PAGES, among("page", 1, "2"), True),
        (THERE, '(.title != "")', True),
        (And([RED, And([THERE])]), among("color", "red") + ' and (.title != "")', True),
        (Compare("in", "color", []), "(0)", True),
        (Not(RED), None, False),
        (Or([RED, THERE]), None, False),
        (Compare("ne", "color", "red"), None, False),
        (Compare("lt", "page", 2), None, False),
        (And([RED, Not(THERE), Compare("contains", "title", "a")]), among("color", "red"), False),
    ],
    ids=str,
)
def test_what_is_said(filter, expression, whole):
    assert expression_of(filter) == (expression, whole)


def holds(expression, attributes):
    """What the server's documentation says of such an expression: no, as soon as a field is missing."""
    for part in [] if expression is None else re.findall(r"\(([^()]*)\)", expression):
        if part == "0":
            return False
        field, rest = re.fullmatch(r"\.(\w+) (.*)", part).groups()
        if field not in attributes:
            return False
        if rest.startswith("in ") and attributes[field] not in msgspec.json.decode(rest.removeprefix("in ")):
            return False
    return True


@pytest.mark.parametrize(("filter", "names"), CASES, ids=[str(filter) for filter, _ in CASES])
def test_every_case_of_the_suite(filter, names):
    expression, whole = expression_of(filter)
    kept = {name: msgspec.json.decode(attributes_of(row)) for name, row in ROWS.items()}
    found = {name for name in ROWS if holds(expression, kept[name])}
    wanted = {name for name, row in ROWS.items() if matches(filter, row)}
    assert found == wanted if whole else found >= wanted


@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_a_user_wrote_stands_in_an_expression(text):
    expression, whole = expression_of(And([Compare("eq", "title", text), Compare("in", "page", [text, 7])]))
    assert whole
    assert re.fullmatch(r'[a-z0-9_.,"\[\]() ]+', expression)
    assert re.fullmatch(rb'\{"title":"[0-9a-f]{32}","tags":"list"\}', attributes_of({"title": text, "tags": [text]}))


def test_what_is_too_long_is_not_said():
    assert expression_of(Compare("in", "page", list(range(MOST))))[1]
    assert expression_of(Compare("in", "page", list(range(MOST + 1)))) == (None, False)
    assert expression_of(And([RED, Compare("in", "page", list(range(MOST)))])) == (among("color", "red"), False)
