"""Round trips through what is configured: each step by name, so that `dify doctor` says which one was refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dify_kernel.errors import DifyError, StorageError, StoreUnauthorized, VectorStoreError

if TYPE_CHECKING:
    from dify_kernel.contracts.engine_version import EngineVersion
    from dify_kernel.contracts.storage import Storage
    from dify_kernel.contracts.vector import VectorStore

__all__ = ["ChecksFailed", "check_version", "try_storage", "try_vector_store"]


class ChecksFailed(DifyError):
    """Something of the installation does not work."""

    code = "checks_failed"


def check_version(engine: EngineVersion) -> str:
    """The engine with its version, when it is in the range; ChecksFailed otherwise."""
    from packaging.specifiers import SpecifierSet

    if not engine.version:
        raise ChecksFailed(f"{engine.name} is not there.", hint=f"Install {engine.name} {engine.supported}.")
    shown = f"{engine.name} {engine.version}"
    if not engine.release or not SpecifierSet(engine.supported).contains(engine.release, prereleases=True):
        raise ChecksFailed(
            f"{shown} is not a supported version: {engine.supported}.",
            hint=f"Use {engine.name} {engine.supported}, or a version of the plugin that is made for this one.",
        )
    return shown


@contextmanager
def _step(what: str) -> Iterator[None]:
    """A step of a round trip; what it raises says where it stopped, and what right is missing when it was refused."""
    try:
        yield
    except StoreUnauthorized as exc:
        hint = exc.hint or f"Check the credentials, and that the account may {what}."
        raise ChecksFailed(f"Refused to {what}: {exc.message}", hint=hint) from exc
    except (VectorStoreError, StorageError) as exc:
        raise ChecksFailed(f"Failed to {what}: {exc.message}", hint=exc.hint) from exc


async def try_vector_store(store: VectorStore) -> str:
    """Connect, look at the version, and do in a space of its own all that knowledge bases do; what was found."""
    from dify_kernel.contracts.vector import Record, Space

    from dify_host.db.types import new_id

    with _step("connect"):
        await store.open()
    try:
        with _step("ask for its version"):
            engine = await store.version()
        found = check_version(engine) if engine is not None else ""
        space, partition, record_id = Space(f"dify_doctor_{new_id().replace('-', '')[:12]}", 3), new_id(), new_id()
        record = Record(id=record_id, text="probe", vector=[1.0, 0.0, 0.0], metadata={"probe": True})
        with _step("create a collection"):
            await store.create(space)
        try:
            with _step("write a record"):
                await store.upsert(space, partition, [record])
            with _step("search"):
                hits = await store.search(space, partition, [1.0, 0.0, 0.0], top_k=1)
                if [hit.id for hit in hits] != [record_id]:
                    raise ChecksFailed("What was written is not found.")
            with _step("read a record"):
                if [item.text for item in await store.get(space, partition, [record_id])] != ["probe"]:
                    raise ChecksFailed("What was read is not what was written.")
            with _step("delete a record"):
                await store.delete(space, partition, ids=[record_id])
                if await store.count(space, partition):
                    raise ChecksFailed("What was deleted is still there.")
        finally:
            with _step("drop a collection"):
                await store.drop(space)
    finally:
        await store.close()
    return ", ".join(part for part in (found, "created, written, found, read, deleted, dropped") if part)


async def try_storage(storage: Storage) -> str:
    """Connect, and write, list, read and delete an object; what was found."""
    from dify_host.db.types import new_id

    with _step("connect"):
        await storage.open()
    key, data = f"doctor/{new_id()}", b"probe"
    try:
        with _step("write an object"):
            await storage.save(key, data)
        try:
            with _step("read an object"):
                if await storage.load(key) != data:
                    raise ChecksFailed("What was read is not what was written.")
            with _step("list objects"):
                if [entry.key async for entry in storage.scan(key)] != [key]:
                    raise ChecksFailed("What was written is not listed.")
        finally:
            with _step("delete an object"):
                await storage.delete(key)
        with _step("look for an object"):
            if await storage.exists(key):
                raise ChecksFailed("What was deleted is still there.")
    finally:
        await storage.close()
    return "written, read, listed, deleted"
