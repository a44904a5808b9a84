"""What the contract does not cover: the layout of tables, plans, words at their limits, errors, settings."""

import asyncio
import subprocess
import sys

import msgspec
import pytest
from dify_kernel.contracts.vector import MAX_TEXT_BYTES, Space
from dify_kernel.errors import InvalidQuery, SettingsError, StoreUnauthorized, StoreUnavailable, VectorStoreError
from dify_kernel.registry import Registry
from dify_kernel.settings import Secret, describe_settings, load_settings
from dify_kernel.testing.vector.data import SPACE, P, Q, X, id_of, record, seed
from dify_vdb_oceanbase import OceanbaseSettings, OceanbaseStore

from .conftest import PASSWORD

ENV = {
    "OCEANBASE_VECTOR_HOST": "db",
    "OCEANBASE_VECTOR_USER": "root@t",
    "OCEANBASE_VECTOR_PASSWORD": "hush",
    "OCEANBASE_VECTOR_DATABASE": "d",
}


async def asked(store, sql, *values):
    async with store._pool.connection() as connection:
        cursor = await connection.execute(sql, values)
        return await cursor.fetchall() if cursor.description else []


async def table_of(store):
    ((name,),) = await asked(store, "SHOW TABLES LIKE 'dify_suite_six%'")
    return name


async def test_rows_are_laid_out_as_documented(store):
    await seed(store, record(1, text="the text text", page=3, price=2.0))
    ((partition, metadata, length, words),) = await asked(
        store, f"SELECT partition_id, metadata, length, words FROM {await table_of(store)}"
    )
    the, text = store.dialect.word(P, "the"), store.dialect.word(P, "text")
    assert (partition, metadata, length, words) == (P, '{"page":3,"price":2.0}', 3, f"{the} {text} {text}")
    assert store.dialect.word(P, "pear") != store.dialect.word(Q, "pear")


async def test_words_are_found_by_their_index_and_partitions_by_their_key(store):
    await seed(store, *[record(i, text=f"word{i} common") for i in range(50)])
    table = await table_of(store)
    sharing, sought = store.dialect.sharing([store.dialect.word(P, "word7")])
    plan = await asked(store, f"EXPLAIN SELECT id FROM {table} WHERE {sharing} AND partition_id = %s", *sought, P)
    assert "TEXT RETRIEVAL SCAN" in str(plan)
    plan = await asked(store, f"EXPLAIN SELECT id, text FROM {table} WHERE partition_id = %s ORDER BY id LIMIT 5", P)
    assert "TABLE RANGE SCAN" in str(plan), plan


async def test_long_queries_and_long_texts_of_other_words_each(store):
    long = " ".join(f"{i:x}q" for i in range(44_000))
    assert len(long) > 0.95 * MAX_TEXT_BYTES
    await seed(store, record("long", text=long), record("both", text="1q 2q 3q 3q"), record("none", text="other"))
    for count in (1, 30, 40, 2_000):
        hits = await store.full_text(SPACE, P, " ".join(f"{i:x}q" for i in range(1, count + 1)), top_k=9)
        assert {hit.id for hit in hits} == {id_of("long"), id_of("both")}
    best = (await store.full_text(SPACE, P, "3Q"))[0]
    assert best.id == id_of("both")


async def test_the_longest_vectors(store):
    space = Space("suite_long", store.capabilities.max_dimension)
    try:
        vector = [float(i % 97 - 48) for i in range(space.dimension)]
        await store.create(space)
        await store.upsert(space, P, [record(1, vector=vector), record(2, vector=vector[::-1])])
        (hit,) = await store.search(space, P, vector, top_k=1)
        assert (hit.id, hit.score) == (id_of(1), pytest.approx(1.0, abs=1e-5))
    finally:
        await store.drop(space)


async def test_two_processes_may_make_and_drop_a_space(settings, store):
    other = OceanbaseStore(settings)
    await other.open()
    await asyncio.gather(*[each.create(SPACE) for each in (store, other) * 4])
    await other.upsert(SPACE, P, [record(1)])
    assert await store.count(SPACE, P) == 1
    await asyncio.gather(*[each.drop(SPACE) for each in (store, other) * 2])
    with pytest.raises(InvalidQuery, match="was not created"):
        await store.upsert(SPACE, P, [record(1)])
    await store.create(SPACE)
    await other.upsert(SPACE, P, [record(1)])
    await other.close()


async def test_writers_of_the_same_records_get_through(settings, store):
    other = OceanbaseStore(settings)
    await other.open()
    await store.create(SPACE)
    records = [record(i) for i in range(200)]
    writes = [each.upsert(SPACE, P, order) for each in (store, other) for order in (records, records[::-1]) * 3]
    await asyncio.gather(*writes)
    assert await store.count(SPACE, P) == 200
    await other.close()


async def test_what_a_user_may_not_do_is_told(settings, store):
    guest = msgspec.structs.replace(settings, vector_user="guest", vector_password=Secret(PASSWORD))
    poor = OceanbaseStore(guest)
    await poor.open()
    with pytest.raises(StoreUnauthorized, match="permit"):
        await poor.create(SPACE)
    await poor.close()
    absent = OceanbaseStore(msgspec.structs.replace(settings, vector_database="absent"))
    with pytest.raises(VectorStoreError, match="OCEANBASE_VECTOR_DATABASE"):
        await absent.open()


async def test_more_calls_than_connections_wait(settings):
    store = OceanbaseStore(msgspec.structs.replace(settings, vector_max_connection=1))
    await store.open()
    await seed(store, record(1))
    results = await asyncio.gather(*[store.search(SPACE, P, X) for _ in range(40)])
    assert [len(hits) for hits in results] == [1] * 40
    await store.drop(SPACE)
    await store.close()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.search(SPACE, P, X)


async def test_cancelled_calls_leave_no_broken_connection(settings):
    store = OceanbaseStore(msgspec.structs.replace(settings, vector_max_connection=2))
    await store.open()
    await seed(store, *[record(i) for i in range(300)])
    for delay in range(20):
        calls = [asyncio.ensure_future(store.search(SPACE, P, X, top_k=300)) for _ in range(4)]
        for _ in range(delay):
            await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert [len(hits) for hits in done[1::2]] == [300, 300]
    await store.drop(SPACE)
    await store.close()


def test_the_settings_are_difys_own():
    settings = load_settings(OceanbaseSettings, ENV, prefix="OCEANBASE_")
    assert (settings.address.host, settings.address.port, settings.address.user) == ("db", 2881, "root@t")
    assert "hush" not in repr(settings)
    with pytest.raises(SettingsError, match="OCEANBASE_VECTOR_DATABASE"):
        load_settings(OceanbaseSettings, {**ENV, "OCEANBASE_VECTOR_DATABASE": ""}, prefix="OCEANBASE_")
    assert all(setting.description for setting in describe_settings(OceanbaseSettings, prefix="OCEANBASE_"))


def test_both_names_are_the_same_store():
    for name in ("oceanbase", "seekdb"):
        assert isinstance(Registry().get("vdb", name).build(ENV), OceanbaseStore)


def test_the_client_is_imported_when_the_store_opens():
    code = "import dify_vdb_oceanbase.plugin, sys; assert not {'asyncmy', 'pymysql'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
