"""What the contract does not cover: several processes, upkeep, the layout, deep filters, settings."""

import asyncio
import subprocess
import sys

import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Or, Space
from dify_kernel.settings import describe_settings, load_settings
from dify_kernel.testing.vector.data import SPACE, P, Q, X, everything, found, id_of, record, seed
from dify_vdb_lancedb import LancedbSettings, LancedbVectorStore, upkeep


@pytest.fixture
async def other(settings):
    """A second connection to the same folder, as another process has it."""
    other = LancedbVectorStore(settings)
    await other.open()
    yield other
    await other.close()


async def test_two_writers_of_one_table_lose_nothing(store, other):
    await seed(store, record("first"))
    for round in range(4):
        await asyncio.gather(
            *[
                each.upsert(SPACE, P, [record(f"{round} {name} {i}") for i in range(5)])
                for name, each in enumerate((store, other))
            ]
        )
    assert await store.count(SPACE, P) == await other.count(SPACE, P) == 41
    assert len(await everything(other)) == 41


async def test_what_another_process_does_is_seen(store, other):
    await seed(store, record(1))
    assert await other.count(SPACE, P) == 1
    await other.drop(SPACE)
    assert await store.search(SPACE, P, X) == []
    await seed(other, record(2, text="plum"))
    assert {hit.id for hit in await store.full_text(SPACE, P, "plum")} == {id_of(2)}


async def test_processes_that_make_a_space_at_once_make_one(store, other):
    for round in range(5):
        space = Space(f"round_{round}", 6)

        async def make(each, name, space=space):
            await each.create(space)
            await each.upsert(space, P, [record(name)])

        await asyncio.gather(make(store, "mine"), make(other, "theirs"))
        assert await store.count(space, P) == await other.count(space, P) == 2
        assert len(await store.full_text(space, P, "text")) == 2
    assert len((await store._opened.list_tables()).tables) == 5, "a draft was left"


async def test_another_process_writes_too(store, settings):
    await seed(store, record(1))
    script = (
        "import asyncio, sys\n"
        "from dify_vdb_lancedb import LancedbSettings, LancedbVectorStore\n"
        "from dify_kernel.testing.vector.data import SPACE, P, record\n"
        "async def main():\n"
        "    store = LancedbVectorStore(LancedbSettings(dify_data=sys.argv[1]))\n"
        "    await store.open()\n"
        "    for i in range(10): await store.upsert(SPACE, P, [record(f'theirs {i}')])\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, settings.dify_data)
    for i in range(10):
        await store.upsert(SPACE, P, [record(f"mine {i}")])
    assert await process.wait() == 0
    assert await store.count(SPACE, P) == 21


async def test_many_small_writes_are_tidied_up_and_nothing_is_lost(store):
    await store.create(SPACE)
    for i in range(3 * upkeep.FEW):
        await store.upsert(SPACE, P if i % 2 else Q, [record(i, text=f"word{i} fig", page=i)])
    table = await store._table(SPACE)
    fragments = (await table.stats())["fragment_stats"]["num_fragments"]
    assert fragments < 2 * upkeep.FEW
    assert await store.count(SPACE, P) + await store.count(SPACE, Q) == 3 * upkeep.FEW
    assert len(await store.full_text(SPACE, P, "fig", top_k=1000)) == 3 * upkeep.FEW // 2
    assert [hit.id for hit in await store.full_text(SPACE, P, "word1")] == [id_of(1)]


async def test_a_filter_too_deep_for_the_engine_is_honoured(store):
    await seed(store, *[record(i, page=i, color="red") for i in range(6)])
    deep = Compare("eq", "page", 3)
    for _ in range(30):
        deep = And([Or([deep, Compare("eq", "page", 4)]), Exists("color")])
    assert await found(store, deep) == {id_of(3), id_of(4)}
    assert await store.count(SPACE, P, filter=deep) == 2
    await store.delete(SPACE, P, filter=deep)
    assert await store.count(SPACE, P) == 4


async def test_partitions_are_searched_by_their_index(store):
    await seed(store, *[record(i) for i in range(40)])
    table = await store._table(SPACE)
    await table.optimize()
    plan = await table.query().where("partition = 'x'").nearest_to(X).distance_type("cosine").explain_plan(True)
    assert "ScalarIndexQuery" in plan
    assert {index.columns[0] for index in await table.list_indices()} == {"id", "partition", "tokens", "words"}


def test_settings(tmp_path):
    assert LancedbSettings(dify_data="/data").uri == "/data/lancedb"
    assert load_settings(LancedbSettings, {"LANCEDB_URI": "s3://bucket/x"}, prefix="").uri == "s3://bucket/x"
    assert all(info.description for info in describe_settings(LancedbSettings, prefix=""))


def test_importing_loads_no_client():
    script = (
        "import sys, dify_vdb_lancedb.plugin\nassert not {'lancedb', 'pyarrow', 'numpy', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_registry_builds_it():
    from dify_kernel.registry import Registry

    assert isinstance(Registry().get("vdb", "lancedb").build({}), LancedbVectorStore)
