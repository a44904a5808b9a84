"""The neutral filter tree: every operator on every kind of value, missing fields, nesting, and hostile text."""

from __future__ import annotations

from typing import Any

import pytest

from dify_kernel.contracts.vector import And, Compare, Exists, Filter, Not, Or, VectorStore
from dify_kernel.errors import InvalidQuery
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.vector.data import NASTY, SPACE, P, X, everything, found, id_of, record, seed

__all__ = ["CASES", "Filtering", "ROWS"]

ROWS: dict[str, dict[str, Any]] = {
    "a": {"color": "red", "page": 1, "price": 1.5, "ok": True, "tags": ["x", "y"], "title": "Alpha beta"},
    "b": {"color": "blue", "page": 2, "price": 2.0, "ok": False, "tags": ["y"], "title": "alpha"},
    "c": {"color": "Red", "page": 10, "price": -0.5, "tags": [], "title": "", "big": 2**53 + 1},
    "d": {"color": "red", "page": "2", "title": "Beta 50%_off"},
    "e": {},
    "f": {"color": ["red"], "page": 2.0, "ok": 1, "tags": "y"},
}
"""Metadata by the name of its record; `page`, `color`, `ok` and `tags` change their kind on purpose."""

RED, BLUE = Compare("eq", "color", "red"), Compare("eq", "color", "blue")

CASES: list[tuple[Filter, str]] = [
    (RED, "ad"),
    (Compare("eq", "color", "Red"), "c"),
    (Compare("eq", "color", "re"), ""),
    (Compare("eq", "title", ""), "c"),
    (Compare("eq", "page", 2), "bf"),
    (Compare("eq", "page", 2.0), "bf"),
    (Compare("eq", "page", "2"), "d"),
    (Compare("eq", "price", 1.5), "a"),
    (Compare("eq", "ok", True), "a"),
    (Compare("eq", "ok", False), "b"),
    (Compare("eq", "ok", 1), "f"),
    (Compare("eq", "big", 2**53 + 1), "c"),
    (Compare("eq", "big", 2**53), ""),
    (Compare("eq", "tags", "y"), "f"),
    (Compare("eq", "missing", "x"), ""),
    (Compare("ne", "color", "red"), "bcef"),
    (Compare("ne", "page", 2), "acde"),
    (Compare("ne", "ok", True), "bcdef"),
    (Compare("ne", "tags", "y"), "abcde"),
    (Compare("ne", "missing", "x"), "abcdef"),
    (Compare("in", "color", ["red", "blue"]), "abd"),
    (Compare("in", "color", []), ""),
    (Compare("in", "page", [2, "2"]), "bdf"),
    (Compare("in", "price", [1.5, -0.5, 9]), "ac"),
    (Compare("in", "ok", [True]), "a"),
    (Compare("in", "ok", [True, False, 1]), "abf"),
    (Compare("in", "tags", ["x", "y"]), "f"),
    (Compare("not_in", "color", ["red", "blue"]), "cef"),
    (Compare("not_in", "color", []), "abcdef"),
    (Compare("not_in", "page", [1, "2"]), "bcef"),
    (Compare("not_in", "missing", ["x"]), "abcdef"),
    (Compare("lt", "page", 2), "a"),
    (Compare("le", "page", 2), "abf"),
    (Compare("gt", "page", 2), "c"),
    (Compare("ge", "page", 2), "bcf"),
    (Compare("gt", "page", 1.5), "bcf"),
    (Compare("lt", "price", 0), "c"),
    (Compare("ge", "price", 1.5), "ab"),
    (Compare("le", "ok", 1), "f"),
    (Compare("lt", "color", 5), ""),
    (Compare("ge", "missing", 0), ""),
    (Compare("contains", "tags", "y"), "abf"),
    (Compare("contains", "tags", "x"), "a"),
    (Compare("contains", "tags", ""), "f"),
    (Compare("contains", "color", "red"), "adf"),
    (Compare("contains", "color", "re"), "ad"),
    (Compare("contains", "title", "beta"), "a"),
    (Compare("contains", "title", "Beta"), "d"),
    (Compare("contains", "title", ""), "abcd"),
    (Compare("contains", "title", "%_"), "d"),
    (Compare("contains", "title", "a%a"), ""),
    (Compare("contains", "title", "_"), "d"),
    (Compare("contains", "page", "2"), "d"),
    (Compare("contains", "missing", ""), ""),
    (Compare("starts_with", "title", "Alpha"), "a"),
    (Compare("starts_with", "title", "alpha"), "b"),
    (Compare("starts_with", "title", "A_pha"), ""),
    (Compare("starts_with", "title", "lpha"), ""),
    (Compare("starts_with", "title", ""), "abcd"),
    (Compare("starts_with", "tags", "y"), "f"),
    (Compare("ends_with", "title", "beta"), "a"),
    (Compare("ends_with", "title", "%_off"), "d"),
    (Compare("ends_with", "title", "alph"), ""),
    (Compare("ends_with", "title", "more than Alpha beta"), ""),
    (Compare("ends_with", "title", ""), "abcd"),
    (Compare("ends_with", "tags", "y"), "f"),
    (Exists("color"), "abcdf"),
    (Exists("tags"), "abcf"),
    (Exists("title"), "abcd"),
    (Exists("ok"), "abf"),
    (Exists("missing"), ""),
    (Not(RED), "bcef"),
    (Not(Compare("ne", "color", "red")), "ad"),
    (Not(Compare("lt", "page", 2)), "bcdef"),
    (Not(Compare("in", "page", [1, 2])), "cde"),
    (Not(Compare("not_in", "page", [1, 2])), "abf"),
    (Not(Compare("contains", "tags", "y")), "cde"),
    (Not(Compare("starts_with", "title", "A")), "bcdef"),
    (Not(Compare("eq", "missing", 1)), "abcdef"),
    (Not(Exists("tags")), "de"),
    (Not(Not(RED)), "ad"),
    (And([]), "abcdef"),
    (Or([]), ""),
    (Not(And([])), ""),
    (Not(Or([])), "abcdef"),
    (And([RED]), "ad"),
    (And([RED, Compare("ge", "page", 1)]), "a"),
    (And([RED, BLUE]), ""),
    (Or([RED, BLUE]), "abd"),
    (Or([BLUE, Compare("eq", "page", "2")]), "bd"),
    (Or([Not(Exists("color")), BLUE]), "be"),
    (And([Or([RED, BLUE]), Not(Compare("eq", "ok", False))]), "ad"),
    (Or([And([RED, Exists("tags")]), Not(Or([Exists("color"), Exists("page")]))]), "ae"),
    (Not(And([RED, Compare("eq", "page", 1)])), "bcdef"),
    (Not(Or([RED, BLUE])), "cef"),
    (And([Not(RED), Not(BLUE), Not(Exists("big"))]), "ef"),
    (And([Compare("contains", "title", "a"), Or([])]), ""),
    (Or([Compare("ends_with", "title", "a"), And([])]), "abcdef"),
]
"""Each filter with the names of the rows it matches."""

