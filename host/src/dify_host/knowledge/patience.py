"""Repeats calls whose error says that they may succeed later: models that ask to slow down, stores that are away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import msgspec
from dify_kernel.errors import DifyError

from dify_host.db.types import utc_now

__all__ = ["Patience", "Told", "patiently"]

T = TypeVar("T")
#: Is told what a call waits for, and None when it goes on.
Told = Callable[[str | None], Awaitable[None]]


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How often a call is made, and the first pause in seconds; each pause doubles, to `longest` at most.

    What the error says in `retry_after` counts when it is longer.
    """

    attempts: int = 7
    pause: float = 1.0
    longest: float = 120.0

    def wait(self, attempt: int, error: DifyError) -> float:
        """Seconds until the next attempt; spread, so that calls that failed together do not come back together."""
        asked = error.where.get("retry_after")
        backoff: float = self.pause * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        wanted = max(backoff, float(asked)) if isinstance(asked, int | float) else backoff
        return float(min(wanted, self.longest))


async def patiently(call: Callable[[], Awaitable[T]], patience: Patience, told: Told | None = None) -> T:
    """Make the call until it succeeds, fails for good, or patience ends; the last error is raised."""
    waited = False
    for attempt in range(1, patience.attempts + 1):
        try:
            result = await call()
        except DifyError as exc:
            if not exc.retryable or attempt == patience.attempts:
                raise
            seconds = patience.wait(attempt, exc)
            if told is not None:
                waited = True
                until = utc_now() + timedelta(seconds=seconds)
                await told(f"{exc.message} It goes on at {until:%H:%M:%S} UTC.")
            await asyncio.sleep(seconds)
        else:
            if waited and told is not None:
                await told(None)
            return result
    raise AssertionError("attempts is at least 1")
