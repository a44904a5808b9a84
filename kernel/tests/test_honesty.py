"""No contract test can be dropped silently."""

import pytest
from dify_kernel.testing.honesty import ContractOptOut, ContractSuite, opt_outs, run_suite


class Part(ContractSuite, suite=True):
    async def test_one(self, thing) -> None:
        assert thing == 1


class Suite(Part, suite=True):
    def test_two(self, thing) -> None:
        if thing == 0:
            pytest.skip("nothing there")


def test_overriding_a_contract_test_is_refused():
    with pytest.raises(ContractOptOut, match="overrides test_one"):

        class Mine(Suite):
            async def test_one(self, thing) -> None:
                pass


def test_removing_a_contract_test_is_refused():
    with pytest.raises(ContractOptOut, match="removes test_two"):

        class Mine(Suite):
            test_two = None


def test_a_base_that_hides_a_contract_test_is_refused():
    class Hide:
        async def test_one(self, thing) -> None:
            pass

    with pytest.raises(ContractOptOut, match="overrides test_one"):

        class Mine(Hide, Suite):
            pass


def test_calling_an_override_a_suite_does_not_help():
    with pytest.raises(ContractOptOut, match="overrides test_one"):

        class Mine(Suite, suite=True):
            async def test_one(self, thing) -> None:
                pass


def test_hiding_a_whole_class_from_collection_is_refused():
    with pytest.raises(ContractOptOut, match="__test__"):

        class Mine(Suite):
            __test__ = False


@pytest.mark.parametrize(
    "mark",
    [
        pytest.mark.xfail(reason="slow"),
        pytest.mark.xfail(strict=True),
        pytest.mark.xfail(strict=True, reason=" "),
        pytest.mark.xfail(True, strict=True, reason="here only"),
        pytest.mark.xfail(strict=True, reason="never run", run=False),
        pytest.mark.skip(reason="no"),
    ],
)
def test_a_weak_excuse_is_refused(mark):
    with pytest.raises(ContractOptOut, match="overrides test_one"):

        class Mine(Suite):
            @mark
            async def test_one(self, thing) -> None:
                pass


def test_a_strict_expected_failure_with_a_reason_is_accepted_and_later_edits_are_seen():
    class Mine(Suite):
        @pytest.mark.xfail(strict=True, reason="the vendor counts from two")
        async def test_one(self, thing) -> None:
            await super().test_one(thing)

    assert opt_outs(Mine) == []
    Mine.test_two = lambda self: None
    assert opt_outs(Mine) == ["overrides test_two without @pytest.mark.xfail(strict=True, reason=…)"]


@pytest.mark.parametrize(("thing", "one", "two"), [(1, "passed", "passed"), (0, "AssertionError", "skipped")])
async def test_run_suite_reports_each_outcome(thing, one, two):
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def fixtures():
        yield {"thing": thing}

    outcomes = await run_suite(Suite, fixtures)
    assert outcomes["test_one"].startswith(one)
    assert outcomes["test_two"].startswith(two)
    assert outcomes["test_no_contract_test_is_dropped"] == "passed"
