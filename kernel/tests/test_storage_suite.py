"""The storage suite passes on the reference and fails on every broken storage."""

from contextlib import asynccontextmanager

import pytest
from dify_kernel.contracts.storage import check_key
from dify_kernel.errors import InvalidKey
from dify_kernel.testing.broken_storage import BROKEN_STORAGES
from dify_kernel.testing.honesty import run_suite
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
        yield {"storage": store}

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
