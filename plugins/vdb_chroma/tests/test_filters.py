"""The conditions: what they look like, and that they mean what the definition means."""

import msgspec
import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Not, Or
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.contracts.vector_tokens import leaf_tokens, metadata_tokens
from dify_kernel.testing.vector.data import NASTY
from dify_kernel.testing.vector.filtering import CASES, ROWS
from dify_vdb_chroma.filters import MOST, to_where, where_of

RED, THERE = Compare("in", "color", ["red"]), Exists("title")


def has(leaf, word="$contains"):
    return {"tokens": {word: leaf_tokens(leaf)[0]}}


ALWAYS, NEVER = {"key": {"$gte": 0}}, {"key": {"$lt": 0}}


@pytest.mark.parametrize(
    ("filter", "where"),
    [
        (RED, has(RED)),
        (Not(RED), has(RED, "$not_contains")),
        (Not(Not(RED)), has(RED)),
        (And([]), ALWAYS),
        (Or([]), NEVER),
        (Not(Or([])), ALWAYS),
        (Compare("in", "color", []), NEVER),
        (Not(Compare("in", "color", [])), ALWAYS),
        (And([RED]), has(RED)),
        (And([RED, THERE]), {"$and": [has(RED), has(THERE)]}),
        (Not(And([RED, THERE])), {"$or": [has(RED, "$not_contains"), has(THERE, "$not_contains")]}),
    ],
    ids=str,
)
def test_to_where(filter, where):
    assert to_where(filter) == where


def holds(where, row):
    """What the server's documentation says that a condition means."""
    (name, value), *_ = where.items()
    if name in ("$and", "$or"):
        return (all if name == "$and" else any)(holds(part, row) for part in value)
    if name == "partition":
        return row[name] == value
    (word, wanted), *_ = value.items()
    tests = {
        "$contains": lambda: wanted in row[name],
        "$not_contains": lambda: wanted not in row[name],
        "$gte": lambda: row[name] >= wanted,
        "$lt": lambda: row[name] < wanted,
    }
    return tests[word]()


@pytest.mark.parametrize(("filter", "names"), CASES, ids=[str(filter) for filter, _ in CASES])
def test_every_case_of_the_suite(filter, names):
    where, whole = where_of("p", filter)
    found = {
        name
        for name, row in ROWS.items()
        if holds(where, {"partition": "p", "key": 1, "tokens": metadata_tokens(row) or ["none"]})
    }
    wanted = {name for name, row in ROWS.items() if matches(filter, row)}
    assert found == wanted if whole else found >= wanted


@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_a_user_wrote_stands_in_a_condition(text):
    where, whole = where_of("p", Compare("eq", "title", text))
    assert whole
    assert text not in msgspec.json.decode(msgspec.json.encode(where))["$and"][1]["tokens"].values()


def test_what_is_too_long_or_too_deep_is_not_said():
    assert where_of("p", Compare("in", "page", list(range(MOST))))[1]
    assert where_of("p", Compare("in", "page", list(range(MOST + 1)))) == ({"partition": "p"}, False)
    deep = RED
    for _ in range(40):
        deep = And([Or([deep, RED]), THERE])
    assert where_of("p", deep) == ({"partition": "p"}, False)
