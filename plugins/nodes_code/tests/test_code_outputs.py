"""What user code may return: every rule, its words, and that the check never fails in another way."""

import math

import msgspec
import pytest
from dify_kernel.contracts.node import Limits
from dify_kernel.errors import NodeFailed
from dify_nodes_code.outputs import OUTPUT_TYPES, OutputSpec, check_outputs
from hypothesis import given
from hypothesis import strategies as st

SMALL = Limits(
    code_max_string_length=10,
    code_max_string_array_length=3,
    code_max_object_array_length=2,
    code_max_number_array_length=4,
    code_max_precision=3,
    code_max_number=100,
    code_min_number=-100,
)


def check(result, limits=SMALL, **types):
    specs = {name: OutputSpec(kind) if isinstance(kind, str) else kind for name, kind in types.items()}
    return check_outputs(result, specs, limits)


def refusal(result, **types):
    with pytest.raises(NodeFailed) as caught:
        check(result, **types)
    return caught.value.error_type, caught.value.message


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "x", "x"),
        ("string", "é漢\x00x😀", "é漢x😀"),
        ("string", "1e+5", "1e+5"),
        ("string", None, None),
        ("number", 5, 5),
        ("number", 1.25, 1.25),
        ("number", True, 1),
        ("number", "1e+1", 10.0),
        ("number", "-1.5E-1", -0.15),
        ("number", None, None),
        ("boolean", False, False),
        ("boolean", "yes", "yes"),
        ("boolean", None, None),
        ("object", {}, {}),
        ("object", {"a": 1, "b": {"c": ["x", None]}}, {"a": 1, "b": {"c": ["x", None]}}),
        ("object", {"a": "2e+1", "b": ["x\x00"]}, {"a": 20.0, "b": ["x"]}),
        ("object", {"a": [None, 1, "x"]}, {"a": [None, 1, "x"]}),
        ("object", None, None),
        ("array[string]", [], []),
        ("array[string]", ["a", None], ["a", None]),
        ("array[string]", ["1e+5"], ["1e+5"]),
        (
            "array[number]",
            [
                1,
                2.5,
                True,
                None,
            ],
            [1, 2.5, 1, None],
        ),
        ("array[object]", [{"a": 1}, None], [{"a": 1}, None]),
        ("array[object]", None, None),
        ("array[boolean]", [True, None] * 50, [True, None] * 50),
    ],
)
def test_accepted(kind, value, expected):
    found = check({"r": value}, r=kind)["r"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("string", "x" * 11, "The length of output variable `r` must be less than 10 characters"),
        ("string", 5, "object of type 'int' has no len()"),
        ("string", {}, "Output r is not a string, got <class 'dict'> instead."),
        ("number", "5", "Output r is not a number, got <class 'str'> instead."),
        ("number", [], "Output r is not a number, got <class 'list'> instead."),
        ("number", 101, "Output variable `r` is out of range, it must be between -100 and 100."),
        ("number", -101, "Output variable `r` is out of range, it must be between -100 and 100."),
        ("number", math.inf, "Output variable `r` is out of range, it must be between -100 and 100."),
        ("number", math.nan, "'<' not supported between instances of 'str' and 'int'"),
        ("number", 0.0001, "Output variable `r` has too high precision, it must be less than 3 digits."),
        ("object", "x", "Output r is not an object, got <class 'str'> instead."),
        ("object", {"a": [1, "x"]}, "Output r.a is not a valid array. make sure all elements are of the same type."),
        ("object", {"a": [[1]]}, "Output r.a is not a valid array. make sure all elements are of the same type."),
        (
            "object",
            {"a": {"b": 0.0001}},
            "Output variable `r.a.b` has too high precision, it must be less than 3 digits.",
        ),
        ("object", {"a": "x" * 11}, "The length of output variable `r.a` must be less than 10 characters"),
        ("object", {"a": {1, 2}}, "Output r.a is not a valid type."),
        ("array[string]", "abc", "Output r is not an array, got <class 'str'> instead."),
        ("array[string]", ["a"] * 4, "The length of output variable `r` must be less than 3 elements."),
        ("array[string]", ["a", 1], "object of type 'int' has no len()"),
        ("array[string]", ["a", "x" * 11], "The length of output variable `r[1]` must be less than 10 characters"),
        ("array[number]", [1] * 5, "The length of output variable `r` must be less than 4 elements."),
        ("array[number]", [1, "x"], "The element at index 1 of output variable `r` must be a number."),
        ("array[number]", [101], "Output variable `r[0]` is out of range, it must be between -100 and 100."),
        ("array[object]", [{}] * 3, "The length of output variable `r` must be less than 2 elements."),
        ("array[object]", [{}, 1], "Output r[1] is not an object, got <class 'int'> instead at index 1."),
        ("array[object]", [{"a": 101}], "Output variable `r[0].a` is out of range, it must be between -100 and 100."),
        ("array[boolean]", [True, 1], "Output r[1] is not a boolean, got <class 'int'> instead."),
    ],
)
def test_refused(kind, value, message):
    assert refusal({"r": value}, r=kind) == ("OutputValidationError", message)


