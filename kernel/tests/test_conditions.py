"""Every operator on every kind of value, and how conditions join."""

import contextlib

import msgspec
import pytest
from dify_kernel.graph.conditions import (
    FILE_KEYS,
    OPERATORS,
    Condition,
    ConditionError,
    compare,
    condition_problems,
    condition_selectors,
    evaluate,
)
from dify_kernel.graph.values import File, FileTransfer, FileType
from dify_kernel.testing.fakes import fake_pool
from hypothesis import given, settings
from hypothesis import strategies as st

T, F = True, False

TABLE = [
    ("contains", "hello", "ell", T),
    ("contains", "hello", "ELL", F),
    ("contains", "hello", "", T),
    ("contains", "", "", F),
    ("contains", None, "a", F),
    ("contains", [], "a", F),
    ("contains", ["a"], "a", T),
    ("contains", [3, 1], "3", F),
    ("contains", [3, 1], 3, T),
    ("contains", [True], True, T),
    ("contains", [1], True, F),
    ("not contains", "hello", "ell", F),
    ("not contains", "hello", "", F),
    ("not contains", "", "a", T),
    ("not contains", None, "a", T),
    ("not contains", [], "a", T),
    ("not contains", ["a"], "b", T),
    ("start with", "hello", "he", T),
    ("start with", "hello", "", T),
    ("start with", "", "", F),
    ("start with", None, "he", F),
    ("end with", "hello", "lo", T),
    ("end with", "hello", "LO", F),
    ("end with", None, "lo", F),
    ("is", "a", "a", T),
    ("is", "a", "b", F),
    ("is", "", "", T),
    ("is", None, "", F),
    ("is", True, True, T),
    ("is", False, True, F),
    ("is", True, "true", F),
    ("is not", "a", "b", T),
    ("is not", "a", "a", F),
    ("is not", None, "a", F),
    ("is not", False, True, T),
    ("empty", "", None, T),
    ("empty", None, None, T),
    ("empty", [], None, T),
    ("empty", {}, None, T),
    ("empty", 0, None, T),
    ("empty", False, None, T),
    ("empty", "0", None, F),
    ("not empty", "x", None, T),
    ("not empty", 0, None, F),
    ("not empty", None, None, F),
    ("in", "a", ["a", "b"], T),
    ("in", "c", ["a", "b"], F),
    ("in", "a", [], F),
    ("in", "", ["", "a"], F),
    ("in", None, ["a"], F),
    ("not in", "a", ["a"], F),
    ("not in", "c", ["a"], T),
    ("not in", "", [""], T),
    ("not in", None, ["a"], T),
    ("all of", ["a", "b", "c"], ["a", "c"], T),
    ("all of", ["a"], ["a", "c"], F),
    ("all of", ["a"], [], T),
    ("all of", [], ["a"], F),
    ("all of", None, ["a"], F),
    ("all of", [True], [True], T),
    ("all of", "abc", ["a", "bc"], T),
    ("all of", 5, [5], F),
    ("=", 5, "5", T),
    ("=", 5, " 5 ", T),
    ("=", 5, "5.0", T),
    ("=", 5, "5.5", F),
    ("=", 4.7, "4.7", T),
    ("=", 5.0, "5", T),
    ("=", 5, 5.0, T),
    ("=", None, "0", F),
    ("=", True, True, T),
    ("=", 2**60 + 1, str(2**60), F),
    ("≠", 5, "6", T),
    ("≠", 5, "5.0", F),
    ("≠", None, "0", F),
    ("≠", True, False, T),
    (">", 5, "4", T),
    (">", 5, "5", F),
    (">", 5, "4.9", T),
    (">", None, "0", F),
    ("<", 5, "5.1", T),
    ("<", 5, "-1", F),
    ("<", 5, "1e3", T),
    ("≥", 5, "5", T),
    ("≥", 5, "5.5", F),
    ("≤", 5, "5", T),
    ("≤", 2**60 + 1, str(2**60), F),
    ("null", None, None, T),
    ("null", "", None, F),
    ("not null", "", None, T),
    ("not null", None, None, F),
    ("exists", ["x"], None, T),
    ("exists", None, None, F),
    ("not exists", None, None, T),
    ("not exists", "x", None, F),
]


