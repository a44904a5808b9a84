"""Commands to runs of any process: a stop is published on the bus, the process that has the run obeys."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec
import redis.asyncio as redis

from dify_host.runs.service import RunService

__all__ = ["RunCommands", "StopCommand"]

log = logging.getLogger(__name__)
_CHANNEL = "dify:runs:stop"
_CANCEL_AGAIN = 0.1
_decode = msgspec.json.Decoder


class StopCommand(msgspec.Struct, frozen=True, kw_only=True):
    """End a run; only when it belongs to that app (and, where given, that user)."""

    task_id: str
    app_id: str
    user_id: str | None = None


class RunCommands:
    """Sends stops, and obeys those for this process's runs. `left` stops a run that no process has."""

    def __init__(
        self, bus: redis.Redis, runs: RunService, left: Callable[[StopCommand], Awaitable[None]] | None = None
    ) -> None:
        self._bus = bus
        self._runs = runs
        self._left = left
        self._task: asyncio.Task[None] | None = None

    async def stop(self, command: StopCommand) -> None:
        """End a run wherever it is; an unknown one is harmless."""
        if self._obey(command):
            return
        await self._bus.publish(_CHANNEL, msgspec.json.encode(command))
        if self._left is not None:
            await self._left(command)

    def start(self) -> None:
        """Listen for stops of other processes."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen(), name="run-commands")

    async def close(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        while task is not None and not task.done():
            task.cancel()  # again and again: the client may take one for its own timeout while it connects
            await asyncio.wait((task,), timeout=_CANCEL_AGAIN)

    def _obey(self, command: StopCommand) -> bool:
        return self._runs.stop(command.task_id, user_id=command.user_id, app_id=command.app_id)

    async def _listen(self) -> None:
        decoder = _decode(StopCommand)
        while True:
            try:
                async with self._bus.pubsub() as pubsub:
                    await pubsub.subscribe(_CHANNEL)
                    async for message in pubsub.listen():
                        if message["type"] == "message":
                            self._obey(decoder.decode(message["data"]))
            except (redis.RedisError, OSError, msgspec.DecodeError) as exc:
                log.warning("listening for stops was interrupted: %s", exc)
                await asyncio.sleep(1)
