"""Rate limits and counters in a sliding window, kept in Redis so that every process counts together.

One sorted set a key holds the times of the hits in the window; a script judges and adds in one step, by the
server's clock. Exact to the microsecond; a key takes memory in proportion to its limit and ends with its window.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, cast

import msgspec
from dify_kernel.errors import DifyError
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["Decision", "LimitsUnavailable", "RateLimiter"]

# KEYS: the window. ARGV: limit, window in microseconds, a name for this hit (empty: look, do not count).
# Returns: 1 when allowed, hits that are left, microseconds until one is free again.
_HIT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - window))
local count = redis.call('ZCARD', KEYS[1])
if count < limit then
  if ARGV[3] ~= '' then
    redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[3])
    redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
    count = count + 1
  end
  return {1, limit - count, 0}
end
if limit <= 0 then return {0, 0, window} end
local oldest = redis.call('ZRANGE', KEYS[1], count - limit, count - limit, 'WITHSCORES')
return {0, 0, oldest[2] + window - now}
"""


class LimitsUnavailable(DifyError):
    """The server that keeps the counters does not answer, so nothing that is limited can be allowed."""

    code = "rate_limiter_unavailable"
    status = 503
    retryable = True


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`remaining` hits fit into the window now; `retry_after` seconds until the next one does (0 when allowed)."""

    allowed: bool
    remaining: int
    retry_after: float


class RateLimiter:
    """At most `limit` hits a key in any `window_seconds`; a refused hit does not count."""

    def __init__(self, redis: Redis, prefix: str = "dify:limit:") -> None:
        self._redis = redis
        self._prefix = prefix
        self._script = redis.register_script(_HIT)

    async def hit(self, key: str, limit: int, window_seconds: float) -> Decision:
        """Count one and say whether it is allowed; raises LimitsUnavailable."""
        return await self._judge(key, limit, window_seconds, secrets.token_hex(8))

    async def peek(self, key: str, limit: int, window_seconds: float) -> Decision:
        """Say whether a hit would be allowed, without counting one: for limits on failures."""
        return await self._judge(key, limit, window_seconds, "")

    async def reset(self, key: str) -> None:
        """Forget the hits of a key: after a successful login, for one."""
        try:
            await self._redis.delete(self._prefix + key)
        except RedisError as exc:
            raise _unavailable() from exc

    async def _judge(self, key: str, limit: int, window_seconds: float, name: str) -> Decision:
        arguments: list[Any] = [limit, round(window_seconds * 1_000_000), name]
        try:
            answer = await self._script(keys=[self._prefix + key], args=arguments)
        except RedisError as exc:
            raise _unavailable() from exc
        allowed, remaining, wait = cast("list[int]", answer)
        return Decision(allowed=bool(allowed), remaining=remaining, retry_after=max(wait, 0) / 1_000_000)


def _unavailable() -> LimitsUnavailable:
    return LimitsUnavailable("The rate limits cannot be read.", hint="Check that Redis is reachable.")