BAD: list[Filter] = [
    Compare("like", "color", "red"),
    Compare("", "color", "red"),
    Compare("eq", "", "red"),
    Compare("eq", "color' OR 1=1 --", "red"),
    Compare("eq", "a.b", "red"),
    Compare("eq", "é", "red"),
    Compare("eq", "color", None),
    Compare("eq", "color", ["red"]),
    Compare("ne", "color", {"a": 1}),
    Compare("in", "color", "red"),
    Compare("not_in", "color", [["red"]]),
    Compare("in", "color", [None]),
    Compare("lt", "color", "red"),
    Compare("ge", "page", True),
    Compare("gt", "page", float("nan")),
    Compare("contains", "tags", 1),
    Compare("starts_with", "title", None),
    Exists("no such\x00field"),
    And([RED, Compare("like", "color", "red")]),
    Or([And([]), Not(Compare("eq", "bad-field", 1))]),
]


def _ids(names: str) -> set[str]:
    return {id_of(name) for name in names}


_WHERE = "the rows are `testing.vector.filtering.ROWS`, the definition is `vector_rules.matches`"


def _names(ids: set[str]) -> str:
    """The names of the rows with these ids."""
    return repr("".join(name for name in ROWS if id_of(name) in ids))


def _told(wrong: list[str]) -> str:
    """The first few filters that were wrong, each in a line."""
    lines = "\n".join(wrong[:8])
    return f"{len(wrong)} of {len(CASES)} filters are wrong; {_WHERE}:\n{lines}"


def _one_of_each() -> list[tuple[Filter, str]]:
    """The first case of every operator and of every nesting: deleting takes several calls a case."""
    shapes: dict[str, tuple[Filter, str]] = {}
    for filter, names in CASES:
        shapes.setdefault(_shape(filter), (filter, names))
    return list(shapes.values())


