"""The local code sandbox: runs user code in jailed children of a helper process, and never without the jail."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import Mapping
from typing import Any, get_args

import msgspec
from dify_kernel.errors import CodeExecutionError

from . import selftest
from .jail import wire
from .pipes import PipeReader
from .results import Language, SandboxRefused, SandboxReport, SandboxResult, SandboxSettings, SandboxUnavailable
from .zygote import Zygote

__all__ = ["SandboxPool"]

_MIB = 1 << 20
_MOST_MIB = 1 << 20
_LONGEST_SECONDS = 86_400.0
_ERROR_ROOM = 1 << 17
_KIND_ROOM = 200


class SandboxPool:
    """Runs Python and JavaScript of users. Use it from one event loop; the helper process starts with the first run."""

    def __init__(self, settings: SandboxSettings | None = None) -> None:
        self.settings = settings or SandboxSettings()
        self._slots = asyncio.Semaphore(self.settings.concurrency)
        self._ids = itertools.count(1)
        self._starting = asyncio.Lock()
        self._zygote: Zygote | None = None
        self._report: SandboxReport | None = None
        self._active = 0
        self._idle: asyncio.TimerHandle | None = None
        self._idle_task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def helper_pid(self) -> int | None:
        """The process id of the helper, None while there is none."""
        return self._zygote.pid if self._zygote is not None and not self._zygote.dead else None

    async def start(self) -> None:
        """Open the pool, also after `close`. Starts no process: the first run or `probe` does."""
        self._closed = False

    async def close(self) -> None:
        """End the helper and every run; running calls fail with a retryable error. Idempotent."""
        self._closed = True
        self._cancel_idle()
        async with self._starting:
            zygote, self._zygote = self._zygote, None
            if zygote is not None:
                await zygote.close()

    async def probe(self) -> SandboxReport:
        """Say whether this machine can run user code, by building the jail and trying its walls from inside.

        Starts the helper if there is none. Does not raise: a machine that refuses is a report with reasons.
        """
        try:
            await self._ready()
        except SandboxRefused as exc:
            return self._report or SandboxReport(level="none", reasons=(str(exc),))
        except SandboxUnavailable as exc:
            return SandboxReport(level="none", reasons=(str(exc),))
        return self._report or SandboxReport(level="none", reasons=("The code sandbox is closed.",))

    async def execute(
        self,
        language: str,
        code: str,
        inputs: Mapping[str, Any],
        *,
        timeout: float = 15.0,
        memory_mb: int | None = None,
    ) -> Any:
        """Call the code's `main` with `inputs` and return its value; `timeout` is in seconds of wall clock.

        Raises CodeExecutionError with the user's own traceback, or SandboxRefused or SandboxUnavailable (retryable).
        """
        if language not in get_args(Language):
            known = ", ".join(get_args(Language))
            raise CodeExecutionError(f"The language {language!r} cannot be run.", hint=f"Use one of: {known}.")
        try:
            payload = msgspec.json.encode(dict(inputs))
        except (TypeError, ValueError, msgspec.MsgspecError) as exc:
            raise CodeExecutionError(f"The inputs of the code are not JSON: {exc}") from exc
        kind: Language = "python3" if language == "python3" else "javascript"
        result = await self.run(kind, code, payload, timeout=timeout, memory_mb=memory_mb)
        if result.result is None:
            raise CodeExecutionError(result.error or "The code failed.", error_type=result.error_type)
        try:
            return msgspec.json.decode(result.result)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise CodeExecutionError(f"main returned a value that is not JSON: {exc}", error_type="NotJSON") from exc

    async def run(
        self, language: Language, code: str, inputs: bytes, *, timeout: float, memory_mb: int | None = None
    ) -> SandboxResult:
        """Run `main` of `code` with `inputs`, the JSON text of an object; `timeout` seconds start when a slot is free.

        Errors of the code are in the result. Raises SandboxRefused if this machine cannot isolate, SandboxUnavailable
        (retryable) if the helper failed. Cancelling the call ends the run.
        """
        if not 0 < timeout <= _LONGEST_SECONDS or not 0 < (memory_mb or self.settings.memory_mb) <= _MOST_MIB:
            raise CodeExecutionError(f"A limit is out of range: timeout {timeout} s, memory {memory_mb} MiB.")
        source = code.encode("utf-8", "replace")
        if len(source) + len(inputs) > self.settings.input_limit:
            raise CodeExecutionError(f"Code and inputs are over {self.settings.input_limit} bytes.")
        async with self._slots:
            self._active += 1
            self._cancel_idle()
            try:
                zygote = await self._ready()
                return await self._run_in(zygote, language, wire.join_program(source, inputs), timeout, memory_mb)
            finally:
                self._active -= 1
                self._plan_idle()

    async def _ready(self) -> Zygote:
        """Return a live helper whose jail was tested; start one if need be. A refusal is remembered."""
        async with self._starting:
            if self._closed:
                raise SandboxUnavailable("The code sandbox is closed.", hint="The process is shutting down.")
            if self._report is not None and self._report.level == "none":
                raise _refusal(self._report.reasons)
            if self._zygote is not None and not self._zygote.dead:
                return self._zygote
            if self._zygote is not None:
                await self._zygote.close()
                self._zygote = None
            zygote = await self._start_tested()
            self._zygote = zygote
            self._report = SandboxReport(level="full", languages=zygote.languages)
            return zygote

    async def _start_tested(self) -> Zygote:
        try:
            if not sys.platform.startswith("linux"):
                raise SandboxRefused(f"user code runs on Linux only, not on {sys.platform}")
            zygote = await Zygote.start(self.settings.scratch_mb * _MIB, _folder(self.settings.packages))
        except SandboxRefused as exc:
            self._report = SandboxReport(level="none", reasons=(exc.message,))
            raise _refusal(self._report.reasons) from exc
        try:
            inputs = msgspec.json.encode({"hidden": selftest.hidden_files()})
            program = wire.join_program(selftest.PROGRAM.encode(), inputs)
            result = await self._run_in(zygote, "python3", program, 10.0, None)
            if result.result is None:
                found: tuple[str, ...] = (f"the jail does not hold a run: {result.error}",)
            else:
                found = selftest.problems(msgspec.json.decode(result.result))
        except BaseException:
            await zygote.close()
            raise
        if found:
            await zygote.close()
            self._report = SandboxReport(level="none", reasons=found)
            raise _refusal(found)
        return zygote

    async def _run_in(
        self, zygote: Zygote, language: Language, program: bytes, timeout: float, memory_mb: int | None
    ) -> SandboxResult:
        memory = (memory_mb or self.settings.memory_mb) * _MIB
        limits = (timeout, memory, self.settings.output_limit, self.settings.result_limit)
        job = wire.Job(next(self._ids), wire.LANGUAGES.index(language), *limits)

        def stop() -> None:
            zygote.kill(job.id)

        with (
            contextlib.closing(PipeReader(job.output_limit, stop)) as output,
            contextlib.closing(PipeReader(job.result_limit + _ERROR_ROOM, stop)) as answer,
        ):
            source = _memory_file(program)
            try:
                ended = zygote.run(job, (source, answer.write_end, output.write_end))
            finally:
                os.close(source)
            answer.release_writer()
            output.release_writer()
            try:
                async with asyncio.timeout(timeout + self.settings.grace_seconds):
                    end = await ended
                    await answer.finished()
                    await output.finished()
            except TimeoutError as exc:
                await zygote.close()
                raise SandboxUnavailable("The sandbox's helper process hangs.", hint="Run it again.") from exc
            finally:
                stop()
        return _result(job, end, answer, output)

    def _plan_idle(self) -> None:
        if self._active == 0 and self._zygote is not None and not self._closed:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self.settings.idle_seconds, self._stop_idle)

    def _cancel_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _stop_idle(self) -> None:
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            self._idle_task = asyncio.get_running_loop().create_task(zygote.close())


def _folder(path: str) -> str:
    """The folder of further packages, absolute; SandboxRefused where there is none of that name."""
    folder = os.path.realpath(path) if path else ""
    if folder and not os.path.isdir(folder):
        raise SandboxRefused(f"the folder of SANDBOX_PACKAGES, {path}, does not exist")
    return folder


def _memory_file(data: bytes) -> int:
    """Return a descriptor of an anonymous file with `data`, at its beginning."""
    fd = os.memfd_create("program", os.MFD_CLOEXEC)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _refusal(reasons: tuple[str, ...]) -> SandboxRefused:
    why = "; ".join(reasons)
    return SandboxRefused(f"User code cannot be isolated on this machine: {why}.", hint=selftest.remedy())


def _result(job: wire.Job, end: wire.Exit, answer: PipeReader, output: PipeReader) -> SandboxResult:
    """Judge a run by how its process ended first, and by what it wrote second: user code may write anything."""
    kind, error, result = _verdict(job, end, bytes(answer.data), flooded=output.overflowed or answer.overflowed)
    return SandboxResult(
        result=result,
        stdout=output.data.decode("utf-8", "replace"),
        stdout_truncated=output.overflowed,
        error=error,
        error_type=kind,
        elapsed=end.wall,
        cpu=end.cpu,
        peak_memory=end.peak_rss,
    )


def _verdict(
    job: wire.Job, end: wire.Exit, answer: bytes, *, flooded: bool
) -> tuple[str | None, str | None, bytes | None]:
    """Return error type, error text and result; either the first two or the last is None."""
    if end.reason == wire.NOT_STARTED:
        why = os.strerror(end.status)
        raise SandboxUnavailable(f"The sandbox could not start a process: {why}.", hint="Run it again.")
    if end.reason == wire.TIMED_OUT:
        return "Timeout", f"The code ran longer than {job.timeout:g} s and was stopped.", None
    if end.reason == wire.KILLED:
        why = "wrote around the limit of its output" if flooded else "was stopped"
        return "Killed", f"The code {why}.", None
    letter, body = answer[:1], answer[1:]
    if letter == b"S":
        why = body[:_KIND_ROOM].decode("utf-8", "replace")
        return "SandboxFailed", f"The jail could not be closed, so the code did not run: {why}", None
    if end.status == 0 and letter == b"R":
        return None, None, body
    if end.status == 0 and letter == b"E":
        kind, _, text = body[:_ERROR_ROOM].decode("utf-8", "replace").partition("\n")
        return kind[:_KIND_ROOM], text, None
    how = f"signal {-end.status}" if end.status < 0 else f"exit status {end.status}"
    return "NoResult", f"The code ended its process ({how}) before main returned.", None
