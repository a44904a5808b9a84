"""The conformance suite for vector stores: `class TestContract(VectorStoreSuite)` and one fixture, `store`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dify_kernel.contracts.vector import VectorStore
from dify_kernel.proof import Proof
from dify_kernel.testing.backend import BackendSuite
from dify_kernel.testing.vector.data import SPACES
from dify_kernel.testing.vector.filtering import Filtering
from dify_kernel.testing.vector.large import Large
from dify_kernel.testing.vector.lexical import Lexical
from dify_kernel.testing.vector.lifecycle import Lifecycle, Reopen
from dify_kernel.testing.vector.outages import Outages
from dify_kernel.testing.vector.searching import Searching
from dify_kernel.testing.vector.writing import Writing

__all__ = ["SPACES", "Proof", "VectorStoreSuite", "emptied"]


@asynccontextmanager
async def emptied(store: VectorStore) -> AsyncIterator[None]:
    """The store is open, and on an engine that tests share it holds nothing of the suite: neither before nor after."""
    await store.open()
    await _drop(store)
    yield
    await store.open()  # a test may have closed it
    await _drop(store)
    await store.close()


async def _drop(store: VectorStore) -> None:
    for space in SPACES:
        await store.drop(space)


class VectorStoreSuite(BackendSuite, Lifecycle, Writing, Searching, Filtering, Lexical, Outages, Large, suite=True):
    """Every promise of `dify_kernel.contracts.vector`, tested on a store.

    The author supplies an async fixture `store` that yields an opened store on an empty backend of its own, and closes
    it. A persistent store may override `reopen` to give another object over the same backend. The fixtures `proof`,
    `restart`, `unreachable`, `unauthorized` and `secrets` of `BackendSuite` are for stores that have a server.
    """

    @pytest.fixture
    def reopen(self, store: VectorStore) -> Reopen:
        """Closes the store and opens it again, as a restart of the process would."""

        async def reopened() -> VectorStore:
            await store.close()
            await store.open()
            return store

        return reopened
