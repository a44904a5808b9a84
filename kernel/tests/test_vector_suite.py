"""The vector store suite passes the reference and catches every broken store by the test made for it."""

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from dify_kernel.errors import VectorStoreError
from dify_kernel.testing.broken_vector import BROKEN
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
        await store.close()

    return fixtures


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
async def test_a_broken_store_is_caught(kind: type[MemoryVectorStore]) -> None:
    suite = VectorStoreSuite()
    async with fixtures_of(kind)() as earlier:
        with suppress(AssertionError):  # a store may fail here already; what it leaves behind is the point
            await suite.test_the_fixture_is_empty(earlier["store"])
    test = getattr(suite, BROKEN[kind])
    async with fixtures_of(kind)() as given:
        with pytest.raises((AssertionError, VectorStoreError, pytest.fail.Exception)):
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


def test_every_test_of_the_suite_is_named_once() -> None:
    assert set(BROKEN.values()) <= set(contract_tests(VectorStoreSuite))
    assert len(contract_tests(VectorStoreSuite)) > 70
