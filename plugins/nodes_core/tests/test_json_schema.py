"""The part of JSON Schema that input forms use."""

import pytest
from dify_nodes_core.json_schema import schema_problems, violation
from hypothesis import given, settings
from hypothesis import strategies as st

PERSON = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "age": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 150, "multipleOf": 1},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True, "minItems": 1, "maxItems": 2},
        "kind": {"const": 1},
        "mix": {"anyOf": [{"type": "string"}, {"type": "boolean"}], "not": {"const": "no"}},
        "one": {"oneOf": [{"type": "number"}, {"type": "integer"}], "allOf": [{"maximum": 9}]},
        "never": False,
    },
}


@pytest.mark.parametrize(
    "data",
    [
        {"name": "ada"},
        {"name": "ada", "age": 36.0, "tags": ["a"], "kind": 1, "mix": "yes", "one": 1.5},
        {"name": "ada", "age": None, "mix": True},
    ],
)
def test_fits(data):
    assert schema_problems(PERSON) == []
    assert violation(data, PERSON) is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "[] is not of type 'object'"),
        ({}, "'name' is a required property"),
        ({"name": 5}, "5 is not of type 'string'"),
        ({"name": ""}, "'' is too short"),
        ({"name": "abcdef"}, "'abcdef' is too long"),
        ({"name": "a", "x": 1}, "Additional properties are not allowed ('x' was unexpected)"),
        ({"name": "a", "age": -1}, "-1 is less than the minimum of 0"),
        ({"name": "a", "age": 150}, "150 is greater than or equal to the maximum of 150"),
        ({"name": "a", "age": True}, "True is not of type 'integer', 'null'"),
        ({"name": "a", "tags": ["c"]}, "'c' is not one of ['a', 'b']"),
        ({"name": "a", "tags": []}, "[] is too short"),
        ({"name": "a", "tags": ["a", "a"]}, "['a', 'a'] has non-unique elements"),
        ({"name": "a", "kind": True}, "1 was expected"),
        ({"name": "a", "mix": 1}, "1 is not valid under any of the given schemas"),
        ({"name": "a", "mix": "no"}, "'no' should not be valid under {'const': 'no'}"),
        ({"name": "a", "one": 1}, "1 is not valid under exactly one of the given schemas"),
        ({"name": "a", "one": 9.5}, "9.5 is greater than the maximum of 9"),
        ({"name": "a", "never": 1}, "1 is not allowed"),
    ],
)
def test_violations(data, message):
    assert violation(data, PERSON) == message


@pytest.mark.parametrize(
    "schema",
    [
        5,
        {"type": "thing"},
        {"type": [5]},
        {"pattern": "(a+)+$"},
        {"$ref": "http://x"},
        {"properties": []},
        {"properties": {"a": {"items": {"type": "x"}}}},
        {"anyOf": {}},
        {"required": "a"},
        {"enum": "a"},
        {"minimum": "1"},
    ],
)
def test_schemas_that_cannot_be_checked(schema):
    assert schema_problems(schema)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "items", "a"]), inner, max_size=3)
    ),
)


@settings(max_examples=100, deadline=None)
@given(ANY, ANY)
def test_any_schema_is_refused_or_decides(schema, data):
    if not schema_problems(schema):
        assert violation(data, schema) is None or isinstance(violation(data, schema), str)
