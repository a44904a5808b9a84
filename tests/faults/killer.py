"""Kills one thing after another, whatever chance names, and starts it again after a moment."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import msgspec

from tests.faults.stage import ProcessTarget, Stage, Target

__all__ = ["Kill", "Killer"]


class Kill(msgspec.Struct, frozen=True):
    """What was killed, and when (Unix time)."""

    kind: str
    at: float


class Killer:
    """Works on one stage; `pause` and `down` are the bounds of seconds between kills, and until the next start."""

    def __init__(
        self,
        stage: Stage,
        chance: random.Random,
        *,
        pause: tuple[float, float] = (1.0, 3.5),
        down: tuple[float, float] = (0.1, 2.5),
    ) -> None:
        self._stage, self._chance, self._pause, self._down = stage, chance, pause, down
        self._starting: set[asyncio.Task[None]] = set()
        self._counts: Counter[int] = Counter()
        self.kills: list[Kill] = []

    async def kill(self, seconds: float) -> None:
        """Kill for so long; all that was killed is started again when this returns."""
        until = time.monotonic() + seconds
        while True:
            await asyncio.sleep(self._chance.uniform(*self._pause))
            if time.monotonic() > until:
                break
            target = self._chance.choice(self._stage.targets)
            most = self._stage.most_kills
            if not await asyncio.to_thread(target.alive) or (most and self._counts[id(target)] >= most):
                continue
            self._counts[id(target)] += 1
            await asyncio.to_thread(target.kill)
            self.kills.append(Kill(target.kind, time.time()))
            starting = asyncio.create_task(self._start(target, self._chance.uniform(*self._down)))
            self._starting.add(starting)
            starting.add_done_callback(self._starting.discard)
        await asyncio.gather(*self._starting)

    async def keep_alive(self) -> None:
        """Start again what ended by itself, until cancelled."""
        while True:
            for target in self._stage.targets:
                if isinstance(target, ProcessTarget):
                    await asyncio.to_thread(target.look)
            await asyncio.sleep(0.5)

    async def _start(self, target: Target, after: float) -> None:
        await asyncio.sleep(after)
        await asyncio.to_thread(target.start)