def _shape(filter: Filter) -> str:
    match filter:
        case Compare(op):
            return op
        case And(items) | Or(items):
            return f"{type(filter).__name__}({', '.join(map(_shape, items))})"
        case Not(item):
            return f"Not({_shape(item)})"
        case Exists():
            return "exists"


async def _rows(store: VectorStore) -> None:
    await seed(store, *[record(name, **metadata) for name, metadata in ROWS.items()])


class Filtering(ContractSuite, suite=True):
    """A filter means the same in every store."""

    async def test_search_obeys_every_filter(self, store: VectorStore) -> None:
        """Troubleshooting: the message names the filter; a missing field must give false, never "unknown"."""
        await _rows(store)
        wrong = []
        for filter, names in CASES:
            ids = await found(store, filter)
            if ids != _ids(names):
                wrong.append(f"{filter} finds {_names(ids)}, not {names!r}")
        assert not wrong, _told(wrong)

    async def test_count_obeys_every_filter(self, store: VectorStore) -> None:
        await _rows(store)
        wrong = []
        for filter, names in CASES:
            counted = await store.count(SPACE, P, filter=filter)
            if counted != len(names):
                wrong.append(f"{filter} counts {counted}, not the {len(names)} of {names!r}")
        assert not wrong, _told(wrong)

    async def test_delete_obeys_every_filter(self, store: VectorStore) -> None:
        for filter, names in _one_of_each():
            await _rows(store)
            await store.delete(SPACE, P, filter=filter)
            left = {item.id for item in await everything(store)}
            wanted = _ids("abcdef") - _ids(names)
            assert left == wanted, f"deleting by {filter} leaves {_names(left)}, not {_names(wanted)}; {_WHERE}"

    async def test_no_filter_finds_everything(self, store: VectorStore) -> None:
        await _rows(store)
        assert await found(store, None) == _ids("abcdef")
        assert await store.count(SPACE, P) == 6

    async def test_hostile_text_is_only_text(self, store: VectorStore) -> None:
        """Troubleshooting: bind values as parameters; never write them into a query."""
        await seed(store, *[record(text, value=text, many=[text, "z"]) for text in NASTY])
        for text in NASTY:
            assert await found(store, Compare("eq", "value", text)) == {id_of(text)}, text
            assert await found(store, Compare("in", "value", [text, "nothing else"])) == {id_of(text)}, text
            for op, holds in (
                ("contains", str.__contains__),
                ("starts_with", str.startswith),
                ("ends_with", str.endswith),
            ):
                expected = {id_of(other) for other in NASTY if holds(other, text)}
                assert await found(store, Compare(op, "value", text)) == expected, (op, text)
            assert await found(store, Compare("contains", "many", text)) == {id_of(text)}, text
        await store.delete(SPACE, P, filter=Not(Compare("in", "value", list(NASTY))))
        assert await store.count(SPACE, P) == len(NASTY)

    async def test_a_long_list_of_values(self, store: VectorStore) -> None:
        """Troubleshooting: a long list travels as one parameter or in several; none of its values may be cut off."""
        await seed(store, *[record(i, document=id_of(f"document {i}"), page=i) for i in range(20)])
        wanted = [id_of(f"document {i}") for i in range(2000)]
        for values in (wanted, wanted[::-1]):
            some = values[10:] if values is wanted else values[:-10]
            assert await store.count(SPACE, P, filter=Compare("in", "document", some)) == 10
            assert await store.count(SPACE, P, filter=Compare("not_in", "document", some)) == 10
        for numbers in (range(15, 2000), range(1999, 14, -1)):
            assert await store.count(SPACE, P, filter=Compare("in", "page", list(numbers))) == 5

    async def test_a_deep_tree(self, store: VectorStore) -> None:
        await _rows(store)
        deep: Filter = RED
        for _ in range(20):
            deep = Not(And([Or([deep])]))
        assert await found(store, deep) == _ids("ad")

    async def test_bad_filters_are_refused(self, store: VectorStore) -> None:
        await _rows(store)
        for filter in BAD:
            with pytest.raises(InvalidQuery):
                await store.search(SPACE, P, X, filter=filter)
            with pytest.raises(InvalidQuery):
                await store.count(SPACE, P, filter=filter)
            with pytest.raises(InvalidQuery):
                await store.delete(SPACE, P, filter=filter)
        assert await store.count(SPACE, P) == 6
