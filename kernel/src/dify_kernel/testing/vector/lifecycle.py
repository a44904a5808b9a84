"""Opening, closing, spaces, partitions, concurrency and cancellation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from packaging.specifiers import SpecifierSet

from dify_kernel.contracts.vector import MAX_PARTITION_BYTES, Page, Space, VectorStore
from dify_kernel.errors import InvalidQuery, StoreUnavailable
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.vector.data import (
    NASTY,
    OTHER_SPACE,
    SPACE,
    SPACES,
    P,
    Q,
    X,
    at_angle,
    everything,
    id_of,
    record,
    same,
    seed,
)

__all__ = ["Lifecycle"]

Reopen = Callable[[], Awaitable[VectorStore]]


async def _holds_nothing(store: VectorStore, partition: str) -> None:
    """Every call finds nothing in a partition, or raises InvalidQuery."""
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.search(SPACE, partition, X),
        lambda: store.get(SPACE, partition, [id_of(1)]),
        lambda: store.count(SPACE, partition),
        lambda: store.scan(SPACE, partition),
        lambda: store.delete(SPACE, partition, ids=[id_of(1)]),
        lambda: store.delete(SPACE, partition),
    ]
    if store.capabilities.full_text:
        calls.append(lambda: store.full_text(SPACE, partition, "text"))
    for call in calls:
        with contextlib.suppress(InvalidQuery):
            assert await call() in ([], 0, Page(records=[]), None)


class Lifecycle(ContractSuite, suite=True):
    """Spaces come and go; a store survives what happens around it."""

    async def test_the_fixture_is_empty(self, store: VectorStore) -> None:
        """Troubleshooting: the `store` fixture must give an empty backend; drop `SPACES` before each test. All but
        `upsert` act on a space that was not created as on an empty one."""
        for space in SPACES:
            assert await store.count(space, P) == 0
            await store.create(space)
            assert await everything(store, space=space) == []
            await store.upsert(space, P, [record("left behind", dimension=space.dimension)])

    async def test_the_fixture_is_empty_again(self, store: VectorStore) -> None:
        """Troubleshooting: what one test wrote must be gone in the next one; drop `SPACES` after each test."""
        await self.test_the_fixture_is_empty(store)

    async def test_capabilities_are_declared_on_the_class(self, store: VectorStore) -> None:
        assert type(store).capabilities == store.capabilities
        assert store.capabilities.max_dimension >= 1
        assert store.capabilities.full_text or not store.capabilities.hybrid, "hybrid needs full text"

    async def test_the_engine_is_of_a_version_that_the_store_is_made_for(self, store: VectorStore) -> None:
        """Troubleshooting: `version` gives what the engine says; widen `supported` to what passes this suite."""
        engine = await store.version()
        if engine is None:
            pytest.skip("the engine does not tell its version")
        assert engine.name
        assert engine.supported
        assert SpecifierSet(engine.supported).contains(engine.release, prereleases=True), engine
        await store.close()
        with pytest.raises(StoreUnavailable):
            await store.version()

    async def test_opening_twice_is_harmless(self, store: VectorStore) -> None:
        await seed(store, record(1))
        await store.open()
        await asyncio.gather(store.open(), store.open())
        assert await store.count(SPACE, P) == 1

    async def test_closing_twice_is_harmless(self, store: VectorStore) -> None:
        await store.close()
        await store.close()
        await asyncio.gather(store.close(), store.close())

    async def test_a_closed_store_is_unavailable(self, store: VectorStore) -> None:
        await seed(store, record(1))
        await store.close()
        for call in (
            lambda: store.create(SPACE),
            lambda: store.drop(SPACE),
            lambda: store.upsert(SPACE, P, [record(2)]),
            lambda: store.delete(SPACE, P, ids=[id_of(1)]),
            lambda: store.search(SPACE, P, X),
            lambda: store.get(SPACE, P, [id_of(1)]),
            lambda: store.count(SPACE, P),
            lambda: store.scan(SPACE, P),
        ):
            with pytest.raises(StoreUnavailable):
                await call()

    async def test_calls_that_closing_cuts_short_are_unavailable(self, store: VectorStore) -> None:
        """Troubleshooting: a client that is closed under a call raises errors of its own: translate these, too."""
        await seed(store, *[record(i) for i in range(20)])
        calls: list[Awaitable[object]] = []
        for i in range(6):
            calls += [store.search(SPACE, P, X), store.upsert(SPACE, P, [record(f"late {i}")]), store.scan(SPACE, P)]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)
        await store.close()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert not isinstance(result, BaseException) or isinstance(result, StoreUnavailable), repr(result)
        await store.open()
        if store.capabilities.persistent:
            assert await store.count(SPACE, P) in range(20, 27)

    async def test_a_closed_store_opens_again(self, store: VectorStore) -> None:
        await store.close()
        await asyncio.gather(store.open(), store.open())
        await seed(store, record(1))
        assert await store.count(SPACE, P) == 1

    async def test_a_persistent_store_keeps_everything(self, store: VectorStore, reopen: Reopen) -> None:
        if not store.capabilities.persistent:
            pytest.skip("the store declares that it is not persistent")
        written = [record(i, page=i, tags=["a"]) for i in range(5)]
        await seed(store, *written)
        again = await reopen()
        kept = {item.id: item for item in await everything(again)}
        assert len(kept) == 5
        assert all(same(kept[item.id], item) for item in written)
        await again.upsert(SPACE, P, [record(9)])
        assert await again.count(SPACE, P) == 6

    # -- spaces ------------------------------------------------------------------------------------------------

    async def test_create_is_idempotent_and_keeps_what_is_there(self, store: VectorStore) -> None:
        await seed(store, record(1))
        await store.create(SPACE)
        await store.create(SPACE)
        assert await store.count(SPACE, P) == 1

    async def test_create_may_run_concurrently(self, store: VectorStore) -> None:
        await asyncio.gather(*[store.create(space) for space in SPACES * 5])
        await seed(store, record(1))
        assert await store.count(SPACE, P) == 1

    async def test_create_refuses_another_dimension(self, store: VectorStore) -> None:
        await seed(store, record(1))
        with pytest.raises(InvalidQuery):
            await store.create(Space(SPACE.name, 7))
        with pytest.raises(InvalidQuery):
            await store.upsert(Space(SPACE.name, 7), P, [record(2, dimension=7)])
        assert await store.count(SPACE, P) == 1

    async def test_create_refuses_bad_spaces(self, store: VectorStore) -> None:
        limit = store.capabilities.max_dimension
        bad = [Space(name, 6) for name in ("", "a-b", "a b", 'x"; --', "é", "n" * 64)]
        for space in [*bad, Space("ok", 0), Space("ok", -1), Space("ok", limit + 1)]:
            with pytest.raises(InvalidQuery):
                await store.create(space)

    async def test_spaces_do_not_share_records(self, store: VectorStore) -> None:
        """Troubleshooting: the two names differ in case only; a backend that folds case has to encode it."""
        await seed(store, record(1))
        await seed(store, record(2, dimension=8), space=OTHER_SPACE)
        assert [item.id for item in await everything(store)] == [id_of(1)]
        assert [item.id for item in await everything(store, space=OTHER_SPACE)] == [id_of(2)]
        assert [len(item.vector) for item in await everything(store, space=OTHER_SPACE)] == [8]

    async def test_drop_removes_the_space_only(self, store: VectorStore) -> None:
        await seed(store, record(1))
        await seed(store, record(2), partition=Q)
        await seed(store, record(3, dimension=8), space=OTHER_SPACE)
        await store.drop(SPACE)
        assert await store.count(SPACE, P) == await store.count(SPACE, Q) == 0
        assert await store.count(OTHER_SPACE, P) == 1
        with pytest.raises(InvalidQuery):
            await store.upsert(SPACE, P, [record(1)])

    async def test_drop_of_a_missing_space_is_harmless(self, store: VectorStore) -> None:
        await store.drop(SPACE)
        await store.create(SPACE)
        await store.drop(SPACE)
        await store.drop(SPACE)

    async def test_a_dropped_space_comes_back_empty(self, store: VectorStore) -> None:
        await seed(store, record(1))
        await store.drop(SPACE)
        await store.create(SPACE)
        assert await everything(store) == []
        await store.upsert(SPACE, P, [record(2)])
        assert await store.count(SPACE, P) == 1

    async def test_a_space_never_created_is_empty(self, store: VectorStore) -> None:
        assert await store.search(SPACE, P, X) == []
        assert await store.get(SPACE, P, [id_of(1)]) == []
        assert await store.count(SPACE, P) == 0
        page = await store.scan(SPACE, P)
        assert (page.records, page.cursor) == ([], None)
        await store.delete(SPACE, P)
        await store.delete(SPACE, P, ids=[id_of(1)])
        if store.capabilities.full_text:
            assert await store.full_text(SPACE, P, "text") == []
        if store.capabilities.hybrid:
            assert await store.hybrid(SPACE, P, X, "text") == []

    async def test_upsert_into_a_space_never_created_is_invalid(self, store: VectorStore) -> None:
        with pytest.raises(InvalidQuery):
            await store.upsert(SPACE, P, [record(1)])
        assert await store.count(SPACE, P) == 0

    # -- partitions --------------------------------------------------------------------------------------------

    async def test_partitions_are_isolated(self, store: VectorStore) -> None:
        await seed(store, record(1, vector=at_angle(40)))
        await seed(store, record(2, vector=at_angle(5)), partition=Q)
        assert [hit.id for hit in await store.search(SPACE, P, X, top_k=9)] == [id_of(1)]
        assert [hit.id for hit in await store.search(SPACE, Q, X, top_k=9)] == [id_of(2)]
        assert [hit.id for hit in await store.search(SPACE, P, X, top_k=1)] == [id_of(1)], "a neighbour took the place"
        assert await store.get(SPACE, P, [id_of(2)]) == []
        assert await store.count(SPACE, P) == await store.count(SPACE, Q) == 1
        assert [item.id for item in await everything(store)] == [id_of(1)]
        await store.delete(SPACE, P, ids=[id_of(2)])
        assert await store.count(SPACE, Q) == 1, "deleting in one partition reached into another"

    async def test_an_unknown_partition_is_empty(self, store: VectorStore) -> None:
        await seed(store, record(1))
        assert await store.search(SPACE, Q, X) == []
        assert await store.count(SPACE, Q) == 0
        assert await everything(store, Q) == []
        await store.delete(SPACE, Q)
        for name in ("", "a\0b", "\ud800", "p" * (MAX_PARTITION_BYTES + 1)):  # those that `upsert` refuses
            await _holds_nothing(store, name)
        assert await store.count(SPACE, P) == 1

    async def test_any_text_names_a_partition(self, store: VectorStore) -> None:
        await store.create(SPACE)
        names = [*NASTY, P, P + "0", P.upper()]
        for name in names:
            await store.upsert(SPACE, name, [record(name, text=name)])
        for name in names:
            assert [item.text for item in await everything(store, name)] == [name]

    async def test_an_empty_partition_name_is_invalid(self, store: VectorStore) -> None:
        await store.create(SPACE)
        with pytest.raises(InvalidQuery):
            await store.upsert(SPACE, "", [record(1)])

    # -- concurrency ---------------------------------------------------------------------------------------------

    async def test_calls_may_run_concurrently(self, store: VectorStore) -> None:
        await store.create(SPACE)
        await asyncio.gather(
            *[store.upsert(SPACE, partition, [record(f"{partition}{i}")]) for i in range(10) for partition in (P, Q)],
            *[store.search(SPACE, P, X) for _ in range(10)],
            *[store.count(SPACE, Q) for _ in range(10)],
        )
        assert await store.count(SPACE, P) == await store.count(SPACE, Q) == 10

    async def test_concurrent_writes_of_one_record_leave_one(self, store: VectorStore) -> None:
        await store.create(SPACE)
        await asyncio.gather(*[store.upsert(SPACE, P, [record(1, text=f"version {i}")]) for i in range(10)])
        (left,) = await everything(store)
        assert left.text in {f"version {i}" for i in range(10)}
        assert len(await store.search(SPACE, P, X, top_k=10)) == 1

    async def test_a_cancelled_call_leaves_the_store_usable(self, store: VectorStore) -> None:
        await seed(store, record("before"))
        for steps in range(6):
            for call in (
                store.upsert(SPACE, Q, [record(f"{steps} {i}") for i in range(50)]),
                store.search(SPACE, P, X),
                store.scan(SPACE, P),
                store.delete(SPACE, Q),
            ):
                task = asyncio.ensure_future(call)
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await store.upsert(SPACE, P, [record("after")])
        assert await store.count(SPACE, P) == 2
        assert len(await store.search(SPACE, P, X)) == 2
