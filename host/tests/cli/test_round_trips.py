"""What `dify doctor` does with a store and a storage: it names the step that was refused, and a version too old."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from dify_host.cli import round_trips
from dify_host.cli.round_trips import ChecksFailed, check_version, try_storage, try_vector_store
from dify_kernel.contracts.engine_version import EngineVersion
from dify_kernel.contracts.vector import Space
from dify_kernel.errors import StorageError, StoreUnauthorized, StoreUnavailable
from dify_kernel.testing.memory_storage import MemoryStorage
from dify_kernel.testing.memory_vector import MemoryVectorStore


class Refusing(MemoryVectorStore):
    """Refuses one method, as an account without that right."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.dropped: list[Space] = []
        self.closed = False

        async def refuse(*_: Any, **__: Any) -> Any:
            raise StoreUnauthorized("permission denied")

        if method:
            setattr(self, method, refuse)

    async def drop(self, space: Space) -> None:
        self.dropped.append(space)
        await super().drop(space)

    async def close(self) -> None:
        self.closed = True
        await super().close()


@pytest.mark.parametrize(
    ("method", "step"),
    [
        ("open", "connect"),
        ("version", "ask for its version"),
        ("create", "create a collection"),
        ("upsert", "write a record"),
        ("search", "search"),
        ("get", "read a record"),
        ("delete", "delete a record"),
    ],
)
async def test_the_step_that_is_refused_is_named_and_nothing_is_left(method: str, step: str) -> None:
    store = Refusing(method)
    with pytest.raises(ChecksFailed) as caught:
        await try_vector_store(store)
    assert f"Refused to {step}: permission denied" in caught.value.message
    assert f"may {step}" in caught.value.hint
    if method not in ("open", "version", "create"):
        assert store.dropped
    assert store.closed or method == "open"


async def test_a_store_that_works_tells_its_version() -> None:
    found = await try_vector_store(Refusing(""))
    assert found.startswith("memory 1.0, ")


class Failing(MemoryVectorStore):
    """Fails to open with an error, or never opens."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self._error = error

    async def open(self) -> None:
        if self._error is None:
            await asyncio.Event().wait()
        else:
            raise self._error


@pytest.mark.parametrize(
    ("error", "said", "hint"),
    [
        (StoreUnavailable("gone", hint="Start it."), "Failed to connect: gone", "Start it."),
        (StoreUnavailable("gone", setting="ENGINE_URL"), "Failed to connect: gone", "Check ENGINE_URL."),
        (ValueError("not one value"), "Failed to connect: ValueError: not one value", ""),
        (
            ModuleNotFoundError("No module named 'engine'", name="engine"),
            "Failed to connect: the client library engine cannot be loaded",
            "Install the plugin again, with what it depends on: `dify plugins` names its distribution.",
        ),
        (None, "Failed to connect: no answer within", ""),
    ],
)
async def test_the_step_that_fails_is_named(
    error: Exception | None, said: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_trips, "STEP_SECONDS", 0.01)
    with pytest.raises(ChecksFailed) as caught:
        await try_vector_store(Failing(error))
    assert caught.value.message.startswith(said)
    assert caught.value.hint == hint


class Forgetful(MemoryVectorStore):
    """Finds nothing."""

    async def search(self, *args: Any, **kwargs: Any) -> list[Any]:
        return []


async def test_a_store_that_does_not_find_what_was_written_fails() -> None:
    with pytest.raises(ChecksFailed, match="not found"):
        await try_vector_store(Forgetful())


@pytest.mark.parametrize(
    ("version", "supported", "said"),
    [
        ("2.4.9", ">=2.5", "not a supported version"),
        ("", ">=2.5", "does not say which Engine it is"),
        ("unknown", ">=1", "not a supported"),
    ],
)
def test_another_version_is_refused(version: str, supported: str, said: str) -> None:
    with pytest.raises(ChecksFailed, match=said) as caught:
        check_version(EngineVersion(name="Engine", version=version, supported=supported))
    assert supported in caught.value.hint


def test_a_version_is_read_from_what_engines_say() -> None:
    engine = EngineVersion(name="Engine", version="v2.6.1-rc1 (build 7)", supported=">=2.5,<3")
    assert check_version(engine) == "Engine v2.6.1-rc1 (build 7)"


class ReadOnly(MemoryStorage):
    """May be read only."""

    async def save(self, *args: Any, **kwargs: Any) -> None:
        raise StorageError("AccessDenied")


async def test_a_storage_is_tried_step_by_step() -> None:
    assert await try_storage(MemoryStorage()) == "written, read, listed, deleted"
    with pytest.raises(ChecksFailed, match="Failed to write an object: AccessDenied"):
        await try_storage(ReadOnly())
