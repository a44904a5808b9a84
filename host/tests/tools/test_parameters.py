"""Parameters become what their types say, or are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from dify_host.tools.errors import ToolParameterError
from dify_host.tools.parameters import prepare_parameters
from dify_kernel.contracts.tool import PARAMETER_TYPES, ToolInfo, ToolParameter
from dify_kernel.graph.values import File
from hypothesis import given
from hypothesis import strategies as st

FILE = File(related_id="1")


def tool(**parameter: Any) -> ToolInfo:
    return ToolInfo(name="t", parameters=[ToolParameter(name="p", **parameter)])


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", 5, "5"),
        ("string", "", ""),
        ("string", ["é", 1], '["é", 1]'),
        ("number", "7", 7),
        ("number", "7.5", 7.5),
        ("number", "1e3", 1000.0),
        ("number", True, 1),
        ("boolean", "Yes", True),
        ("boolean", "false", False),
        ("boolean", 0, False),
        ("checkbox", "1", True),
        ("object", '{"a": 1}', {"a": 1}),
        ("array", "[1, 2]", [1, 2]),
        ("array", "plain", ["plain"]),
        ("array", 3, [3]),
        ("file", [FILE], FILE),
        ("files", FILE, [FILE]),
        ("any", {"a": [None]}, {"a": [None]}),
    ],
)
def test_a_value_becomes_its_type(kind: str, value: Any, expected: Any) -> None:
    got = prepare_parameters(tool(type=kind), {"p": value})["p"]
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", "seven"),
        ("number", float("nan")),
        ("number", []),
        ("boolean", "maybe"),
        ("object", "[1]"),
        ("object", "{"),
        ("file", "a.txt"),
        ("file", [FILE, FILE]),
        ("files", ["a.txt"]),
        ("select", "c"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(kind: str, value: Any) -> None:
    with pytest.raises(ToolParameterError) as caught:
        prepare_parameters(tool(type=kind, options=["a", "b"]), {"p": value})
    assert caught.value.where["field"] == "p"


def test_defaults_fill_what_is_not_given() -> None:
    for absent in ({}, {"p": None}, {"p": ""}):
        assert prepare_parameters(tool(type="number", default="3"), absent) == {"p": 3}


def test_a_missing_parameter_is_left_out_unless_it_is_required() -> None:
    assert prepare_parameters(tool(), {}) == {}
    with pytest.raises(ToolParameterError, match="needs the parameter p"):
        prepare_parameters(tool(required=True), {"p": None})


def test_names_that_the_tool_does_not_know_are_dropped() -> None:
    assert prepare_parameters(tool(), {"p": "a", "q": "b"}) == {"p": "a"}


@given(
    kind=st.sampled_from(sorted(PARAMETER_TYPES)),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)
def test_nothing_but_a_parameter_error_comes_of_any_value(kind: str, value: Any) -> None:
    try:
        prepared = prepare_parameters(tool(type=kind, options=["a"]), {"p": value})
    except ToolParameterError:
        return
    assert set(prepared) <= {"p"}
