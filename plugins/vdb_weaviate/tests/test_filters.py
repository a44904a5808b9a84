"""The conditions: what they look like, and that they mean what the definition means."""

import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Not, Or
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.contracts.vector_tokens import leaf_tokens, metadata_tokens
from dify_kernel.testing.vector.data import NASTY
from dify_kernel.testing.vector.filtering import CASES, ROWS
from dify_vdb_weaviate.filters import ALL, MOST, by_ids, to_where, where_of

EQUAL, NOT_EQUAL, AND, OR, CONTAINS_ANY = 1, 2, 7, 8, 12
RED, THERE, BOTH = Compare("in", "color", ["red"]), Exists("title"), Compare("in", "color", ["red", "blue"])


def has(token, operator=EQUAL):
    return {"operator": operator, "target": {"property": "tokens"}, "value_text": token}


def lacks(leaf):
    return has(leaf_tokens(leaf)[0], NOT_EQUAL)


def held(leaf):
    return has(leaf_tokens(leaf)[0])


ALWAYS, NEVER = has(ALL), has("none")


@pytest.mark.parametrize(
    ("filter", "where"),
    [
        (RED, held(RED)),
        (Not(RED), lacks(RED)),
        (Not(Not(RED)), held(RED)),
        (
            BOTH,
            {
                "operator": CONTAINS_ANY,
                "target": {"property": "tokens"},
                "value_text_array": {"values": leaf_tokens(BOTH)},
            },
        ),
        (Not(BOTH), {"operator": AND, "filters": [has(token, NOT_EQUAL) for token in leaf_tokens(BOTH)]}),
        (And([]), ALWAYS),
        (Or([]), NEVER),
        (Not(Or([])), ALWAYS),
        (Compare("in", "color", []), NEVER),
        (Not(Compare("in", "color", [])), ALWAYS),
        (And([RED]), held(RED)),
        (And([RED, THERE]), {"operator": AND, "filters": [held(RED), held(THERE)]}),
        (Not(And([RED, THERE])), {"operator": OR, "filters": [lacks(RED), lacks(THERE)]}),
    ],
    ids=str,
)
def test_to_where(filter, where):
    assert to_where(filter) == where


def holds(where, tokens):
    """What the server's documentation says that a condition means."""
    operator = where["operator"]
    if operator in (AND, OR):
        return (all if operator == AND else any)(holds(part, tokens) for part in where["filters"])
    assert where["target"] == {"property": "tokens"}
    if operator == CONTAINS_ANY:
        return bool(set(where["value_text_array"]["values"]) & set(tokens))
    return (where["value_text"] in tokens) is (operator == EQUAL)


@pytest.mark.parametrize(("filter", "names"), CASES, ids=[str(filter) for filter, _ in CASES])
def test_a_condition_finds_what_matches(filter, names):
    where, whole = where_of(filter)
    for name, row in ROWS.items():
        found = where is None or holds(where, [ALL, *metadata_tokens(row)])
        assert found or not matches(filter, row), f"{name} is lost"
        if whole:
            assert found is (name in names), name


def test_every_condition_stands_beside_the_token_of_all():
    for filter in (Not(RED), Or([Not(RED), THERE])):
        where, whole = where_of(filter)
        assert whole
        assert where["operator"] == AND
        assert where["filters"][0] == ALWAYS


def test_no_filter_is_no_condition():
    assert where_of(None) == (None, True)
    assert where_of(Compare("contains", "title", "a"))[1] is False


def test_no_text_of_a_user_stands_in_a_condition():
    for text in NASTY:
        where, _ = where_of(Compare("in", "color", [text, "red"]))
        tokens = where["filters"][1]["value_text_array"]["values"]
        assert all(len(token) == 32 and token.isalnum() for token in tokens)


def test_long_and_deep_filters_are_not_said():
    assert where_of(Compare("in", "page", list(range(MOST + 1)))) == (None, False)
    assert where_of(Compare("in", "page", list(range(MOST))))[1] is True
    deep = RED
    for _ in range(15):
        deep = Or([And([deep, THERE]), RED])
    assert where_of(deep) == (None, False)


def test_ids_are_asked_for_together():
    assert by_ids(("a", "b")) == {
        "operator": CONTAINS_ANY,
        "target": {"property": "_id"},
        "value_text_array": {"values": ["a", "b"]},
    }
