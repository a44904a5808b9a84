"""Round trips through what is configured: each step by name, so that `dify doctor` says which one was refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from dify_kernel.errors import DifyError, StoreUnauthorized

if TYPE_CHECKING:
    from dify_kernel.contracts.engine_version import EngineVersion
    from dify_kernel.contracts.storage import Storage
    from dify_kernel.contracts.vector import VectorStore

__all__ = ["ChecksFailed", "check_version", "try_storage", "try_vector_store"]


STEP_SECONDS = 12.0
"""How long a step may take: two that are not answered, and what cleans up, end within the time of a check."""


class ChecksFailed(DifyError):
    """Something of the installation does not work."""

    code = "checks_failed"


def check_version(engine: EngineVersion) -> str:
    """The engine with its version, when it is in the range; ChecksFailed otherwise."""
    from packaging.specifiers import SpecifierSet

    if not engine.version:
        raise ChecksFailed(
            f"What answers does not say which {engine.name} it is.",
            hint=f"Check the address: {engine.name} {engine.supported} should answer there.",
        )
    shown = f"{engine.name} {engine.version}"
    if not engine.release or not SpecifierSet(engine.supported).contains(engine.release, prereleases=True):
        raise ChecksFailed(
            f"{shown} is not a supported version: {engine.supported}.",
            hint=f"Use {engine.name} {engine.supported}, or a version of the plugin that is made for this one.",
        )
    return shown


def _look_at(exc: DifyError) -> str:
    """What to do about an error that does not say so itself: look at the setting that it names, if it does."""
    setting = exc.where.get("setting")
    return f"Check {setting}." if setting else ""


@asynccontextmanager
async def _step(what: str) -> AsyncIterator[None]:
    """A step of a round trip; what it raises says where it stopped, and what right is missing when it was refused."""
    try:
        async with asyncio.timeout(STEP_SECONDS):
            yield
    except StoreUnauthorized as exc:
        hint = exc.hint or f"Check the credentials, and that the account may {what}."
        raise ChecksFailed(f"Refused to {what}: {exc.message}", hint=hint) from exc
    except DifyError as exc:
        message = exc.message if isinstance(exc, ChecksFailed) else f"Failed to {what}: {exc.message}"
        raise ChecksFailed(message, hint=exc.hint or _look_at(exc)) from exc
    except TimeoutError as exc:
        raise ChecksFailed(f"Failed to {what}: no answer within {STEP_SECONDS:g} s.") from exc
    except ImportError as exc:
        said = f"Failed to {what}: the client library {exc.name or ''} cannot be loaded: {exc}."
        hint = "Install the plugin again, with what it depends on: `dify plugins` names its distribution."
        raise ChecksFailed(said.replace("  ", " "), hint=hint) from exc
    except Exception as exc:  # a plugin should have said it in its contract's words: at least the step is told
        raise ChecksFailed(f"Failed to {what}: {type(exc).__name__}: {exc}") from exc


async def try_vector_store(store: VectorStore) -> str:
    """Connect, look at the version, and do in a space of its own all that knowledge bases do; what was found."""
    from dify_kernel.contracts.vector import Record, Space

    from dify_host.db.types import new_id

    async with _step("connect"):
        await store.open()
    try:
        async with _step("ask for its version"):
            engine = await store.version()
        found = check_version(engine) if engine is not None else ""
        space, partition, record_id = Space(f"dify_doctor_{new_id().replace('-', '')[:12]}", 3), new_id(), new_id()
        record = Record(id=record_id, text="probe", vector=[1.0, 0.0, 0.0], metadata={"probe": True})
        async with _step("create a collection"):
            await store.create(space)
        try:
            async with _step("write a record"):
                await store.upsert(space, partition, [record])
            async with _step("search"):
                hits = await store.search(space, partition, [1.0, 0.0, 0.0], top_k=1)
                if [hit.id for hit in hits] != [record_id]:
                    raise ChecksFailed("What was written is not found.")
            async with _step("read a record"):
                if [item.text for item in await store.get(space, partition, [record_id])] != ["probe"]:
                    raise ChecksFailed("What was read is not what was written.")
            async with _step("delete a record"):
                await store.delete(space, partition, ids=[record_id])
                if await store.count(space, partition):
                    raise ChecksFailed("What was deleted is still there.")
        finally:
            async with _step("drop a collection"):
                await store.drop(space)
    finally:
        await store.close()
    return ", ".join(part for part in (found, "created, written, found, read, deleted, dropped") if part)


async def try_storage(storage: Storage) -> str:
    """Connect, and write, list, read and delete an object; what was found."""
    from dify_host.db.types import new_id

    async with _step("connect"):
        await storage.open()
    key, data = f"doctor/{new_id()}", b"probe"
    try:
        async with _step("write an object"):
            await storage.save(key, data)
        try:
            async with _step("read an object"):
                if await storage.load(key) != data:
                    raise ChecksFailed("What was read is not what was written.")
            async with _step("list objects"):
                if [entry.key async for entry in storage.scan(key)] != [key]:
                    raise ChecksFailed("What was written is not listed.")
        finally:
            async with _step("delete an object"):
                await storage.delete(key)
        async with _step("look for an object"):
            if await storage.exists(key):
                raise ChecksFailed("What was deleted is still there.")
    finally:
        await storage.close()
    return "written, read, listed, deleted"
