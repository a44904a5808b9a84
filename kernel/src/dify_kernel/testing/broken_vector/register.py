"""Where broken vector stores are entered, each with the contract test that must catch it."""

from __future__ import annotations

from typing import Any

from dify_kernel.testing.memory_vector import MemoryVectorStore

__all__ = ["BROKEN", "caught_by"]

BROKEN: dict[type[MemoryVectorStore], str] = {}
"""Each broken store with the contract test that must catch it."""


def caught_by(test: str) -> Any:
    """Enter a broken store with the test that must catch it."""

    def register(store: type[MemoryVectorStore]) -> type[MemoryVectorStore]:
        BROKEN[store] = test
        return store

    return register
