"""What happens around the server: it restarts, it is not there, it refuses the credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import ObjectNotFound, StorageError, StorageUnavailable
from dify_kernel.testing.backend import Restart, assert_no_secret
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.storage.data import keys_of, numbers

__all__ = ["Outages"]

#: As many connections as a storage may have to find broken, one a call, after its server restarted.
BROKEN_CALLS = 20


class Outages(ContractSuite, suite=True):
    """A storage gets over its server's restart, and says what is wrong without a secret."""

    async def test_the_storage_comes_back_with_its_server(self, storage: Storage, restart: Restart | None) -> None:
        """Troubleshooting: throw a broken connection away and connect anew; do not make the host call `open`."""
        if restart is None:
            pytest.skip("no server to restart: the fixture `restart` is not given")
        data = numbers(100_000)
        await storage.save("before", data)
        await restart()
        for call in range(BROKEN_CALLS + 1):
            try:
                await storage.save("after", b"x")
                break
            except StorageUnavailable:
                assert call < BROKEN_CALLS, "the storage does not find its server again"
        if storage.capabilities.persistent:
            assert await storage.load("before") == data
            assert await keys_of(storage) == ["after", "before"]

    async def test_a_server_that_is_not_there_is_unavailable(
        self, unreachable: Storage | None, secrets: Sequence[str]
    ) -> None:
        """Troubleshooting: translate the client's error, and cut what of it holds the address with its password."""
        if unreachable is None:
            pytest.skip("no address to miss: the fixture `unreachable` is not given")
        for error in await _errors_of(unreachable):
            assert isinstance(error, StorageUnavailable), repr(error)
            assert_no_secret(error, secrets)

    async def test_wrong_credentials_are_told(self, unauthorized: Storage | None, secrets: Sequence[str]) -> None:
        """Troubleshooting: it is no use to repeat the call, and the object is not absent: a StorageError."""
        if unauthorized is None:
            pytest.skip("no credentials to refuse: the fixture `unauthorized` is not given")
        for error in await _errors_of(unauthorized):
            assert not isinstance(error, StorageUnavailable | ObjectNotFound), repr(error)
            assert_no_secret(error, secrets)


async def _errors_of(storage: Storage) -> list[StorageError]:
    """What opening, or else every call, raises; each within a minute."""
    try:
        async with asyncio.timeout(60):
            await storage.open()
    except StorageError as exc:
        return [exc]
    errors = []
    try:
        for call in (
            lambda: storage.save("k", b"x"),
            lambda: storage.load("k"),
            lambda: storage.exists("k"),
            lambda: keys_of(storage),
        ):
            with pytest.raises(StorageError) as caught:
                async with asyncio.timeout(60):
                    await call()
            errors.append(caught.value)
    finally:
        await storage.close()
    return errors
