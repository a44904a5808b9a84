"""Runs a blocking vendor client in threads, so that a plugin over one still fulfils an async contract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from dify_kernel.errors import StoreUnavailable

__all__ = ["Blocking"]

T = TypeVar("T")


class Blocking:
    """A thread pool of its own for one client; `threads=1` serialises a client that is not thread-safe.

    A cancelled call keeps its thread until the client returns: bound the client's own timeouts.
    """

    def __init__(self, name: str, threads: int = 8) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._closed = False

    async def run(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call `function` in the pool and await its result or exception; StoreUnavailable when the pool is closed."""
        if self._closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise  # it is the caller that was cancelled
            raise _closed() from None

    def close(self) -> None:
        """Let running calls end, refuse those that wait, and release the threads; closing twice is harmless."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)


def _closed() -> StoreUnavailable:
    return StoreUnavailable("The store was closed before the call began.", hint="Open it again.")
