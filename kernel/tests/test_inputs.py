"""The input form: what passes, what it becomes, and the words of a refusal."""

import math

import msgspec
import pytest
from dify_kernel.errors import BadInput
from dify_kernel.graph.inputs import InputVariable, prepare_inputs
from dify_kernel.graph.values import File
from hypothesis import given, settings
from hypothesis import strategies as st

FORM = [
    {"variable": "t", "type": "text-input", "required": True, "max_length": 5, "options": []},
    {"variable": "p", "type": "paragraph", "required": False, "max_length": 10, "options": None},
    {"variable": "sel", "type": "select", "options": ["a", "b"]},
    {"variable": "n", "type": "number", "max_length": None},
    {"variable": "cb", "type": "checkbox"},
    {"variable": "d", "type": "text-input", "default": "dflt"},
    {"variable": "j", "type": "json_object", "json_schema": None},
    {"variable": "f", "type": "file", "allowed_file_types": ["image"]},
    {"variable": "fs", "type": "file-list", "max_length": 2},
    {"variable": "dn", "type": "number", "default": "7"},
    {"variable": "ds", "type": "select", "default": "", "options": ["a"]},
]
VARIABLES = msgspec.convert(FORM, list[InputVariable], strict=False)
NOTHING = dict.fromkeys(("p", "sel", "n", "cb", "j", "f", "fs", "ds")) | {"t": "x", "d": "dflt", "dn": 7}
FILE = File(id="1", filename="a.txt")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"t": ""}, {"t": ""}),
        ({"t": " x "}, {"t": " x "}),
        ({"t": "a\x00b"}, {"t": "ab"}),
        ({"unknown": 1}, {}),
        ({"p": "a\nb"}, {"p": "a\nb"}),
        ({"sel": "b"}, {"sel": "b"}),
        ({"n": "12"}, {"n": 12}),
        ({"n": "1.50"}, {"n": 1.5}),
        ({"n": " -3 "}, {"n": -3}),
        ({"n": ""}, {"n": None}),
        ({"n": 0}, {"n": 0}),
        ({"cb": "true"}, {"cb": True}),
        ({"cb": "OFF"}, {"cb": False}),
        ({"cb": 1}, {"cb": True}),
        ({"cb": 0.0}, {"cb": False}),
        ({"cb": None}, {"cb": None}),
        ({"d": "own"}, {"d": "own"}),
        ({"j": {"a": 1}}, {"j": {"a": 1}}),
        ({"f": FILE}, {"f": FILE}),
        ({"fs": [FILE, FILE]}, {"fs": [FILE, FILE]}),
    ],
)
def test_good_inputs(given, expected):
    assert prepare_inputs(VARIABLES, {"t": "x"} | given) == NOTHING | expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"t": None}, "t is required in input form"),
        ({"t": "123456"}, "t in input form must be less than 5 characters"),
        ({"t": 5}, "(type 'text-input') t in input form must be a string"),
        ({"t": ["x"]}, "(type 'text-input') t in input form must be a string"),
        ({"sel": "c"}, "sel in input form must be one of the following: ['a', 'b']"),
        ({"sel": ""}, "sel in input form must be one of the following: ['a', 'b']"),
        ({"n": "abc"}, "n in input form must be a valid number"),
        ({"n": "1.0e999"}, "n in input form must be a valid number"),
        ({"n": math.nan}, "n in input form must be a valid number"),
        ({"n": [1]}, "n in input form must be a valid number"),
        ({"j": '{"a": 1}'}, "j in input form must be a dict"),
        ({"j": [1]}, "j in input form must be a dict"),
        ({"f": "x"}, "f in input form must be a file"),
        ({"fs": FILE}, "fs in input form must be a list of files"),
        ({"fs": ["x"]}, "fs in input form must be a list of files"),
        ({"fs": [FILE] * 3}, "fs in input form must be less than 2 files"),
    ],
)
def test_bad_inputs(given, message):
    with pytest.raises(BadInput) as caught:
        prepare_inputs(VARIABLES, {"t": "x"} | given)

    assert caught.value.message == message
    assert caught.value.where["variable"] in given


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda x: st.lists(x))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from([item["variable"] for item in FORM]), JSON))
def test_any_input_is_prepared_or_refused(given):
    try:
        prepared = prepare_inputs(VARIABLES, given)
    except BadInput:
        return
    assert prepared.keys() == NOTHING.keys()
    assert prepare_inputs(VARIABLES, prepared) == prepared