@pytest.mark.parametrize(("operator", "actual", "expected", "verdict"), TABLE)
def test_verdicts(operator, actual, expected, verdict):
    assert compare(operator, actual, expected) is verdict


def test_every_operator_is_in_the_table():
    assert {row[0] for row in TABLE} == set(OPERATORS)


@pytest.mark.parametrize(
    ("operator", "actual", "expected", "message"),
    [
        ("contains", {"a": 1}, "a", "Invalid actual value type: string or array"),
        ("contains", 5, "5", "Invalid actual value type: string or array"),
        ("not contains", 5, "5", "Invalid actual value type: string or array"),
        ("contains", "abc", 5, "Expected value must be a string"),
        ("start with", ["b"], "b", "Invalid actual value type: string"),
        ("start with", "b", None, "Invalid expected value type: string"),
        ("end with", 5, "5", "Invalid actual value type: string"),
        ("is", ["a"], "a", "Invalid actual value type: string or boolean"),
        ("is not", 5, "5", "Invalid actual value type: string or boolean"),
        ("in", "a", "abc", "Invalid expected value type: array"),
        ("not in", "a", None, "Invalid expected value type: array"),
        ("all of", ["a"], "a", "Invalid expected value type: array"),
        ("=", "5", "5", "Invalid actual value type: number or boolean"),
        ("≠", [], "5", "Invalid actual value type: number or boolean"),
        (">", "5", "4", "Invalid actual value type: number"),
        (">", 5, "abc", "Cannot convert 'abc' to number"),
        ("=", 5, "", "Cannot convert '' to number"),
        ("≤", 5, None, "Cannot convert None to number"),
        ("resembles", 5, 5, "Unsupported operator: resembles"),
    ],
)
def test_values_that_an_operator_does_not_take(operator, actual, expected, message):
    with pytest.raises(ConditionError) as caught:
        compare(operator, actual, expected)

    assert message in caught.value.message


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ANY = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(st.text(max_size=2), PLAIN, max_size=2)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(OPERATORS)), ANY, ANY)
def test_any_values_get_a_verdict_or_an_error(operator, actual, expected):
    with contextlib.suppress(ConditionError):
        assert isinstance(compare(operator, actual, expected), bool)


@settings(max_examples=100, deadline=None)
@given(ANY, ANY)
def test_opposites_disagree(actual, expected):
    for one, other in [("contains", "not contains"), ("empty", "not empty"), ("in", "not in"), ("null", "not null")]:
        try:
            assert compare(one, actual, expected) is not compare(other, actual, expected)
        except ConditionError:
            with pytest.raises(ConditionError):
                compare(other, actual, expected)


# -- groups ----------------------------------------------------------------------------------------------------


def image(name, size, extension):
    return File(
        type=FileType.IMAGE,
        transfer_method=FileTransfer.LOCAL_FILE,
        filename=name,
        extension=extension,
        size=size,
        mime_type="image/png",
        related_id="r",
        url="http://f",
    )


POOL = fake_pool(
    {
        "x": {
            "s": "hello",
            "n": 5,
            "t": True,
            "bools": [True, False],
            "null": None,
            "files": [image("a.png", 10, ".png"), image("b.JPG", 20, "jpg")],
            "file": image("a.png", 10, ".png"),
        }
    }
)


def run(conditions, operator="and"):
    return evaluate(msgspec.convert(conditions, list[Condition]), operator, POOL.get, POOL.render)


def check(name, operator, value=None, **more):
    return {"variable_selector": ["x", *name.split(".")], "comparison_operator": operator, "value": value, **more}


@pytest.mark.parametrize(
    ("operator", "conditions", "results", "final"),
    [
        ("and", [], [], T),
        ("or", [], [], F),
        ("and", [check("s", "is", "hello"), check("n", "=", "5")], [T, T], T),
        ("and", [check("s", "is", "bye"), check("gone", "is", "")], [F], F),
        ("or", [check("s", "is", "hello"), check("gone", "is", "")], [T], T),
        ("or", [check("s", "is", "bye"), check("n", ">", "9")], [F, F], F),
    ],
)
def test_conditions_join_and_stop_early(operator, conditions, results, final):
    verdict = run(conditions, operator)

    assert (verdict.results, verdict.final) == (results, final)


