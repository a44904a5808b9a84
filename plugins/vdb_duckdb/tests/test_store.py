"""What the contract does not cover: processes that take turns, what a killed one leaves, settings."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from dify_kernel.contracts.vector import Compare, Space
from dify_kernel.errors import StoreUnavailable
from dify_kernel.settings import describe_settings, load_settings
from dify_kernel.testing.vector.data import SPACE, P, Q, X, everything, found, id_of, record, seed
from dify_vdb_duckdb import DuckdbSettings, DuckdbVectorStore

WRITER = """
import asyncio, sys
from dify_vdb_duckdb import DuckdbSettings, DuckdbVectorStore
from dify_kernel.testing.vector.data import SPACE, P, record

async def main(data, name, rounds):
    store = DuckdbVectorStore(DuckdbSettings(dify_data=data))
    await store.open()
    await store.create(SPACE)
    for i in range(int(rounds)):
        await store.upsert(SPACE, P, [record(f"{name} {i} {j}") for j in range(5)])
        print(i, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def writer(settings: DuckdbSettings, name: str, rounds: int) -> asyncio.subprocess.Process:
    """Another process that writes five records a round and says each round that it has written."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, settings.dify_data, name, str(rounds), stdout=asyncio.subprocess.PIPE
    )


@pytest.fixture
async def other(settings: DuckdbSettings) -> AsyncIterator[DuckdbVectorStore]:
    """A second object over the same file."""
    other = DuckdbVectorStore(settings)
    await other.open()
    yield other
    await other.close()


async def test_two_objects_see_what_the_other_wrote(store: DuckdbVectorStore, other: DuckdbVectorStore) -> None:
    await seed(store, record("first"))
    await asyncio.gather(
        *[
            each.upsert(SPACE, P, [record(f"{name} {i}")])
            for i in range(5)
            for name, each in (("a", store), ("b", other))
        ]
    )
    assert await store.count(SPACE, P) == await other.count(SPACE, P) == 11
    await other.drop(SPACE)
    assert await store.search(SPACE, P, X) == []


async def test_processes_that_write_at_once_lose_nothing(store: DuckdbVectorStore, settings: DuckdbSettings) -> None:
    await store.create(SPACE)
    others = [await writer(settings, name, 10) for name in ("one", "two")]
    for i in range(10):
        await store.upsert(SPACE, P, [record(f"mine {i}")])
        assert len(await store.search(SPACE, P, X, top_k=1000)) >= i + 1
    assert [(await each.communicate(), each.returncode)[1] for each in others] == [0, 0]
    assert await store.count(SPACE, P) == 110
    assert len(await everything(store)) == 110


async def test_a_busy_process_lets_another_one_in(store: DuckdbVectorStore, settings: DuckdbSettings) -> None:
    """Without an end of its turn, calls that overlap would keep the file for as long as they come."""
    await seed(store, record(1))
    guest = await writer(settings, "guest", 3)

    async def busy() -> None:
        while guest.returncode is None:
            await store.search(SPACE, P, X)

    await asyncio.wait_for(asyncio.gather(guest.communicate(), *[busy() for _ in range(4)]), 60)
    assert await store.count(SPACE, P) == 16


async def test_a_killed_process_leaves_what_it_had_written(store: DuckdbVectorStore, settings: DuckdbSettings) -> None:
    victim = await writer(settings, "victim", 10_000)
    assert victim.stdout is not None
    said = 0
    while said < 5:
        said = int(await victim.stdout.readline())
    victim.send_signal(signal.SIGKILL)
    rest, _ = await victim.communicate()
    said = int(rest.split()[-1]) if rest else said
    stored = {item.id for item in await everything(store)}
    assert {id_of(f"victim {i} {j}") for i in range(said + 1) for j in range(5)} <= stored
    assert len(stored) % 5 == 0, "a call was written in part"
    await store.upsert(SPACE, P, [record("after")])
    assert await store.count(SPACE, P) == len(stored) + 1


async def test_a_file_that_others_keep_is_unavailable_after_a_while(settings: DuckdbSettings) -> None:
    keeper = (
        "import sys, filelock\n"
        "with filelock.FileLock(sys.argv[1]):\n"
        "    print('mine', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    settings.path.parent.mkdir(parents=True)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", keeper, f"{settings.path}.lock"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    hasty = DuckdbVectorStore(DuckdbSettings(dify_data=settings.dify_data, duckdb_wait=0.05))
    with pytest.raises(StoreUnavailable, match=r"Other processes kept .* for 0\.05 seconds"):
        await hasty.open()
    patient = DuckdbVectorStore(settings)
    opening = asyncio.ensure_future(patient.open())
    await asyncio.sleep(0)
    await patient.close()
    with pytest.raises(StoreUnavailable, match="was closed"):
        await opening
    await process.communicate(b"")
    await patient.open()
    await patient.close()


async def test_what_is_no_file_of_duckdb_is_unavailable(settings: DuckdbSettings) -> None:
    settings.path.parent.mkdir(parents=True)
    settings.path.write_text("something else " * 1000)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="cannot be opened"):
            await DuckdbVectorStore(settings).open()


async def test_numbers_beyond_a_double_are_told_apart(store: DuckdbVectorStore) -> None:
    big = 2**53
    await seed(store, *[record(i, page=big + i) for i in range(3)], record("none"))
    assert await found(store, Compare("gt", "page", big)) == {id_of(1), id_of(2)}
    assert await store.count(SPACE, P, filter=Compare("le", "page", big + 1)) == 2
    await store.delete(SPACE, P, filter=Compare("lt", "page", big + 1))
    assert await store.count(SPACE, P) == 3


async def test_an_id_belongs_to_the_partition_that_wrote_it_last(store: DuckdbVectorStore) -> None:
    await seed(store, record(1))
    await store.upsert(SPACE, Q, [record(1, text="moved")])
    assert (await store.count(SPACE, P), await store.count(SPACE, Q)) == (0, 1)


async def test_a_vector_of_the_longest_dimension_is_found(store: DuckdbVectorStore) -> None:
    space = Space("long", store.capabilities.max_dimension)
    await store.create(space)
    vectors = [[float(i == place) for place in range(space.dimension)] for i in range(3)]
    await store.upsert(space, P, [record(i, vector=vector) for i, vector in enumerate(vectors)])
    assert [hit.id for hit in await store.search(space, P, vectors[1], top_k=1)] == [id_of(1)]


def test_settings() -> None:
    assert str(DuckdbSettings(dify_data="/data").path) == "/data/vectors.duckdb"
    assert str(load_settings(DuckdbSettings, {"DUCKDB_PATH": "/x/y.db"}, prefix="").path) == "/x/y.db"
    assert all(info.description for info in describe_settings(DuckdbSettings, prefix=""))


def test_importing_loads_no_client() -> None:
    script = "import sys, dify_vdb_duckdb.plugin\nassert not {'duckdb', 'filelock'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_registry_builds_it() -> None:
    from dify_kernel.registry import Registry

    assert isinstance(Registry().get("vdb", "duckdb").build({}), DuckdbVectorStore)
