"""The suites of authentication pass on their references and fail on every broken variant."""

from contextlib import asynccontextmanager

import pytest
from dify_kernel.testing.broken_auth import (
    BROKEN_AUTHENTICATORS,
    BROKEN_LOGINS,
    HeaderKeySuite,
    PlainLoginSuite,
)
from dify_kernel.testing.honesty import contract_tests, run_suite


class TestHeaderKey(HeaderKeySuite):
    pass


class TestPlainLogin(PlainLoginSuite):
    pass


@asynccontextmanager
async def nothing():
    yield {}


@pytest.mark.parametrize("flaw", BROKEN_AUTHENTICATORS)
async def test_a_broken_authenticator_fails(flaw):
    broken, caught_by = BROKEN_AUTHENTICATORS[flaw]
    suite = type("Broken", (HeaderKeySuite,), {"authenticator": broken})
    outcomes = await run_suite(suite, nothing, only=(caught_by,))
    assert not outcomes[caught_by].startswith(("passed", "skipped")), outcomes


@pytest.mark.parametrize("flaw", BROKEN_LOGINS)
async def test_a_broken_login_method_fails(flaw):
    broken, caught_by = BROKEN_LOGINS[flaw]
    suite = type("Broken", (PlainLoginSuite,), {"method": broken})
    outcomes = await run_suite(suite, nothing, only=(caught_by,))
    assert not outcomes[caught_by].startswith(("passed", "skipped")), outcomes


@pytest.mark.parametrize(
    ("suite", "broken"), [(HeaderKeySuite, BROKEN_AUTHENTICATORS), (PlainLoginSuite, BROKEN_LOGINS)]
)
def test_every_contract_test_catches_something(suite, broken):
    caught = {test for _, test in broken.values()}
    by_the_form_alone = {"test_an_incomplete_form_is_bad_input", "test_no_contract_test_is_dropped"}
    assert contract_tests(suite).keys() - caught <= by_the_form_alone
