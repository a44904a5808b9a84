"""What the conditions of an SQL dialect must mean, asked of a real engine: for stores of the SQL families.

`class TestConditions(SqlConditionsSuite)` with `dialect`, and the fixture `ask`, which says whether a condition holds
for a row of metadata. Needs hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dify_kernel.contracts.vector import And, Compare, Exists, Filter, Metadata, Not, Or
from dify_kernel.contracts.vector_exact import narrow
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.families.sql_dialect import Dialect, to_sql
from dify_kernel.testing.vector.data import NASTY
from dify_kernel.testing.vector.filtering import CASES, ROWS

__all__ = ["Ask", "SqlConditionsSuite"]

Ask = Callable[[Filter | None, Metadata], bool]

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3) | st.sampled_from("ab")
_NUMBER = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e18, 1e18) | st.integers(0, 2)
_SMALL = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e9, 1e9) | st.integers(0, 2)
_SCALAR = _TEXT | _NUMBER | st.booleans()
_FIELD = st.sampled_from("fg")
_ROW = st.dictionaries(_FIELD, _SCALAR | st.lists(_TEXT, max_size=3))
_LEAF: Any = (
    st.builds(Compare, st.sampled_from(["eq", "ne"]), _FIELD, _SCALAR)
    | st.builds(Compare, st.sampled_from(["in", "not_in"]), _FIELD, st.lists(_SCALAR, max_size=80))
    | st.builds(Compare, st.sampled_from(["lt", "le", "gt", "ge"]), _FIELD, _SMALL)
    | st.builds(Compare, st.sampled_from(["contains", "starts_with", "ends_with"]), _FIELD, _TEXT)
    | st.builds(Exists, _FIELD)
)
_FILTER = st.recursive(
    _LEAF,
    lambda f: st.builds(And, st.lists(f, max_size=3)) | st.builds(Or, st.lists(f, max_size=3)) | st.builds(Not, f),
)


class SqlConditionsSuite:
    """They mean what `vector_rules.matches` means, and hold no value of a user."""

    dialect: ClassVar[Dialect]

    def said(self, filter: Filter) -> Filter | None:
        """What the engine is asked for, which is the whole filter."""
        condition, whole = narrow(filter, self.dialect.said)
        assert whole, filter
        return condition

    def test_every_case_is_said_as_a_whole(self, ask: Ask) -> None:
        for filter, names in CASES:
            assert {name for name, row in ROWS.items() if ask(self.said(filter), row)} == set(names), filter

    def test_hostile_text_is_only_text(self, ask: Ask) -> None:
        for text in NASTY:
            for op in ("eq", "contains", "starts_with", "ends_with"):
                for other in NASTY:
                    filter = Compare(op, "value", text)
                    assert ask(self.said(filter), {"value": other}) == matches(filter, {"value": other}), (
                        op,
                        text,
                        other,
                    )

    def test_values_never_stand_in_the_statement(self) -> None:
        values: list[tuple[Any, Any]] = [("eq", "x'; --"), ("in", ["x'; --"])]
        for op, value in [*values, ("contains", "x'; --"), ("starts_with", "x'; --")]:
            condition, bound = to_sql(self.dialect, self.said(Compare(op, "field", value)))
            assert "x'" not in condition
            assert condition.count("%s") == len(bound)

    def test_order_beside_integers_that_a_double_cannot_hold_is_not_said(self) -> None:
        assert narrow(Compare("lt", "big", 2**53 - 1), self.dialect.said)[1]
        assert not narrow(Compare("lt", "big", 2**53 + 1), self.dialect.said)[1]

    def test_the_condition_means_what_the_definition_means(self, ask: Ask) -> None:
        @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
        @given(_FILTER, _ROW)
        def means_the_same(filter: Filter, row: Metadata) -> None:
            assert ask(self.said(filter), row) == matches(filter, row)

        means_the_same()
