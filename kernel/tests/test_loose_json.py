"""Almost JSON is read, JSON is read exactly, and nothing takes long or fails in another way."""

import contextlib
import json
import time

import pytest
from dify_kernel.loose_json import loads
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ("12", 12),
        ('"x"', "x"),
        ('```json\n{"a": 1,}\n```', {"a": 1}),
        ('Sure! Here is {"a": "b"} as asked.', {"a": "b"}),
        ("{'a': True, 'b': None, 'c': [1, 'x', 2.5]}", {"a": True, "b": None, "c": [1, "x", 2.5]}),
        ('{"a": "qu"ote", "b": 1}', {"a": 'qu"ote', "b": 1}),
        ('{"a": "he said "hi", then left", "b": 1}', {"a": 'he said "hi", then left', "b": 1}),
        ('["say "x" now", "y"]', ['say "x" now', "y"]),
        ('{"a": "two\nlines", "b": "t\tb"}', {"a": "two\nlines", "b": "t\tb"}),
        ("{a: 1, b-c: word, d: two words}", {"a": 1, "b-c": "word", "d": "two words"}),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
        ('{"a": "1"\n"b": 2}', {"a": "1", "b": 2}),
        ('{"a": [1, 2, {"b": "c', {"a": [1, 2, {"b": "c"}]}),
        ('{"a": [1, 2}, "b": 3', {"a": [1, 2]}),
        ('{"a": , "b": 2,, "c": }', {"a": None, "b": 2, "c": None}),
        ("{'a': 'it\\'s', \"b\": \"\\u00e9\\q\"}", {"a": "it's", "b": "éq"}),
        ("{“a”: “b”}", {"a": "b"}),
        ("{a: +1, b: .5, c: 1e3, d: -2.5E-1, e: 1-2}", {"a": 1, "b": 0.5, "c": 1000.0, "d": -0.25, "e": "1-2"}),
        ("use {} like {'a': 1}", {"a": 1}),
        ("only {}", {}),
        ("[]]", []),
        ("{'a': nan}", {"a": None}),
    ],
)
def test_repairs(text, expected):
    assert loads(text) == expected


def test_only_objects():
    assert loads('[{"a": 1}]', objects=True) == {"a": 1}
    assert loads('[1] then {"a": 1}', objects=True) == {"a": 1}
    for text in ("[1, 2]", "12", "words"):
        with pytest.raises(ValueError, match="no JSON"):
            loads(text, objects=True)


@pytest.mark.parametrize("text", ["", "words", '"open', "}"])
def test_no_json(text):
    with pytest.raises(ValueError, match="no JSON"):
        loads(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(value=values, indent=st.none() | st.integers(0, 3))
def test_json_is_read_exactly(value, indent):
    assert loads(json.dumps(value, indent=indent)) == value


plain_text = st.text(st.characters(codec="utf-8", exclude_characters="\"'\\:,[]{}“”‘’"), min_size=1)
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | plain_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain_text, inner, max_size=4),
    max_leaves=15,
)


@given(value=st.dictionaries(plain_text, plain_values, min_size=1, max_size=4))
def test_what_python_prints_is_read(value):
    assert loads(f"Result: {json.dumps(value, ensure_ascii=False)} .") == value
    assert loads(f"Result: {json.dumps(value, ensure_ascii=False)[:-1]}") == value


@given(text=st.text(st.sampled_from(list("{}[]\"'\\,: \nau1tN“”")), max_size=60))
def test_any_text_is_a_value_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        json.dumps(loads(text))


HARD = """{"a": "x"y |{a: b, |[|{|"|'|{}|[1, |{"a": [|}|,|{"a": "\\|" |{'a' |a: |{[|","|1 |1 "|é"""


@pytest.mark.parametrize("unit", HARD.split("|"))
def test_time_is_linear(unit):
    text = "{'k': " + unit * (300_000 // len(unit))
    started = time.process_time()
    with contextlib.suppress(ValueError):
        loads(text)
    assert time.process_time() - started < 3