def test_the_result_is_an_object_with_text_keys():
    assert refusal("abc", r="string") == ("OutputValidationError", "Result must be a dict, got str")
    assert refusal({1: "x"}, r="string") == ("OutputValidationError", "Result keys must be strings")


def test_exactly_the_declared_outputs():
    assert check({}) == {}
    assert refusal({}, r="string") == ("OutputValidationError", "Output r is missing.")
    assert refusal({"r": "x"}) == ("CodeNodeError", "Not all output parameters are validated.")
    assert refusal({"r": "x", "s": 1}, r="string") == ("CodeNodeError", "Not all output parameters are validated.")


def test_declared_children():
    spec = OutputSpec(
        "object", {"a": OutputSpec("number"), "l": OutputSpec("array[object]", {"s": OutputSpec("string")})}
    )
    assert check({"r": {"a": True, "l": [{"s": "1e+5"}]}}, r=spec) == {"r": {"a": 1, "l": [{"s": "1e+5"}]}}
    assert refusal({"r": {"a": 1}}, r=spec) == ("OutputValidationError", "Output r.l is missing.")
    assert refusal({"r": {"a": 1, "l": [{"s": {}}]}}, r=spec)[1] == (
        "Output r.l[0].s is not a string, got <class 'dict'> instead."
    )
    assert refusal({"r": {"a": 1, "l": [], "more": 1}}, r=spec)[0] == "CodeNodeError"


def nested(levels):
    data = {}
    for _ in range(levels - 1):
        data = {"k": data}
    return data


def test_depth():
    assert check({"r": nested(4)}, r="object") == {"r": nested(4)}
    assert refusal({"r": nested(5)}, r="object") == ("DepthLimitError", "Depth limit 5 reached, object too deep.")
    assert refusal({"r": [nested(5)]}, r="array[object]")[0] == "DepthLimitError"
    assert refusal({"r": nested(5000)}, r="object")[0] == "DepthLimitError"


def test_default_limits():
    check({"r": "x" * 400_000}, Limits(), r="string")
    check({"r": 9223372036854775807}, Limits(), r="number")
    with pytest.raises(NodeFailed, match="must be between -9223372036854775807 and 9223372036854775807"):
        check({"r": 9223372036854775808}, Limits(), r="number")
    with pytest.raises(NodeFailed, match="less than 30 elements"):
        check({"r": ["a"] * 31}, Limits(), r="array[string]")
    with pytest.raises(NodeFailed, match="less than 1000 elements"):
        check({"r": [1] * 1001}, Limits(), r="array[number]")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(value=json_values, kind=st.sampled_from(sorted(OUTPUT_TYPES)))
def test_any_value_passes_or_is_refused_and_passing_twice_changes_nothing(value, kind):
    before = msgspec.msgpack.encode(value)
    kinds = {"OutputValidationError", "DepthLimitError", "CodeNodeError"}
    try:
        once = check({"r": value}, r=kind)
    except NodeFailed as exc:
        once, kinds = None, kinds - {exc.error_type}
    else:
        kinds.pop()
    assert len(kinds) == 2
    assert msgspec.msgpack.encode(value) == before
    if once is not None:
        assert check(once, r=kind) == once
