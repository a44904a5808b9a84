"""The sliding window against a real server: exact under concurrency, released by time, shared by processes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from dify_host.net.limits import LimitsUnavailable, RateLimiter
from redis.asyncio import Redis


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def limiter(redis: Redis) -> RateLimiter:
    return RateLimiter(redis, prefix=f"test:{secrets.token_hex(8)}:")


async def test_the_limit_is_counted_down_and_then_refuses(limiter: RateLimiter) -> None:
    decisions = [await limiter.hit("login", 3, 60) for _ in range(5)]
    assert [d.allowed for d in decisions] == [True, True, True, False, False]
    assert [d.remaining for d in decisions] == [2, 1, 0, 0, 0]
    assert decisions[0].retry_after == 0
    assert 0 < decisions[4].retry_after <= decisions[3].retry_after <= 60


async def test_keys_do_not_share(limiter: RateLimiter) -> None:
    assert (await limiter.hit("a", 1, 60)).allowed
    assert (await limiter.hit("b", 1, 60)).allowed
    assert not (await limiter.hit("a", 1, 60)).allowed


async def test_many_at_once_get_exactly_the_limit(limiter: RateLimiter, redis_url: str) -> None:
    other = Redis.from_url(redis_url)
    second = RateLimiter(other, prefix=limiter._prefix)
    decisions = await asyncio.gather(*(each.hit("k", 20, 60) for _ in range(50) for each in (limiter, second)))
    assert sum(d.allowed for d in decisions) == 20
    assert sorted(d.remaining for d in decisions if d.allowed) == list(range(20))
    await other.aclose()


async def test_the_window_slides(limiter: RateLimiter, redis: Redis) -> None:
    window = 0.2
    assert (await limiter.hit("k", 2, window)).allowed
    await asyncio.sleep(window * 0.6)
    assert (await limiter.hit("k", 2, window)).allowed
    refused = await limiter.hit("k", 2, window)
    while not refused.allowed:  # the first hit leaves the window; how soon is told exactly
        assert 0 < refused.retry_after <= window
        await asyncio.sleep(refused.retry_after)
        refused = await limiter.hit("k", 2, window)
    assert refused.remaining <= 1


async def test_looking_does_not_count(limiter: RateLimiter) -> None:
    for _ in range(5):
        assert (await limiter.peek("k", 2, 60)).remaining == 2
    await limiter.hit("k", 2, 60)
    assert (await limiter.peek("k", 2, 60)).remaining == 1
    await limiter.hit("k", 2, 60)
    looked = await limiter.peek("k", 2, 60)
    assert not looked.allowed
    assert looked.retry_after > 0


async def test_a_lower_limit_applies_at_once(limiter: RateLimiter) -> None:
    for _ in range(5):
        await limiter.hit("k", 10, 60)
    assert not (await limiter.hit("k", 3, 60)).allowed
    assert (await limiter.hit("k", 6, 60)).allowed


async def test_reset(limiter: RateLimiter) -> None:
    await limiter.hit("k", 1, 60)
    await limiter.reset("k")
    assert (await limiter.hit("k", 1, 60)).allowed


async def test_a_limit_of_nothing(limiter: RateLimiter) -> None:
    decision = await limiter.hit("k", 0, 60)
    assert (decision.allowed, decision.remaining, decision.retry_after) == (False, 0, 60)


async def test_keys_end_with_their_window(limiter: RateLimiter, redis: Redis) -> None:
    await limiter.hit("k", 5, 30)
    assert 0 < await redis.pttl(f"{limiter._prefix}k") <= 30_000


async def test_without_a_server_nothing_is_allowed() -> None:
    client = Redis.from_url("redis://127.0.0.1:1/0")
    limiter = RateLimiter(client)
    for call in (limiter.hit("k", 1, 60), limiter.peek("k", 1, 60), limiter.reset("k")):
        with pytest.raises(LimitsUnavailable) as caught:
            await call
        assert caught.value.retryable
    await client.aclose()
