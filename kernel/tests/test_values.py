"""Values and templates: inferred types, printed forms, references, masks, and a pool that survives a dump."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from dify_kernel.graph.pool import Pool, Template
from dify_kernel.graph.values import (
    FILE_IDENTITY,
    File,
    FileType,
    Value,
    ValueType,
    cast,
    infer,
    log_text,
    markdown,
    plain,
    text,
)
from hypothesis import given
from hypothesis import strategies as st

IMAGE = File(id="1", type=FileType.IMAGE, filename="a.png", url="http://x/a.png", extension=".png", size=3)


@pytest.mark.parametrize(
    ("data", "kind", "as_text", "as_markdown"),
    [
        (None, "none", "", ""),
        ("x", "string", "x", "x"),
        (True, "boolean", "True", "True"),
        (3, "integer", "3", "3"),
        (2.5, "float", "2.5", "2.5"),
        ({"b": 1, "ä": None}, "object", '{"b": 1, "ä": null}', '{\n  "b": 1,\n  "ä": null\n}'),
        (["b", "ä"], "array[string]", '["b", "ä"]', "- b\n- ä"),
        ([1, 2.5], "array[number]", "[1, 2.5]", "- 1\n- 2.5"),
        ([True, False], "array[boolean]", "[True, False]", "- True\n- False"),
        ([{"k": "x"}], "array[object]", "[{'k': 'x'}]", "- {'k': 'x'}"),
        ([], "array[any]", "", ""),
        ([1, "a"], "array[any]", "[1, 'a']", "- 1\n- a"),
        ([None], "array[any]", "[None]", "- None"),
        ([[1]], "array[any]", "[[1]]", "- [1]"),
        (IMAGE, "file", "", "![a.png](http://x/a.png)"),
        ([IMAGE], "array[file]", "", "![a.png](http://x/a.png)"),
    ],
)
def test_types_and_printed_forms(data: Any, kind: str, as_text: str, as_markdown: str) -> None:
    value = infer(data)
    assert (value.type.value, text(value), markdown(value)) == (kind, as_text, as_markdown)


def test_a_mapping_with_the_file_identity_is_a_file_again() -> None:
    stored = plain(infer(IMAGE))
    assert stored["dify_model_identity"] == FILE_IDENTITY
    assert infer(stored).data == IMAGE


def test_secrets_print_clear_in_templates_and_masked_in_logs() -> None:
    secret = Value(ValueType.SECRET, "0123456789abcdef")
    assert text(secret) == "0123456789abcdef"
    assert log_text(secret) == "************cdef"


@pytest.mark.parametrize(
    ("data", "declared", "kind"),
    [
        (1, "number", "integer"),
        (1.5, "number", "float"),
        ([], "array[string]", "array[string]"),
        (None, "string", "string"),
        ("x", "secret", "secret"),
        ([1, "a"], "array[any]", "array[any]"),
    ],
)
def test_declared_types_take_what_fits(data: Any, declared: str, kind: str) -> None:
    assert cast(data, declared).type.value == kind


@pytest.mark.parametrize(
    ("data", "declared"), [("1", "number"), (1, "string"), ([1], "array[string]"), ({}, "array[any]")]
)
def test_declared_types_refuse_what_does_not_fit(data: Any, declared: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        cast(data, declared)


def pool() -> Pool:
    made = Pool()
    made.update("n", {"s": "v", "o": {"k": {"deep": 1}}, "f": IMAGE, "l": [1]})
    made.set("sys", "query", "q")
    return made


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{#n.s#}}", "v"),
        ("a{{#n.s#}}b{{#sys.query#}}", "avbq"),
        ("{{#n.o.k.deep#}}", "1"),
        ("{{#n.f.extension#}}", ".png"),
        ("{{#n.f.secretname#}}", "n.f.secretname"),
        ("{{#n.gone#}}", "n.gone"),
        ("{{#n.l.0#}}", "{{#n.l.0#}}"),
        ("{{# n.s #}}", "{{# n.s #}}"),
        ("{{#bad-id.s#}}", "{{#bad-id.s#}}"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_references_resolve_and_missing_ones_stay_as_their_bare_text(template: str, expected: str) -> None:
    assert pool().render(template) == expected


@given(st.text(alphabet="ab{}#.n s_1", max_size=60))
def test_any_text_splits_and_joins_to_itself(source: str) -> None:
    parts = Template(source).parts
    assert "".join(part if isinstance(part, str) else "{{#" + ".".join(part) + "#}}" for part in parts) == source


_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(max_size=3), items, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), _plain, max_size=4))
def test_a_pool_survives_its_dump_through_json(values: dict[str, Any]) -> None:
    made = Pool()
    made.update("n", values)
    again = Pool.load(msgspec.json.decode(msgspec.json.encode(made.dump())))
    assert {(n, k): v for n, k, v in again} == {(n, k): v for n, k, v in made}


def test_a_copy_is_a_pool_of_its_own() -> None:
    first = pool()
    second = first.copy()
    second.set("n", "s", "changed")
    assert first.render("{{#n.s#}}") == "v"


def test_masking_replaces_secrets_wherever_they_stand() -> None:
    made = Pool()
    made.set("env", "KEY", Value(ValueType.SECRET, "topsecret"))
    assert made.mask({"a": ["x topsecret y", 1], "b": None}) == {"a": ["x [secret:KEY] y", 1], "b": None}
    assert "topsecret" not in repr(made.dump())
