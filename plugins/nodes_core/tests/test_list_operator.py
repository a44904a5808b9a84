"""The list operator keeps the node contract; every operator, every attribute of files, and what is refused."""

import pytest
from dify_kernel.contracts.node import NodeStatus
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.values import File, FileTransfer, FileType, Value, ValueType
from dify_kernel.testing.fakes import fake_context
from dify_kernel.testing.node import NodeExample, NodeSuite, make_node
from dify_nodes_core.list_operator import ListOperatorNode
from hypothesis import given
from hypothesis import strategies as st

TEXTS = ["apple", "Banana", "cherry", "", "date"]
NUMBERS = [5, 1, 4.5, -2, 10]


def file(name, size, kind=FileType.DOCUMENT, **more):
    return File(
        type=kind,
        filename=name,
        extension=f".{name.rpartition('.')[2]}",
        size=size,
        **{"mime_type": "text/plain", "related_id": f"id-{name}", "url": f"http://f/{name}", **more},
    )


A = file("a.txt", 5)
B = file("b.png", 50, FileType.IMAGE, mime_type="image/png")
C = file("c.txt", 9, transfer_method=FileTransfer.REMOTE_URL, remote_url="http://other/c.txt", related_id=None)
FILES = [B, C, A]


def config(operator=None, value="", *, key="", **parts):
    conditions = [{"key": key, "comparison_operator": operator, "value": value}] if operator else []
    return {
        "variable": ["x", "l"],
        "filter_by": {"enabled": operator is not None, "conditions": conditions},
        "order_by": {"enabled": False, "key": "", "value": "asc"},
        "limit": {"enabled": False, "size": 10},
        "extract_by": {"enabled": False, "serial": "1"},
        **parts,
    }


def order(value, key=""):
    return {"order_by": {"enabled": True, "key": key, "value": value}}


def limit(size):
    return {"limit": {"enabled": True, "size": size}}


def extract(serial):
    return {"extract_by": {"enabled": True, "serial": serial}}


def evaluate(data, items, **variables):
    return make_node(ListOperatorNode, data).evaluate(fake_context("node", {"x": {"l": items, **variables}}))


def kept(data, items, **variables):
    result = evaluate(data, items, **variables)
    assert result.status is NodeStatus.SUCCEEDED, result.error
    return result.outputs["result"].data


class TestListOperator(NodeSuite):
    node = ListOperatorNode
    examples = [
        NodeExample(
            name="all in order",
            config=config(">", "{{#x.n#}}", **order("desc"), **limit(2)),
            variables={"x": {"l": NUMBERS, "n": 1}},
            outputs={"result": [10, 5], "first_record": 10, "last_record": 5},
        ),
        NodeExample(
            name="extract by template",
            config=config(**extract("{{#x.n#}}")),
            variables={"x": {"l": TEXTS, "n": 2}},
            outputs={"result": ["Banana"], "first_record": "Banana", "last_record": "Banana"},
        ),
        NodeExample(
            name="files",
            config=config("in", ["document"], key="type", **order("asc", "name")),
            variables={"x": {"l": FILES}},
            outputs={"result": [A, C], "first_record": A, "last_record": C},
        ),
        NodeExample(
            name="empty",
            config=config("contains", "a", **extract("7")),
            variables={"x": {"l": Value(ValueType.ARRAY_STRING, [])}},
            outputs={"result": [], "first_record": None, "last_record": None},
        ),
        NodeExample(
            name="parts left out",
            config={"variable": ["x", "l"], "filter_by": {"enabled": True, "conditions": None}},
            variables={"x": {"l": [True]}},
            outputs={"result": [True], "first_record": True, "last_record": True},
        ),
        NodeExample(name="missing", config=config(), error="Variable not found for selector: ['x', 'l']"),
        NodeExample(
            name="objects",
            config=config(),
            variables={"x": {"l": [{"a": 1}]}},
            error="Variable ['x', 'l'] is not an array type, actual type: array[object]",
        ),
        NodeExample(
            name="first is 1",
            config=config(**extract("0")),
            variables={"x": {"l": TEXTS}},
            error="Invalid serial index: must be >= 1, got 0",
        ),
        NodeExample(
            name="beyond",
            config=config("contains", "a", **extract("4")),
            variables={"x": {"l": TEXTS}},
            error="Invalid serial index: must be <= 3, got 4",
        ),
        NodeExample(
            name="no number",
            config=config(">", "abc"),
            variables={"x": {"l": NUMBERS}},
            error="could not convert string to float: 'abc'",
        ),
    ]
    bad_configs = [
        {},
        config("like", "a"),
        config(**order("sideways")),
        config("is", {"a": 1}),
        {"variable": ["x", "l"], "limit": {"enabled": True, "size": "many"}},
    ]


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("contains", "an", ["Banana"]),
        ("not contains", "a", ["cherry", ""]),
        ("start with", "b", []),
        ("end with", "e", ["apple", "date"]),
        ("is", "date", ["date"]),
        ("is not", "date", ["apple", "Banana", "cherry", ""]),
        ("in", "apple,date", ["apple", "", "date"]),
        ("not in", "apple,date", ["Banana", "cherry"]),
        ("empty", "", [""]),
        ("empty", None, [""]),
        ("not empty", "x", ["apple", "Banana", "cherry", "date"]),
        ("is", "{{#x.t#}}", ["cherry"]),
    ],
)
def test_texts(operator, value, expected):
    assert kept(config(operator, value), TEXTS, t="cherry") == expected


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("=", "5", [5]),
        ("≠", "5.0", [1, 4.5, -2, 10]),
        ("<", "4.5", [1, -2]),
        (">", 4, [5, 4.5, 10]),
        ("≤", "1", [1, -2]),
        ("≥", "5", [5, 10]),
    ],
)
def test_numbers(operator, value, expected):
    assert kept(config(operator, value), NUMBERS) == expected


