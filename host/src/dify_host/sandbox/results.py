"""What goes in and out of the sandbox: settings, the result of a run, the report about this machine, the errors."""

from __future__ import annotations

from typing import Literal

import msgspec
from dify_kernel.errors import CodeExecutionError

__all__ = ["Language", "SandboxRefused", "SandboxReport", "SandboxResult", "SandboxSettings", "SandboxUnavailable"]

Language = Literal["python3", "javascript"]


class SandboxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the local sandbox. Memory in use is at most `concurrency` times (`memory_mb` + `scratch_mb`)."""

    concurrency: int = 4
    """Runs at the same time; more wait in line."""
    memory_mb: int = 256
    """Memory of a run that names no limit of its own, MiB."""
    scratch_mb: int = 16
    """Size of a run's private /tmp, MiB; held in memory."""
    output_limit: int = 65_536
    """Captured output of a run, bytes; the rest is dropped."""
    result_limit: int = 8_388_608
    """JSON of a run's result, bytes; a larger one is an error."""
    input_limit: int = 33_554_432
    """Code and inputs of a run together, bytes."""
    grace_seconds: float = 5.0
    """How long after a run's time limit the helper process may stay silent before it is replaced."""
    packages: str = ""
    """Folder of packages that Python code may import; only what the operator put there is seen."""
    idle_seconds: float = 600.0
    """The helper process ends after this long without a run, and starts again with the next one."""


class SandboxResult(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `result` is JSON text, None after an error; then `error` is the text for the user.

    `error_type` is the exception's class name, or one of MainMissing, NotJSON, ResultTooLarge, MemoryError, Timeout,
    Killed, NoResult, LanguageMissing, SandboxFailed. `elapsed` and `cpu` are seconds, `peak_memory` bytes.
    """

    result: bytes | None
    stdout: str
    stdout_truncated: bool
    error: str | None
    error_type: str | None
    elapsed: float
    cpu: float
    peak_memory: int


class SandboxReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether user code can run: `full` isolation here or `none`, with every reason, and nothing in between.

    `remote` is a service that ran a program; its walls are not tried from here.
    """

    level: Literal["full", "remote", "none"]
    reasons: tuple[str, ...] = ()
    languages: tuple[Language, ...] = ()


class SandboxRefused(CodeExecutionError):
    """This machine does not allow the isolation that user code needs, so no user code runs on it."""

    code = "sandbox_refused"
    status = 503


class SandboxUnavailable(CodeExecutionError):
    """The sandbox's helper process failed; the same run may be repeated."""

    code = "sandbox_unavailable"
    status = 503
    retryable = True
