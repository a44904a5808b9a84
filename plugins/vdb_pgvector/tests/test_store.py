"""What the contract does not cover: plans and indexes, the layout of tables, a missing extension, settings."""

import asyncio
import random
import subprocess
import sys

import msgspec
import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Record
from dify_kernel.contracts.vector_rules import cosine
from dify_kernel.errors import SettingsError, StoreUnauthorized, StoreUnavailable, VectorStoreError
from dify_kernel.families.sql_vectors import partition_key
from dify_kernel.registry import Registry
from dify_kernel.settings import Secret, describe_settings, load_settings
from dify_kernel.testing.vector.data import SPACE, P, Q, X, id_of, record, seed
from dify_vdb_pgvector import PgvectorSettings, PgvectorStore

ENV = {"PGVECTOR_HOST": "db", "PGVECTOR_USER": "u", "PGVECTOR_PASSWORD": "hush", "PGVECTOR_DATABASE": "d"}


async def tables(store, sql, *values):
    async with store._pool.connection() as connection:
        cursor = await connection.execute(sql, values)
        return await cursor.fetchall() if cursor.description else []


async def indexes(store):
    return [
        name for (name,) in await tables(store, "SELECT indexname FROM pg_indexes WHERE indexdef LIKE %s", "%hnsw%")
    ]


def many(count, *, of=""):
    chance = random.Random(f"many {of}")
    return [
        Record(
            id=id_of(f"{of}{i}"),
            text=f"word{i % 7}",
            vector=[chance.gauss(0, 1) for _ in range(SPACE.dimension)],
            metadata={"n": i, "rare": i % 300 == 0},
        )
        for i in range(count)
    ]


@pytest.fixture
async def large(store):
    """A store that takes a thousand records for many, with an index on one partition and none on another."""
    store.large = 1_000
    written = many(3_000)
    await seed(store, *written)
    await store.upsert(SPACE, Q, many(900, of="q"))
    await asyncio.gather(*store._indexing.values())
    await tables(store, "ANALYZE")
    return store, written


async def test_a_large_partition_gets_an_index_of_its_own(large):
    store, written = large
    (index,) = await indexes(store)
    vector = written[7].vector
    query = store.dialect.distance
    async with store._pool.connection() as connection:
        cursor = await connection.execute(
            f"EXPLAIN SELECT id, {query} AS distance FROM {await table_of(store)} WHERE partition_id = %s"
            " ORDER BY distance LIMIT 3",
            [store.dialect.vector(vector), partition_key(P)],
        )
        plan = "\n".join(line for (line,) in await cursor.fetchall())
    assert index in plan, plan
    best = sorted(written, key=lambda item: -cosine(vector, item.vector))[:20]
    hits = await store.search(SPACE, P, vector, top_k=20)
    assert len({hit.id for hit in hits} & {item.id for item in best}) >= 19
    await store.delete(SPACE, P)
    assert await indexes(store) == []


async def table_of(store):
    ((name,),) = await tables(store, f"SELECT name FROM {store.dialect.register}")
    return name


async def test_a_filter_and_a_long_list_stay_exact_over_an_index(large):
    store, written = large
    vector = written[7].vector
    order = [item.id for item in sorted(written, key=lambda item: -cosine(vector, item.vector))]
    wanted = {item.id for item in written if item.metadata["rare"]}
    for filter in (Compare("eq", "rare", True), And([Compare("eq", "rare", True), Exists("n")])):
        hits = await store.search(SPACE, P, vector, top_k=20, filter=filter)
        assert [hit.id for hit in hits] == [id for id in order if id in wanted]
    hits = await store.search(SPACE, P, vector, top_k=5_000)
    assert [hit.id for hit in hits] == order


async def test_small_partitions_have_no_index(store):
    store.large = 1_000
    await seed(store, *many(1_000))
    await asyncio.gather(*store._indexing.values())
    assert await indexes(store) == []


async def test_the_length_of_vectors_that_no_index_takes(store):
    from dify_kernel.contracts.vector import Space

    space, store.large = Space("suite_long", store.dialect.indexed_dimension + 1), 10
    try:
        records = [record(i, dimension=32) for i in range(20)]
        long = [msgspec.structs.replace(r, vector=[*r.vector, *[0.0] * (space.dimension - 32)]) for r in records]
        await seed(store, *long, space=space)
        assert store._indexing == {}
        hits = await store.search(space, P, long[3].vector, top_k=1)
        assert [hit.id for hit in hits] == [long[3].id]
    finally:
        await store.drop(space)