@pytest.mark.parametrize(("operator", "expected"), [("is", [True, True]), ("is not", [False])])
def test_booleans(operator, expected):
    assert kept(config(operator, True), [True, False, True]) == expected


@pytest.mark.parametrize(
    ("key", "operator", "value", "expected"),
    [
        ("name", "contains", ".t", [C, A]),
        ("name", "end with", "png", [B]),
        ("extension", "is", ".txt", [C, A]),
        ("mime_type", "start with", "image/", [B]),
        ("url", "contains", "other", [C]),
        ("related_id", "empty", "", [C]),
        ("type", "not in", ["image"], [C, A]),
        ("type", "in", "image,audio", [B]),
        ("transfer_method", "in", ["remote_url", "tool_file"], [C]),
        ("size", "≥", "{{#x.n#}}", [B, C]),
    ],
)
def test_files(key, operator, value, expected):
    assert kept(config(operator, value, key=key), FILES, n=9) == expected


@pytest.mark.parametrize(
    ("items", "data", "error", "error_type"),
    [
        (TEXTS, config("in", ["apple"]), "Invalid filter value: ['apple']", "InvalidFilterValueError"),
        (TEXTS, config("=", "1"), "Invalid condition: =", "InvalidConditionError"),
        (NUMBERS, config("contains", "1"), "Invalid condition: contains", "InvalidConditionError"),
        (FILES, config("contains", "a", key="colour"), "Invalid key: colour", "InvalidKeyError"),
        (FILES, config("in", ["a"], key="name"), "Invalid key: name", "InvalidKeyError"),
        (FILES, config("is", "image", key="type"), "Invalid condition: is", "InvalidConditionError"),
        (FILES, config(**order("asc", "colour")), "Invalid order key: colour", "InvalidKeyError"),
    ],
)
def test_what_does_not_suit_the_list_fails_and_keeps_the_list(items, data, error, error_type):
    result = evaluate(data, items)
    assert (result.status, result.error, result.error_type) == (NodeStatus.FAILED, error, error_type)
    assert result.inputs == result.process_data == {"variable": items}


@pytest.mark.parametrize(
    ("items", "data"),
    [
        ([True], config("is", "true")),
        (FILES, config("contains", True, key="name")),
        (FILES, config(">", "big", key="size")),
        (TEXTS, config(**extract("two"))),
    ],
)
def test_what_is_no_value_at_all_fails(items, data):
    with pytest.raises(NodeFailed) as caught:
        evaluate(data, items)
    assert caught.value.error_type == "ValueError"


@pytest.mark.parametrize("key", ["name", "extension", "mime_type", "url", "related_id", "type", "transfer_method"])
def test_files_are_sorted_by_any_attribute(key):
    up, down = (kept(config(**order(way, key)), FILES) for way in ("asc", "desc"))
    assert sorted(up, key=str) == sorted(down, key=str) == sorted(FILES, key=str)
    values = [str(one.remote_url or one.url) if key == "url" else str(one.attribute(key) or "") for one in up]
    assert values == sorted(values)


def test_sizes_are_sorted_as_numbers():
    assert kept(config(**order("asc", "size")), FILES) == [A, C, B]


@pytest.mark.parametrize("data", ["", 0, None, {}])
def test_what_is_nothing_is_an_empty_list(data):
    assert evaluate(config(), data).outputs == {
        "result": Value(ValueType.ARRAY_ANY, []),
        "first_record": None,
        "last_record": None,
    }


def test_an_empty_result_keeps_the_type_of_the_list():
    assert evaluate(config("is", "x", key="name"), FILES).outputs["result"] == Value(ValueType.ARRAY_FILE, [])


@given(items=st.lists(st.text(max_size=4), min_size=1), size=st.integers(-5, 5))
def test_a_limit_is_a_slice(items, size):
    assert kept(config(**limit(size)), items) == items[:size]
