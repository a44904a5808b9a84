"""Broken vector stores: what they do when their server is away, refuses, or restarts."""

from __future__ import annotations

from dify_kernel.contracts.vector import EngineVersion
from dify_kernel.errors import StoreUnavailable
from dify_kernel.testing.broken_vector.register import caught_by
from dify_kernel.testing.memory_vector import MemoryVectorStore

__all__ = ["Away", "IsMadeForAnotherEngine", "NeverFindsItsServerAgain", "caused"]


# -- around the server ---------------------------------------------------------------------------------------------


class Away(MemoryVectorStore):
    """Given as `unreachable` or `unauthorized`: opening raises `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def open(self) -> None:
        raise self._error


def caused(error: Exception, cause: str) -> Exception:
    """An error with a cause that says something."""
    error.__cause__ = ValueError(cause)
    return error


@caught_by("test_the_store_comes_back_with_its_server")
class NeverFindsItsServerAgain(MemoryVectorStore):
    gone = False

    async def _ready(self) -> None:
        await super()._ready()
        if self.gone:
            raise StoreUnavailable("the connection is broken")


@caught_by("test_the_engine_is_of_a_version_that_the_store_is_made_for")
class IsMadeForAnotherEngine(MemoryVectorStore):
    async def version(self) -> EngineVersion | None:
        return EngineVersion(name="memory", version="v0.9-rc1", supported=">=1")
