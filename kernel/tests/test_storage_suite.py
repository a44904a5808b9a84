"""The storage suite passes on the reference and fails on every broken storage."""

from contextlib import asynccontextmanager

import pytest
from dify_kernel.contracts.storage import check_key
from dify_kernel.errors import InvalidKey, ObjectNotFound, StorageError, StorageUnavailable
from dify_kernel.testing.broken_storage import BROKEN_STORAGES, Away, NeverFindsItsServerAgain
from dify_kernel.testing.honesty import contract_tests, run_suite
from dify_kernel.testing.memory_storage import MemoryStorage
from dify_kernel.testing.storage import BAD_KEYS, ODD_KEYS, StorageSuite


class TestMemoryStorage(StorageSuite):
    @pytest.fixture
    async def storage(self):
        store = MemoryStorage()
        await store.open()
        yield store
        await store.close()


@pytest.mark.parametrize("flaw", BROKEN_STORAGES)
async def test_a_broken_storage_fails(flaw):
    storage_class, caught_by = BROKEN_STORAGES[flaw]

    @asynccontextmanager
    async def fixtures():
        store = storage_class()
        await store.open()
        yield {"storage": store, "restart": None, "unreachable": None, "unauthorized": None, "secrets": ()}

    outcomes = await run_suite(StorageSuite, fixtures, only=("test_starts_empty", caught_by))
    assert not outcomes[caught_by].startswith(("passed", "skipped")), outcomes


@pytest.mark.parametrize("key", BAD_KEYS)
def test_check_key_refuses(key):
    with pytest.raises(InvalidKey) as caught:
        check_key(key)
    assert caught.value.where["key"] == key


@pytest.mark.parametrize("key", [*ODD_KEYS, "k" * 240])
def test_check_key_accepts(key):
    assert check_key(key) == key


SECRET = "secret-of-a-test"
NOT_THERE = "test_a_server_that_is_not_there_is_unavailable"
REFUSED = "test_wrong_credentials_are_told"


def caused(error, cause):
    error.__cause__ = ValueError(cause)
    return error


FAULTS = {
    "another error": (NOT_THERE, OSError("refused")),
    "not unavailable": (NOT_THERE, StorageError("refused")),
    "secret in the text": (NOT_THERE, StorageUnavailable(f"http://:{SECRET}@x")),
    "secret in the hint": (NOT_THERE, StorageUnavailable("away", hint=SECRET)),
    "secret in the cause": (NOT_THERE, caused(StorageUnavailable("away"), f"GET http://:{SECRET}@x")),
    "no error": (REFUSED, None),
    "only unavailable": (REFUSED, StorageUnavailable("refused")),
    "not found": (REFUSED, ObjectNotFound("refused")),
    "secret in the refusal": (REFUSED, caused(StorageError("refused"), SECRET)),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_wrong_word_about_the_server_is_caught(name):
    test, error = FAULTS[name]
    away = MemoryStorage() if error is None else Away(error)
    with pytest.raises((AssertionError, OSError, pytest.fail.Exception)):
        await getattr(StorageSuite(), test)(away, [SECRET])


@pytest.mark.parametrize(("test", "error"), [(NOT_THERE, StorageUnavailable("away")), (REFUSED, StorageError("no"))])
async def test_right_words_about_the_server_pass(test, error):
    await getattr(StorageSuite(), test)(Away(error), [SECRET])


async def test_a_restart_is_survived_or_told():
    lost, back = NeverFindsItsServerAgain(), MemoryStorage()

    async def breaks():
        lost.gone = True

    async def harmless():
        pass

    for storage in (lost, back):
        await storage.open()
    suite = StorageSuite()
    await suite.test_the_storage_comes_back_with_its_server(back, harmless)
    with pytest.raises(AssertionError, match="does not find its server again"):
        await suite.test_the_storage_comes_back_with_its_server(lost, breaks)


def test_every_check_of_the_suite_has_a_storage_that_it_catches():
    caught = {test for _, test in BROKEN_STORAGES.values()} | {test for test, _ in FAULTS.values()}
    left = {"test_no_contract_test_is_dropped", "test_the_storage_comes_back_with_its_server"}
    assert set(contract_tests(StorageSuite)) - caught == left
