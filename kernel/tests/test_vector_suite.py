"""The vector store suite passes the reference and catches every broken store by the test made for it."""

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from dify_kernel.errors import InvalidQuery, StoreUnauthorized, StoreUnavailable, VectorStoreError
from dify_kernel.testing.broken_vector import BROKEN
from dify_kernel.testing.broken_vector.server import Away, NeverFindsItsServerAgain, caused
from dify_kernel.testing.honesty import contract_tests, run_suite
from dify_kernel.testing.memory_vector import MemoryVectorStore
from dify_kernel.testing.vector import VectorStoreSuite
from dify_kernel.testing.vector.large import Large


@pytest.fixture
async def store() -> AsyncIterator[MemoryVectorStore]:
    store = MemoryVectorStore()
    await store.open()
    yield store
    await store.close()


class TestReference(VectorStoreSuite):
    """The reference itself, as an author would test a store."""


NO_SERVER: dict[str, Any] = {"restart": None, "unreachable": None, "unauthorized": None, "secrets": ()}


#: Caught by a test of its own below: it takes a server to restart.
BY_RESTART = {NeverFindsItsServerAgain}


def fixtures_of(kind: type[MemoryVectorStore]) -> Any:
    @asynccontextmanager
    async def fixtures() -> AsyncIterator[dict[str, Any]]:
        store = kind()
        await store.open()

        async def reopen() -> MemoryVectorStore:
            await store.close()
            await store.open()
            return store

        yield {"store": store, "reopen": reopen, **NO_SERVER}
        with suppress(StoreUnavailable):  # of a store that closes only once
            await store.close()

    return fixtures


@pytest.mark.parametrize("kind", [kind for kind in BROKEN if kind not in BY_RESTART], ids=lambda kind: kind.__name__)
async def test_a_broken_store_is_caught(kind: type[MemoryVectorStore]) -> None:
    suite = VectorStoreSuite()
    async with fixtures_of(kind)() as earlier:
        with suppress(AssertionError):  # a store may fail here already; what it leaves behind is the point
            await suite.test_the_fixture_is_empty(earlier["store"])
    test = getattr(suite, BROKEN[kind])
    async with fixtures_of(kind)() as given:
        with pytest.raises((AssertionError, VectorStoreError, KeyError, ValueError, pytest.fail.Exception)):
            await test(**{name: given[name] for name in inspect.signature(test).parameters})


async def test_the_reference_passes_in_the_runner_too() -> None:
    small = set(contract_tests(VectorStoreSuite)) - set(contract_tests(Large))
    outcomes = await run_suite(VectorStoreSuite, fixtures_of(MemoryVectorStore), only=small)
    wrong = {name: outcome for name, outcome in outcomes.items() if outcome != "passed"}
    assert all(outcome.startswith("skipped") for outcome in wrong.values()), wrong
    assert set(wrong) == {
        "test_a_persistent_store_keeps_everything",
        "test_a_server_that_is_not_there_is_unavailable",
        "test_the_store_comes_back_with_its_server",
        "test_wrong_credentials_are_unauthorized",
    }


SECRET = "secret-of-a-test"
FAULTS: dict[str, tuple[str, Exception | None]] = {
    "another error": ("test_a_server_that_is_not_there_is_unavailable", OSError("refused")),
    "not unavailable": ("test_a_server_that_is_not_there_is_unavailable", InvalidQuery("refused")),
    "secret in the text": ("test_a_server_that_is_not_there_is_unavailable", StoreUnavailable(f"http://:{SECRET}@x")),
    "secret in the hint": ("test_a_server_that_is_not_there_is_unavailable", StoreUnavailable("away", hint=SECRET)),
    "secret in the place": ("test_a_server_that_is_not_there_is_unavailable", StoreUnavailable("away", url=SECRET)),
    "secret in the cause": (
        "test_a_server_that_is_not_there_is_unavailable",
        caused(StoreUnavailable("away"), f"GET http://:{SECRET}@x"),
    ),
    "no error": ("test_wrong_credentials_are_unauthorized", None),
    "only unavailable": ("test_wrong_credentials_are_unauthorized", StoreUnavailable("refused")),
    "no hint": ("test_wrong_credentials_are_unauthorized", StoreUnauthorized("refused")),
    "secret in the refusal": (
        "test_wrong_credentials_are_unauthorized",
        caused(StoreUnauthorized("refused", hint="Check it."), SECRET),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_wrong_word_about_the_server_is_caught(name: str) -> None:
    test, error = FAULTS[name]
    away = MemoryVectorStore() if error is None else Away(error)
    with pytest.raises((AssertionError, OSError)):
        await getattr(VectorStoreSuite(), test)(away, [SECRET])


@pytest.mark.parametrize(
    ("test", "error"),
    [
        ("test_a_server_that_is_not_there_is_unavailable", StoreUnavailable("away")),
        ("test_wrong_credentials_are_unauthorized", StoreUnauthorized("refused", hint="Check the key.")),
    ],
)
async def test_right_words_about_the_server_pass(test: str, error: Exception) -> None:
    await getattr(VectorStoreSuite(), test)(Away(error), [SECRET])


async def test_a_restart_is_survived_or_told() -> None:
    lost, back = NeverFindsItsServerAgain(), MemoryVectorStore()

    async def breaks() -> None:
        lost.gone = True

    async def harmless() -> None:
        pass

    for store in (lost, back):
        await store.open()
    suite = VectorStoreSuite()
    await suite.test_the_store_comes_back_with_its_server(back, harmless)
    with pytest.raises(AssertionError, match="does not find its server again"):
        await suite.test_the_store_comes_back_with_its_server(lost, breaks)


def test_every_check_of_the_suite_has_a_store_that_it_catches() -> None:
    checked = {*BROKEN.values(), *(test for test, _ in FAULTS.values())}
    assert set(contract_tests(VectorStoreSuite)) - checked == {"test_no_contract_test_is_dropped"}
    assert checked <= set(contract_tests(VectorStoreSuite))
