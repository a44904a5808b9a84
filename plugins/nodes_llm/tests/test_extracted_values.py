"""JSON is found in any answer, and becomes values of the declared types."""

import json

import msgspec
import pytest
from dify_kernel.graph.values import plain
from dify_nodes_llm.parameters import NOTHING_FOUND, Parameter, extract, find_json, json_schema
from hypothesis import given
from hypothesis import strategies as st

COUNT = "Invalid number of parameters"
TYPES = ["string", "number", "boolean", "bool", "select"] + [
    f"array[{item}]" for item in ("string", "number", "object", "boolean")
]
EMPTY = {"string": "", "select": "", "number": 0, "boolean": False, "bool": False}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ("[1, 2]", [1, 2]),
        ('Here: {"a": 1} and {"b": 2}', {"a": 1}),
        ('```json\n{"a": "}"}\n```', {"a": "}"}),
        ('{"a": {"b": [1]}} trailing ]}', {"a": {"b": [1]}}),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
        ("{'a': True, 'b': None,}", {"a": True, "b": None}),
        ('{a: "x", b: 2}', {"a": "x", "b": 2}),
        ('{"a": NaN}', {"a": None}),
        ("see [note] then [3]", [3]),
        ('{not json} {"a": 1}', {"a": 1}),
        ('{"a": 1', None),
        ('{"a": {"b": "cut off', None),
        ("no json", None),
        ("", None),
        ("[" * 100_000, None),
        ("{" * 100_000, None),
        ('{"a":' * 5000 + "1" + "}" * 5000, None),
        ("{}", {}),
        ("[]", []),
    ],
)
def test_find_json(text, found):
    assert find_json(text) == found


@given(
    value=st.dictionaries(st.text(max_size=5), JSON, max_size=4) | st.lists(JSON, max_size=4), before=st.text("ab \n`")
)
def test_json_is_found_behind_any_words(value, before):
    assert find_json(f"{before}{json.dumps(value)} as asked {{}}") == value


@given(text=st.text(st.sampled_from("{}[]\"':,\\ \nab1")))
def test_any_text_can_be_searched(text):
    found = find_json(text)
    assert found is None or isinstance(found, dict | list)


