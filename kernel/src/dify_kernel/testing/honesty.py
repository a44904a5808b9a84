"""Keeps conformance suites honest: nobody drops a contract test silently, and a suite is itself tested."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import pytest

__all__ = ["ContractOptOut", "ContractSuite", "contract_tests", "opt_outs", "run_suite"]


class ContractOptOut(TypeError):
    """A subclass of a suite overrides or removes contract tests without a strict expected failure and its reason."""


class ContractSuite:
    """Base of every conformance suite: `class StorageSuite(ContractSuite, suite=True)`.

    The author of a plugin subclasses a suite and supplies its fixtures. A contract test may be overridden only under
    `@pytest.mark.xfail(strict=True, reason="…")`: the gap is then visible in every report, and closing it makes the
    test fail until the override goes. Anything else is refused when the class is made, and once more when it runs.
    Tests are coroutines and run in any mode of pytest-asyncio; outside its auto mode, coroutine fixtures are
    `pytest_asyncio.fixture`.
    """

    _contract_tests: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, *, suite: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if suite:
            cls._contract_tests = tuple(name for name in vars(cls) if name.startswith("test_"))
            for name in cls._contract_tests:
                if inspect.iscoroutinefunction(vars(cls)[name]):
                    pytest.mark.asyncio(vars(cls)[name])  # so that no project has to choose a mode of pytest-asyncio
        problems = opt_outs(cls)
        if problems:
            raise ContractOptOut(f"{cls.__name__} drops contract tests: {'; '.join(problems)}.")

    def test_no_contract_test_is_dropped(self) -> None:
        """Troubleshooting: give the override `@pytest.mark.xfail(strict=True, reason=…)`, or remove it."""
        assert opt_outs(type(self)) == []


def contract_tests(cls: type) -> dict[str, Any]:
    """Every contract test of the suites among the bases of a class, as the suites define them."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name in vars(base).get("_contract_tests", ()):
            found.setdefault(name, vars(base)[name])
    if issubclass(cls, ContractSuite):
        found["test_no_contract_test_is_dropped"] = vars(ContractSuite)["test_no_contract_test_is_dropped"]
    return found


def opt_outs(cls: type) -> list[str]:
    """What a class drops of its suites, as sentences; empty for an honest class."""
    problems = []
    for name, wanted in contract_tests(cls).items():
        actual = inspect.getattr_static(cls, name, None)
        if actual is not wanted and not _expected_failure(actual):
            verb = "overrides" if callable(actual) else "removes"
            problems.append(f"{verb} {name} without @pytest.mark.xfail(strict=True, reason=…)")
    if cls.__dict__.get("__test__", True) is False:
        problems.append("sets __test__ = False")
    return problems


def _expected_failure(test: Any) -> bool:
    marks = getattr(test, "pytestmark", [])
    return any(
        mark.name == "xfail"
        and mark.kwargs.get("strict") is True
        and bool(str(mark.kwargs.get("reason", "")).strip())
        and not mark.args  # a condition would make the opt-out depend on where it runs
        and mark.kwargs.get("run", True) is True
        for mark in marks
    )


async def run_suite(
    suite: type[ContractSuite],
    fixtures: Callable[[], AbstractAsyncContextManager[dict[str, Any]]],
    *,
    only: Collection[str] | None = None,
) -> dict[str, str]:
    """Run every contract test with fresh fixtures and return its outcome: `passed`, `skipped`, or the failure.

    For the tests of a suite: the reference must pass all of it, a broken variant must fail. `fixtures` gives the
    fixtures by name, anew for each test; `only` picks tests by name.
    """
    outcomes: dict[str, str] = {}
    for name in sorted(contract_tests(suite)):
        if only is not None and name not in only:
            continue
        async with fixtures() as given:
            outcomes[name] = await _run(getattr(suite(), name), given)
    return outcomes


async def _run(test: Callable[..., Awaitable[None] | None], given: dict[str, Any]) -> str:
    wanted = list(inspect.signature(test).parameters)
    try:
        result = test(**{name: given[name] for name in wanted})
        if inspect.isawaitable(result):
            await result
    except pytest.skip.Exception as exc:
        return f"skipped: {exc}"
    except (Exception, pytest.fail.Exception) as exc:
        return f"{type(exc).__name__}: {exc}"
    return "passed"