def test_expected_texts_are_templates():
    verdict = run([check("s", "is", "{{#x.s#}}"), check("n", "=", "{{#x.n#}}"), check("s", "is", "{{#x.gone#}}")])

    assert verdict.results == [True, True, False]
    assert [item["expected_value"] for item in verdict.compared] == ["hello", "5", "x.gone"]


@pytest.mark.parametrize(
    ("name", "operator", "value", "verdict"),
    [
        ("t", "is", "true", T),
        ("t", "is", "false", F),
        ("t", "is", "1", T),
        ("t", "is", True, T),
        ("t", "=", "1", T),
        ("t", "≠", "0", T),
        ("t", "not empty", None, T),
        ("bools", "contains", "true", T),
        ("bools", "all of", ["true", "false"], T),
        ("bools", "all of", [True], T),
    ],
)
def test_booleans_are_compared_as_booleans(name, operator, value, verdict):
    assert run([check(name, operator, value)]).final is verdict


@pytest.mark.parametrize("value", ["", "yes", [1, "x"], "[]"])
def test_texts_that_are_no_booleans_fail(value):
    with pytest.raises(ConditionError):
        run([check("t", "is", value)])


def sub(*tests, operator="and"):
    parts = [{"key": key, "comparison_operator": op, "value": value} for key, op, value in tests]
    return {"logical_operator": operator, "conditions": parts}


@pytest.mark.parametrize(
    ("tests", "operator", "verdict"),
    [
        ([("extension", "is", "png")], "and", T),
        ([("extension", "is", ".jpg")], "and", T),
        ([("extension", "is", ".gif")], "and", F),
        ([("extension", "is not", ".png")], "and", F),
        ([("type", "in", ["image", "audio"])], "and", T),
        ([("transfer_method", "not in", ["remote_url"])], "and", T),
        ([("size", ">", "15"), ("name", "start with", "a")], "and", T),
        ([("size", ">", "50"), ("name", "start with", "a")], "and", F),
        ([("size", ">", "50"), ("name", "start with", "a")], "or", T),
        ([("mime_type", "contains", "png"), ("url", "not empty", None), ("related_id", "is", "r")], "and", T),
        ([], "and", T),
        ([], "or", F),
    ],
)
@pytest.mark.parametrize("outer", ["contains", "not contains", "all of"])
def test_lists_of_files_are_tested_file_by_file(outer, tests, operator, verdict):
    found = run([check("files", outer, "", sub_variable_condition=sub(*tests, operator=operator))])

    assert found.final is verdict
    assert found.compared == []


def test_what_files_cannot_be_asked():
    with pytest.raises(ConditionError, match="Sub variable is required"):
        run([check("files", "contains", "")])
    with pytest.raises(ConditionError, match="not an attribute"):
        run([check("files", "contains", "", sub_variable_condition=sub(("colour", "is", "red")))])


def test_one_file_is_tested_by_its_attributes():
    conditions = [check("file", "exists"), check("file.type", "is", "image"), check("file.size", ">", "9")]

    assert run(conditions).results == [True, True, True]
    assert set(FILE_KEYS) == {"type", "size", "name", "mime_type", "transfer_method", "url", "extension", "related_id"}


def test_a_missing_variable_fails():
    with pytest.raises(ConditionError, match=r"Variable \['x', 'gone'\] not found"):
        run([check("gone", "empty")])


def test_selectors_and_problems():
    conditions = msgspec.convert(
        [check("s", "is", "{{#y.z#}} {{#y.w.v#}}"), check("n", "in", ["{{#a.b#}}"])], list[Condition]
    )

    assert condition_selectors(conditions) == [("x", "s"), ("y", "z"), ("y", "w", "v"), ("x", "n")]
    assert condition_problems(conditions, "and") == []
    assert "`and` nor `or`" in condition_problems(conditions, "xor")[0]
