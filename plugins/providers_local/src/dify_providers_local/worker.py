"""The host's side of the model process: starts it at the first call, restarts it after a crash, ends it when idle."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from dify_kernel.errors import InvokeBadRequestError, InvokeServerUnavailableError

from dify_providers_local.messages import (
    LENGTH_BYTES,
    Ask,
    Cancel,
    Done,
    Failed,
    Told,
    decode_told,
    frame,
)
from dify_providers_local.settings import LocalSettings

__all__ = ["Worker"]

KEPT_LINES = 20


class Worker:
    """One model process for one event loop; every call may run concurrently, the process queues them."""

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._ids = itertools.count(1)
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._calls: dict[int, asyncio.Queue[Told | None]] = {}
        self._ending: asyncio.TimerHandle | None = None
        self._said: deque[str] = deque(maxlen=KEPT_LINES)

    @property
    def open_calls(self) -> int:
        """Calls that the process has not ended yet."""
        return len(self._calls)

    @property
    def pid(self) -> int | None:
        """The process, while there is one that serves."""
        serves = self._process is not None and self._writer is not None and not self._writer.is_closing()
        return self._process.pid if self._process is not None and serves else None

    async def call(self, ask: Callable[[int], Ask]) -> AsyncGenerator[Told, None]:
        """Send what `ask(id)` makes and yield what comes back, the last is Done. Leaving early cancels the call.

        InvokeBadRequestError when the model refuses, InvokeServerUnavailableError when the process fails.
        """
        writer = await self._started()
        number, answers = next(self._ids), asyncio.Queue[Told | None]()
        self._calls[number] = answers
        self._stay()
        ended = False
        try:
            writer.write(frame(ask(number)))
            await writer.drain()
            while not ended:
                told = await answers.get()
                ended = told is None or isinstance(told, Done | Failed)
                if told is None:
                    raise self._crashed()
                if isinstance(told, Failed):
                    raise _failure(told)
                yield told
        except ConnectionError as exc:
            ended = True
            raise self._crashed() from exc
        finally:
            if not ended and number in self._calls and not writer.is_closing():
                writer.write(frame(Cancel(id=number)))  # its Done is taken by the reader

    async def close(self) -> None:
        """End the process; closing twice is harmless."""
        async with self._lock:
            await self._end()

    # -- inside -------------------------------------------------------------------------------------------------

    async def _started(self) -> asyncio.StreamWriter:
        async with self._lock:
            if self._writer is None or self._writer.is_closing():
                await self._end()
                self._writer = await self._start()
            return self._writer

    async def _start(self) -> asyncio.StreamWriter:
        ours, theirs = socket.socketpair()
        settings = self._settings
        arguments = [str(theirs.fileno()), str(settings.threads), str(settings.local_models_context)]
        self._said.clear()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dify_providers_local.server",
                *arguments,
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=_environment(settings.threads),
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        self._tasks = [
            asyncio.create_task(self._read(reader, writer)),
            asyncio.create_task(self._listen(self._process)),
        ]
        return writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand out what the process tells, until it is gone."""
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
                told = decode_told(await reader.readexactly(size))
                if told.id in self._calls:
                    self._calls[told.id].put_nowait(told)
                if isinstance(told, Done | Failed):
                    self._calls.pop(told.id, None)
                    self._leave()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            calls, self._calls = self._calls, {}
            for answers in calls.values():
                answers.put_nowait(None)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Keep the last lines that the process wrote, for the report of a crash."""
        if process.stderr is not None:
            async for line in process.stderr:
                self._said.append(line.decode("utf-8", "replace").rstrip())

    async def _end(self) -> None:
        self._stay()
        if self._writer is not None:
            self._writer.close()  # the process ends when its socket closes
            self._writer = None
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def _stay(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def _leave(self) -> None:
        """End the process after a while without calls."""
        self._stay()
        if not self._calls:
            loop = asyncio.get_running_loop()
            self._ending = loop.call_later(self._settings.local_models_idle_seconds, self._idle)

    def _idle(self) -> None:
        self._ending = None
        if not self._calls and self._writer is not None:
            self._writer.close()  # what is left of it is collected by the next start, or by close

    def _crashed(self) -> InvokeServerUnavailableError:
        lines = [line for line in self._said if line.strip()]
        last = f" It last said: {lines[-1][:300]}" if lines else ""
        return InvokeServerUnavailableError(
            f"The process of the local models ended during the call.{last}",
            hint="Try again: it is started anew. If it happens again, it may lack memory.",
        )


def _environment(threads: int) -> dict[str, str]:
    """What a Python process needs to start; the host's secrets stay with the host."""
    kept = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"OMP_NUM_THREADS": str(threads)}


def _failure(told: Failed) -> InvokeBadRequestError | InvokeServerUnavailableError:
    if told.refused:
        return InvokeBadRequestError(f"The local model refused the request: {told.message}.")
    return InvokeServerUnavailableError(
        f"The local model failed: {told.message}.", hint="Is the file a model that llama.cpp loads?"
    )
