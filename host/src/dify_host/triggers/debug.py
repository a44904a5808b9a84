"""Draft runs that wait for an event of a trigger: who waits says so on the bus, events are laid into its inbox.

A waiter asks again and again; between two questions its place is kept for `_WAIT_SECONDS`. An event goes to everybody
who waits for its node then; one that nobody waits for is gone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from dify_host.db.tenant import Tenant

__all__ = ["RETRY_MS", "DebugEvent", "DebugInbox"]

#: After how many milliseconds a waiter does well to ask again.
RETRY_MS: Final = 1000
_WAIT_SECONDS: Final = 300
_PREFIX: Final = "dify:triggers:debug"


class DebugEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What a trigger brought; `inputs` are those of a run with the node as its root."""

    node_id: str
    trigger_type: str
    inputs: dict[str, Any]


class DebugInbox:
    """The inboxes of everybody who waits, in every process."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._decode = msgspec.json.Decoder(DebugEvent)

    async def poll(self, tenant: Tenant, app_id: str, node_ids: Sequence[str], waiter: str) -> DebugEvent | None:
        """The event that came for one of these nodes since the last call, or None: then `waiter` waits for the next.

        `waiter` names who asks (an account); its other inboxes are left as they are.
        """
        for node_id in node_ids:
            waiting, inbox = _waiting(tenant, app_id, node_id), _inbox(tenant, app_id, node_id, waiter)
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.zadd(waiting, {waiter: time.time() + _WAIT_SECONDS})
                pipe.expire(waiting, _WAIT_SECONDS)
                pipe.getdel(inbox)
                *_, found = await pipe.execute()
            if found is not None:
                await self.leave(tenant, app_id, node_ids, waiter)
                return self._decode.decode(found)
        return None

    async def leave(self, tenant: Tenant, app_id: str, node_ids: Sequence[str], waiter: str) -> None:
        """Wait no longer."""
        for node_id in node_ids:
            await self._redis.zrem(_waiting(tenant, app_id, node_id), waiter)

    async def deliver(self, tenant: Tenant, app_id: str, event: DebugEvent) -> int:
        """Lay an event into the inbox of everybody who waits for its node, and return how many these are."""
        waiting = _waiting(tenant, app_id, event.node_id)
        waiters: Any = await self._redis.zrangebyscore(waiting, time.time(), "+inf")
        if not waiters:
            return 0
        data = msgspec.json.encode(event)
        async with self._redis.pipeline(transaction=True) as pipe:
            for waiter in waiters:
                pipe.set(_inbox(tenant, app_id, event.node_id, waiter.decode()), data, ex=_WAIT_SECONDS)
            await pipe.execute()
        return len(waiters)


def _waiting(tenant: Tenant, app_id: str, node_id: str) -> str:
    return f"{_PREFIX}:{tenant.id}:{app_id}:{node_id}:waiting"


def _inbox(tenant: Tenant, app_id: str, node_id: str, waiter: str) -> str:
    return f"{_PREFIX}:{tenant.id}:{app_id}:{node_id}:{waiter}"
