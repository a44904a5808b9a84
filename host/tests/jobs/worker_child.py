"""Run as a program: a worker with two jobs of its own, on a database and a queue given as arguments.

`record` notes its number and who did it. `wait` notes who took it, and ends when a list gets an entry.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import redis.asyncio as redis
from dify_host.db.engine import Database
from dify_host.jobs import broker
from dify_host.jobs.actors import ACTORS, Actor
from dify_host.jobs.stopping import StopRequest
from dify_host.jobs.worker import WorkerProcess
from dify_host.settings import HostSettings
from dify_kernel.errors import DifyError


class Later(DifyError):
    """What a job raises that wants to be repeated."""

    retryable = True


async def record(platform: Any, name: str, number: int) -> None:
    await platform.redis.rpush(f"{name}:done", f"{number}:{os.getpid()}")


async def wait(platform: Any, name: str) -> None:
    await platform.redis.rpush(f"{name}:taken", os.getpid())
    await platform.redis.blpop(f"{name}:gate", 60)
    await platform.redis.rpush(f"{name}:done", os.getpid())


async def flaky(platform: Any, name: str, retryable: bool) -> None:
    tries = await platform.redis.incr(f"{name}:tries:{retryable}")
    if tries == 1:
        raise Later("not yet") if retryable else ValueError("never")
    await platform.redis.rpush(f"{name}:done", f"{retryable}")


def main(url: str, redis_url: str, namespace: str, heartbeat: str) -> None:
    broker.HEARTBEAT_SECONDS = int(heartbeat)
    for run in (record, wait, flaky):
        ACTORS[run.__name__] = Actor(name=run.__name__, queue="dataset", time_limit=60_000, run=run)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        db, client = Database(url), redis.Redis.from_url(redis_url, socket_timeout=None)
        await client.rpush(f"{namespace}:up", os.getpid())
        settings = HostSettings()
        yield SimpleNamespace(db=db, redis=client, settings=settings, owner=str(os.getpid()), watch_runs=lambda: None)
        await client.aclose()
        await db.close()

    WorkerProcess(redis_url, opened, threads=2, namespace=namespace).run(StopRequest().listen(), grace=20)


if __name__ == "__main__":
    main(*sys.argv[1:])