@given(value=st.dictionaries(st.text("ab", min_size=1), st.text("xy"), min_size=1), data=st.data())
def test_what_is_cut_off_is_not_found(value, data):
    whole = json.dumps(value)
    assert find_json(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None


def one(kind, value, *, required=True, options=None):
    """What one parameter becomes, and the reason."""
    done = extract([Parameter("p", kind, options, "", required)], {"p": value})
    return plain(done.values)["p"], done.reason


@pytest.mark.parametrize(
    ("kind", "value", "becomes", "right"),
    [
        ("string", "a", "a", True),
        ("string", "", "", True),
        ("string", 1, "", False),
        ("string", None, "", False),
        ("number", 1, 1, True),
        ("number", 1.5, 1.5, True),
        ("number", "12", 12, False),
        ("number", " 12 ", 12, False),
        ("number", "1.5", 1.5, False),
        ("number", "a few", 0, False),
        ("number", "nan.", 0, False),
        ("number", float("inf"), 0, False),
        ("number", None, 0, False),
        ("number", [1], 0, False),
        ("number", True, 1, True),
        ("number", 10**400, 0, False),
        ("boolean", True, True, True),
        ("bool", False, False, True),
        ("boolean", 1, True, False),
        ("boolean", "true", False, False),
        ("boolean", None, False, False),
        ("array[string]", ["a", "b"], ["a", "b"], True),
        ("array[string]", [], [], True),
        ("array[string]", ["a", 1], ["a"], False),
        ("array[string]", "a", [], False),
        ("array[number]", [1, 2.5], [1, 2.5], True),
        ("array[number]", [1, "2", "x", None], [1, 2], False),
        ("array[object]", [{"a": 1}], [{"a": 1}], True),
        ("array[object]", [{"a": 1}, 2], [{"a": 1}], False),
        ("array[object]", {"a": 1}, [], False),
        ("array[boolean]", [True, False], [True, False], True),
        ("array[boolean]", [True, 1], [True], False),
        ("select", "x", "x", True),
    ],
)
def test_values(kind, value, becomes, right):
    found, reason = one(kind, value)
    assert (found, type(found)) == (becomes, type(becomes))
    assert (reason is None) == right
    assert right or reason.startswith("Invalid value for parameter p, expected segment type: ")


def test_a_reason_names_both_types():
    _, reason = one("number", "12")
    assert "expected segment type: number, actual_type: string," in reason
    _, reason = one("array[string]", ["a", 1])
    assert "expected segment type: array[string], actual_type: array[any]," in reason


@pytest.mark.parametrize(("value", "right"), [("a", True), ("b", True), ("c", False), ("", False)])
@pytest.mark.parametrize("kind", ["select", "string"])
def test_a_choice_keeps_what_was_said(kind, value, right):
    assert one(kind, value, options=["a", "b"]) == (
        value,
        None if right else "Invalid `select` value for parameter p",
    )


P, Q = Parameter("p", "string", None, "", True), Parameter("q", "number")


@pytest.mark.parametrize(
    ("found", "values", "reason"),
    [
        ({"p": "a", "q": 1}, {"p": "a", "q": 1}, None),
        ({"p": "a"}, {"p": "a", "q": 0}, COUNT),
        ({"p": "a", "q": 1, "r": 2}, {"p": "a", "q": 1}, COUNT),
        ({"q": 1, "r": 2}, {"p": "", "q": 1}, "Parameter p is required"),
        ({"p": 1, "q": "x"}, {"p": "", "q": 0}, "Invalid value for parameter p, "),
        ({}, {"p": "", "q": 0}, COUNT),
        ([], {"p": "", "q": 0}, COUNT),
        (["p", "q"], {"p": "", "q": 0}, "Parameter p is required"),
        (None, {"p": "", "q": 0}, NOTHING_FOUND),
    ],
)
def test_answers(found, values, reason):
    done = extract([P, Q], found)
    assert done.values == values
    assert (done.reason or "").startswith(reason or "")
    assert (done.reason is None) == (reason is None)


def test_without_an_answer_a_list_is_missed_as_a_parameter():
    """Dify has no empty answer for a list, and says then that the number is wrong."""
    done = extract([P, Parameter("l", "array[string]")], None)
    assert (plain(done.values), done.reason) == ({"p": "", "l": []}, COUNT)


PARAMETERS = st.lists(
    st.builds(
        Parameter,
        name=st.text("abc", min_size=1, max_size=2),
        type=st.sampled_from(TYPES),
        options=st.none() | st.lists(st.text("xy", max_size=2), max_size=2),
        required=st.booleans(),
    ),
    unique_by=lambda item: item.name,
    max_size=4,
)


@given(parameters=PARAMETERS, found=st.none() | JSON.filter(lambda value: isinstance(value, dict | list)))
def test_every_parameter_gets_a_value_of_its_type(parameters, found):
    done = extract(parameters, found)
    assert list(done.values) == [parameter.name for parameter in parameters]
    again = extract(parameters, plain(done.values))
    if not any(parameter.options for parameter in parameters):
        assert again.reason is None
    assert again.values == done.values
    msgspec.json.encode(plain(done.values))


@given(parameters=PARAMETERS)
def test_the_schema_is_json_and_names_every_parameter(parameters):
    schema = json.loads(json.dumps(json_schema(parameters)))
    assert list(schema["properties"]) == [parameter.name for parameter in parameters]
    assert schema["required"] == [parameter.name for parameter in parameters if parameter.required]
    for parameter in parameters:
        assert schema["properties"][parameter.name].get("enum") == (parameter.options or None)
