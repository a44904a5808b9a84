"""The same question is embedded once in ten minutes; without the cache's server it is embedded each time."""

from __future__ import annotations

from dify_host.db.types import new_id
from dify_host.knowledge.chunk import text_hash
from dify_host.knowledge.query_cache import KEPT_SECONDS, CachedQueries
from dify_kernel.testing.fake_models import FakeModels, word_vector
from redis.asyncio import Redis


async def test_a_question_is_asked_once_and_its_time_begins_anew(redis_url: str) -> None:
    models, redis, model = FakeModels(), Redis.from_url(redis_url), new_id()
    cached = CachedQueries(models, redis)
    key = f"fake_{model}_{text_hash('green tea')}"
    for _ in range(2):
        answer = await cached.embed("fake", model, ["green tea"], input_type="query")
        assert answer.vectors == [word_vector("green tea")]
        assert KEPT_SECONDS - 5 <= await redis.ttl(key) <= KEPT_SECONDS
        await redis.expire(key, 10)
    assert models.embedded == [("green tea",)]
    await cached.embed("fake", model, ["black tea"], input_type="query")
    await cached.embed("fake", model, ["green tea"])  # a document is another matter
    assert models.embedded == [("green tea",), ("black tea",), ("green tea",)]
    await redis.aclose()


async def test_what_is_in_the_cache_and_is_no_vector_is_not_used(redis_url: str) -> None:
    models, redis, model = FakeModels(), Redis.from_url(redis_url), new_id()
    await redis.set(f"fake_{model}_{text_hash('tea')}", b"no base64!")
    answer = await CachedQueries(models, redis).embed("fake", model, ["tea"], input_type="query")
    assert answer.vectors == [word_vector("tea")]
    await redis.aclose()


async def test_without_the_server_every_question_is_asked() -> None:
    models, redis = FakeModels(), Redis(host="127.0.0.1", port=1)
    cached = CachedQueries(models, redis)
    for _ in range(2):
        assert (await cached.embed("fake", "m", ["tea"], input_type="query")).vectors == [word_vector("tea")]
    assert len(models.embedded) == 2
    await redis.aclose()
