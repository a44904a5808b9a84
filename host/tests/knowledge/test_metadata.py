"""Metadata conditions mean what their names say."""

from __future__ import annotations

from typing import Any

import pytest
from dify_host.knowledge.metadata import Condition, Conditions, matches, read_conditions
from hypothesis import given
from hypothesis import strategies as st

NEGATIONS = {"contains": "not contains", "is": "is not", "=": "≠", "in": "not in", "empty": "not empty"}


def holds(operator: str, wanted: Any, found: Any) -> bool:
    condition = Condition(name="field", comparison_operator=operator, value=wanted)
    return matches(Conditions(conditions=[condition]), {"field": found})


@pytest.mark.parametrize(
    ("operator", "wanted", "found", "result"),
    [
        ("contains", "ea", "tea", True),
        ("contains", "EA", "tea", False),
        ("contains", "%", "tea", False),
        ("start with", "te", "tea", True),
        ("end with", "te", "tea", False),
        ("is", "tea", "tea", True),
        ("is", "3", 3, True),
        ("=", 3, 3.0, True),
        ("=", "3.0", 3, True),
        ("=", "tea", 3, False),
        ("in", "tea, coffee", "coffee", True),
        ("in", ["tea", "coffee"], "water", False),
        (">", "2", 3, True),
        (">", "two", 3, False),
        ("≤", 3, 3, True),
        ("before", 100, 99.5, True),
        ("after", 100, 99.5, False),
        ("≥", 1, None, False),
        ("empty", None, "", True),
        ("not empty", None, "x", True),
        ("is not", "tea", None, True),
    ],
)
def test_operators(operator: str, wanted: Any, found: Any, result: bool) -> None:
    assert holds(operator, wanted, found) is result


values = st.one_of(st.none(), st.text(max_size=5), st.integers(-5, 5), st.floats(-5, 5))
given_values = st.one_of(st.text(max_size=5), st.integers(-5, 5))


@given(operator=st.sampled_from(sorted(NEGATIONS)), wanted=given_values, found=values)
def test_a_negation_is_the_opposite(operator: str, wanted: Any, found: Any) -> None:
    assert holds(operator, wanted, found) is not holds(NEGATIONS[operator], wanted, found)


def test_conditions_are_joined() -> None:
    pair = [Condition(name=n, comparison_operator="is", value="x") for n in ("a", "b")]
    assert matches(Conditions(logical_operator="or", conditions=pair), {"a": "x"})
    assert not matches(Conditions(conditions=pair), {"a": "x"})


def test_a_condition_without_a_value_does_not_count() -> None:
    assert read_conditions(None) is None
    assert read_conditions({"conditions": []}) is None
    blank = {"name": "a", "comparison_operator": "is", "value": None}
    assert read_conditions({"logical_operator": None, "conditions": [blank]}) is None
    both = read_conditions({"conditions": [blank, {"name": "a", "comparison_operator": "empty"}]})
    assert both is not None
    assert len(both.conditions) == 1
