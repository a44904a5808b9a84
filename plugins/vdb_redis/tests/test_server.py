"""What only a real server shows: whole records beside writers, nothing left over, and the graph's way out."""

import asyncio

import pytest
import redis
from dify_kernel.contracts.vector import Compare
from dify_kernel.settings import Secret
from dify_kernel.testing.vector.data import SPACE, P, Q, X, at_angle, id_of, record, seed
from dify_vdb_redis import RedisSettings, RedisVectorStore


def keys_of(settings):
    with redis.Redis(port=settings.port, password=settings.password.reveal()) as client:
        return {key.decode() for key in client.scan_iter(f"{settings.key_prefix}:*")}


async def test_nothing_is_left_of_what_was_deleted(store, settings):
    await seed(store, *[record(i, text=f"pear {i}", page=i) for i in range(40)])
    await store.upsert(SPACE, Q, [record("other")])
    await store.upsert(SPACE, P, [record(1, text="plum")])
    await store.delete(SPACE, P, filter=Compare("ge", "page", 5))
    await store.delete(SPACE, P, ids=[id_of(i) for i in range(40)])
    assert not any(P in key for key in keys_of(settings))
    await store.delete(SPACE, Q)
    assert keys_of(settings) == {"dify_vectors:suite_six"}
    await store.drop(SPACE)
    assert keys_of(settings) == set()


async def test_nobody_sees_half_a_record(store):
    """Every version of a record has its text, its metadata and its vector of one number."""
    await seed(store, *[record(i, text="version 0", vector=at_angle(0), version=0) for i in range(5)])

    async def write(number):
        for version in range(number, 30, 3):
            same = {"text": f"version {version}", "vector": at_angle(3 * version), "version": version}
            await store.upsert(SPACE, P, [record(i, **same) for i in range(5)])

    async def read():
        for _ in range(60):
            for found in await store.get(SPACE, P, [id_of(i) for i in range(5)]):
                version = found.metadata["version"]
                assert found.text == f"version {version}"
                assert found.vector == pytest.approx(at_angle(3 * version), abs=1e-6)

    await asyncio.gather(*map(write, range(3)), read(), read())
    (words,) = {len(await store.full_text(SPACE, P, "version", top_k=50))}
    assert words == 5


async def test_words_of_replaced_texts_are_gone_however_many_write(store):
    await seed(store)
    await asyncio.gather(*[store.upsert(SPACE, P, [record(1, text=f"word{i} here")]) for i in range(12)])
    found = [i for i in range(12) if await store.full_text(SPACE, P, f"word{i}")]
    assert len(found) == 1


async def test_another_user_sees_nothing_under_another_prefix(store, settings):
    await seed(store, record(1))
    other = RedisVectorStore(
        RedisSettings(
            host=settings.host, port=settings.port, password=Secret(settings.password.reveal()), key_prefix="other"
        )
    )
    await other.open()
    assert await other.search(SPACE, P, X) == []
    await other.create(SPACE)
    await other.drop(SPACE)
    await other.close()
    assert len(await store.search(SPACE, P, X)) == 1