async def test_rows_are_laid_out_as_documented(store):
    await seed(store, record(1, text="the text text", page=3, price=2.0))
    ((partition, metadata, length, words, norm),) = await tables(
        store,
        f"SELECT partition_id, metadata::text, length, words, vector_norm(embedding) FROM {await table_of(store)}",
    )
    assert (str(partition), metadata, length) == (P, '{"page":3,"price":2.0}', 3)
    assert words == [store.dialect.word(P, "the"), *[store.dialect.word(P, "text")] * 2]
    assert norm == pytest.approx(1.0)


async def test_the_words_of_another_partition_are_not_read(store):
    assert store.dialect.word(P, "pear") != store.dialect.word(Q, "pear")
    assert partition_key(P) == P
    assert partition_key(P.upper()) != P != partition_key(Q)


async def test_two_processes_may_make_a_space(settings, store):
    other = PgvectorStore(settings)
    await other.open()
    await asyncio.gather(*[each.create(SPACE) for each in (store, other) * 8])
    await other.upsert(SPACE, P, [record(1)])
    assert await store.count(SPACE, P) == 1
    await other.close()


async def test_writers_of_the_same_records_do_not_block_each_other(settings, store):
    other = PgvectorStore(settings)
    await other.open()
    await store.create(SPACE)
    records = [record(i) for i in range(200)]
    writes = [each.upsert(SPACE, P, order) for each in (store, other) for order in (records, records[::-1]) * 3]
    await asyncio.gather(*writes)
    assert await store.count(SPACE, P) == 200
    await other.close()


async def test_a_user_that_may_not_make_the_extension_is_told(settings, store):
    await tables(store, "DROP DATABASE IF EXISTS bare")
    await tables(store, "CREATE DATABASE bare")
    await tables(store, "DROP ROLE IF EXISTS guest")
    await tables(store, "CREATE ROLE guest LOGIN PASSWORD 'guest'")
    guest = msgspec.structs.replace(settings, user="guest", password=Secret("guest"), database="bare")
    poor = PgvectorStore(guest)
    await poor.open()
    with pytest.raises(StoreUnauthorized, match="vector"):
        await poor.create(SPACE)
    await poor.close()
    absent = PgvectorStore(msgspec.structs.replace(settings, database="absent"))
    with pytest.raises(VectorStoreError, match="PGVECTOR_DATABASE"):
        await absent.open()
    await tables(store, "DROP DATABASE bare WITH (FORCE)")
    await tables(store, "DROP ROLE guest")


async def test_more_calls_than_connections_wait(settings):
    store = PgvectorStore(msgspec.structs.replace(settings, max_connection=1))
    await store.open()
    await seed(store, record(1))
    results = await asyncio.gather(*[store.search(SPACE, P, X) for _ in range(40)])
    assert [len(hits) for hits in results] == [1] * 40
    await store.drop(SPACE)
    await store.close()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.count(SPACE, P)


def test_settings():
    settings = load_settings(PgvectorSettings, ENV, prefix="PGVECTOR_")
    assert (settings.host, settings.port, settings.user, settings.database) == ("db", 5433, "u", "d")
    assert (settings.min_connection, settings.max_connection, settings.pg_bigm) == (1, 5, False)
    assert settings.password.reveal() == "hush"
    assert "hush" not in repr(settings)
    assert all(info.description for info in describe_settings(PgvectorSettings, prefix="PGVECTOR_"))
    for missing in ("PGVECTOR_HOST", "PGVECTOR_USER", "PGVECTOR_DATABASE"):
        with pytest.raises(SettingsError, match=missing):
            load_settings(PgvectorSettings, {**ENV, missing: ""}, prefix="PGVECTOR_")


def test_importing_loads_no_client():
    script = "import sys, dify_vdb_pgvector.plugin; assert not {'psycopg', 'psycopg_pool', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_registry_builds_it():
    assert isinstance(Registry().get("vdb", "pgvector").build(ENV), PgvectorStore)
