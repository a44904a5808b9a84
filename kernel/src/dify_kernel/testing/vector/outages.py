"""What happens around the server: it restarts, it is not there, it refuses the credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from dify_kernel.contracts.vector import VectorStore
from dify_kernel.errors import DifyError, StoreUnauthorized, StoreUnavailable
from dify_kernel.testing.backend import Restart, assert_no_secret
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.vector.data import SPACE, P, X, everything, id_of, record, same, seed

__all__ = ["Outages"]

#: As many connections as a store may have to find broken, one a call, after its server restarted.
BROKEN_CALLS = 20


class Outages(ContractSuite, suite=True):
    """A store gets over its server's restart, and says what is wrong without a secret."""

    async def test_the_store_comes_back_with_its_server(self, store: VectorStore, restart: Restart | None) -> None:
        """Troubleshooting: throw a broken connection away and connect anew; do not make the host call `open`."""
        if restart is None:
            pytest.skip("no server to restart: the fixture `restart` is not given")
        written = [record(i, page=i) for i in range(20)]
        await seed(store, *written)
        await asyncio.gather(*[store.search(SPACE, P, X) for _ in range(8)])
        await restart()
        for call in range(BROKEN_CALLS + 1):
            try:
                await store.create(SPACE)
                break
            except StoreUnavailable:
                assert call < BROKEN_CALLS, "the store does not find its server again"
        if store.capabilities.persistent:
            kept = {item.id: item for item in await everything(store)}
            assert len(kept) == 20
            assert all(same(kept[item.id], item) for item in written)
        await store.upsert(SPACE, P, [record("after")])
        results = await asyncio.gather(*[store.get(SPACE, P, [id_of("after")]) for _ in range(8)])
        assert all(len(found) == 1 for found in results)

    async def test_a_server_that_is_not_there_is_unavailable(
        self, unreachable: VectorStore | None, secrets: Sequence[str]
    ) -> None:
        """Troubleshooting: translate the client's error, and cut what of it holds the address with its password."""
        if unreachable is None:
            pytest.skip("no address to miss: the fixture `unreachable` is not given")
        error = await _error_of(unreachable)
        assert isinstance(error, StoreUnavailable), repr(error)
        assert_no_secret(error, secrets)

    async def test_wrong_credentials_are_unauthorized(
        self, unauthorized: VectorStore | None, secrets: Sequence[str]
    ) -> None:
        """Troubleshooting: tell by class or status, not by text; the hint names the setting."""
        if unauthorized is None:
            pytest.skip("no credentials to refuse: the fixture `unauthorized` is not given")
        error = await _error_of(unauthorized)
        assert isinstance(error, StoreUnauthorized), repr(error)
        assert error.hint, "the hint says which setting to look at"
        assert_no_secret(error, secrets)


async def _error_of(store: VectorStore) -> DifyError:
    """What opening, or else the first call, raises; within a minute."""
    try:
        async with asyncio.timeout(60):
            await store.open()
            await store.create(SPACE)
            await store.upsert(SPACE, P, [record(1)])
    except DifyError as exc:
        return exc
    finally:
        await store.close()
    raise AssertionError("neither opening nor writing failed")
