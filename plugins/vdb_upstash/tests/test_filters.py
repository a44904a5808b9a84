"""The expressions: what they look like, and that everything which matches satisfies them."""

import importlib.util
import re
from pathlib import Path

import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Not, Or
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.contracts.vector_tokens import leaf_tokens
from dify_kernel.testing.vector.data import NASTY
from dify_kernel.testing.vector.filtering import CASES, ROWS
from dify_vdb_upstash.filters import MOST, attributes_of, expression_of

RED, PAGES, NOT_THERE = Compare("eq", "color", "red"), Compare("in", "page", [1, "2"]), Not(Exists("title"))


@pytest.fixture(scope="module")
def parsed():
    """The parser of the index for tests."""
    spec = importlib.util.spec_from_file_location("index_service", Path(__file__).with_name("index_service.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.parsed


def among(field, *values):
    tokens = ", ".join(f"'{token}'" for token in leaf_tokens(Compare("in", field, list(values))))
    return f"f.{field} IN ({tokens})"


@pytest.mark.parametrize(
    ("filter", "said"),
    [
        (None, None),
        (And([]), None),
        (Or([]), None),
        (RED, among("color", "red")),
        (PAGES, among("page", 1, "2")),
        (Compare("in", "color", []), None),
        (And([RED, NOT_THERE]), f"({among('color', 'red')})"),
        (And([RED, PAGES]), f"({among('color', 'red')} AND {among('page', 1, '2')})"),
        (Or([RED, PAGES]), f"({among('color', 'red')} OR {among('page', 1, '2')})"),
        (Or([RED, NOT_THERE]), None),
        (NOT_THERE, None),
        (Compare("ne", "color", "red"), None),
        (Compare("lt", "page", 2), None),
        (Compare("in", "page", list(range(MOST + 2))), None),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_said(filter, said):
    assert expression_of(filter) == (None if said is None else f"{said} OR over = 1")


@pytest.mark.parametrize(("filter", "names"), CASES, ids=[str(filter) for filter, _ in CASES])
def test_every_case_of_the_suite(parsed, filter, names):
    expression = expression_of(filter)
    test = (lambda metadata: True) if expression is None else parsed(expression)
    found = {name for name, row in ROWS.items() if test({"f": attributes_of(row)})}
    assert found >= {name for name, row in ROWS.items() if matches(filter, row)}
    assert test({"over": 1})


@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_a_user_wrote_stands_in_an_expression(text):
    expression = expression_of(And([Compare("eq", "title", text), Compare("in", "page", [text, 7])]))
    assert re.fullmatch(r"[A-Za-z0-9_.,'() =]+", expression)
    assert re.fullmatch(r"\{'title': '[0-9a-f]{32}'\}", str(attributes_of({"title": text, "tags": [text]})))
