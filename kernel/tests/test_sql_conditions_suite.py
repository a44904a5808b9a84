"""The suite for conditions of SQL dialects passes for what means the same, and fails for what does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dify_kernel.contracts.vector import Compare, Filter, Metadata
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.families.sql_dialect import ArrayDialect
from dify_kernel.testing.vector.sql_conditions import Ask, SqlConditionsSuite


class TestTheDefinition(SqlConditionsSuite):
    dialect = ArrayDialect()

    @pytest.fixture
    def ask(self) -> Ask:
        return lambda filter, row: filter is None or matches(filter, row)


def folds_case(filter: Filter | None, row: Metadata) -> bool:
    if isinstance(filter, Compare) and isinstance(filter.value, str):
        lowered = {key: value.lower() if isinstance(value, str) else value for key, value in row.items()}
        return matches(Compare(filter.op, filter.field, filter.value.lower()), lowered)
    return filter is None or matches(filter, row)


class Values(ArrayDialect):
    """Puts a user's value into the statement."""

    def leaf(self, leaf):  # type: ignore[no-untyped-def]
        condition, values = super().leaf(leaf)
        return f"{condition} /* {getattr(leaf, 'value', '')} */", values


def test_values_in_the_statement_are_noticed() -> None:
    suite = SqlConditionsSuite()
    suite.dialect = Values()  # type: ignore[misc]
    with pytest.raises(AssertionError):
        suite.test_values_never_stand_in_the_statement()


@pytest.mark.parametrize("ask", [folds_case, lambda filter, row: True], ids=["folds case", "always true"])
def test_another_meaning_is_noticed(ask: Callable[..., bool]) -> None:
    suite = SqlConditionsSuite()
    suite.dialect = ArrayDialect()  # type: ignore[misc]
    with pytest.raises(AssertionError):
        suite.test_every_case_is_said_as_a_whole(ask)


def test_another_meaning_is_noticed_by_chance_too() -> None:
    suite = SqlConditionsSuite()
    suite.dialect = ArrayDialect()  # type: ignore[misc]
    with pytest.raises((AssertionError, ExceptionGroup)):
        suite.test_the_condition_means_what_the_definition_means(lambda filter, row: True)
