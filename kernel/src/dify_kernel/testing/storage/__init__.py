"""The conformance suite for storages: `class TestContract(StorageSuite)` and one fixture, `storage`."""

from __future__ import annotations

from dify_kernel.proof import Proof
from dify_kernel.testing.backend import BackendSuite
from dify_kernel.testing.storage.data import BAD_KEYS, ODD_KEYS
from dify_kernel.testing.storage.lifecycle import Lifecycle
from dify_kernel.testing.storage.outages import Outages
from dify_kernel.testing.storage.reading import Reading
from dify_kernel.testing.storage.writing import Writing

__all__ = ["BAD_KEYS", "ODD_KEYS", "Proof", "StorageSuite"]


class StorageSuite(BackendSuite, Lifecycle, Writing, Reading, Outages, suite=True):
    """Every sentence of `dify_kernel.contracts.storage` as a test; `capabilities` decides which optional ones run.

    The author supplies an async fixture `storage` that yields an opened, empty storage that no other test sees. The
    fixtures `proof`, `restart`, `unreachable`, `unauthorized` and `secrets` of `BackendSuite` are for storages that
    have a server.
    """
