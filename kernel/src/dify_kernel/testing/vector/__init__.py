"""The conformance suite for vector stores: `class TestContract(VectorStoreSuite)` and one fixture, `store`."""

from __future__ import annotations

import pytest

from dify_kernel.contracts.vector import VectorStore
from dify_kernel.testing.vector.data import SPACES
from dify_kernel.testing.vector.filtering import Filtering
from dify_kernel.testing.vector.lexical import Lexical
from dify_kernel.testing.vector.lifecycle import Lifecycle, Reopen
from dify_kernel.testing.vector.searching import Searching
from dify_kernel.testing.vector.writing import Writing

__all__ = ["SPACES", "VectorStoreSuite"]


class VectorStoreSuite(Lifecycle, Writing, Searching, Filtering, Lexical, suite=True):
    """Every promise of `dify_kernel.contracts.vector`, tested on a store.

    The author supplies an async fixture `store` that yields an opened store on an empty backend of its own, and closes
    it. A persistent store may override `reopen` to give another object over the same backend.
    """

    @pytest.fixture
    def reopen(self, store: VectorStore) -> Reopen:
        """Closes the store and opens it again, as a restart of the process would."""

        async def reopened() -> VectorStore:
            await store.close()
            await store.open()
            return store

        return reopened
