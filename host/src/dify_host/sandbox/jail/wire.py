"""The messages between the pool and the zygote: fixed binary records on a packet socket, one record a packet.

User code, inputs, output and results never pass through the zygote: the pool sends three file descriptors with each
job (input, result, output) and the jailed child works on those. So the memory which later children inherit holds no
tenant's data.

The zygote is kept small: what it imports does without `typing` and whatever else costs memory in an idle process.
"""

from __future__ import annotations

import struct

__all__ = [
    "EXIT",
    "EXITED",
    "KILL",
    "KILLED",
    "LANGUAGES",
    "NOT_STARTED",
    "READY",
    "REFUSED",
    "RUN",
    "TIMED_OUT",
    "Exit",
    "Job",
    "join_program",
    "pack_exit",
    "pack_job",
    "pack_kill",
    "split_program",
    "unpack_exit",
    "unpack_job",
    "unpack_kill",
]

RUN, KILL = 1, 2
READY, REFUSED, EXIT = 1, 2, 3
EXITED, TIMED_OUT, KILLED, NOT_STARTED = 0, 1, 2, 3
LANGUAGES = ("python3", "javascript")

_JOB = struct.Struct("<BQBdQQQ")
_KILL = struct.Struct("<BQ")
_EXIT = struct.Struct("<BQBiddQ")
_SIZES = struct.Struct("<QQ")


class Job:
    """One run: wall clock limit in seconds, the other limits in bytes."""

    __slots__ = ("id", "language", "memory", "output_limit", "result_limit", "timeout")

    def __init__(
        self, id: int, language: int, timeout: float, memory: int, output_limit: int, result_limit: int
    ) -> None:
        self.id = id
        self.language = language
        self.timeout = timeout
        self.memory = memory
        self.output_limit = output_limit
        self.result_limit = result_limit


class Exit:
    """How a run ended: `status` is an exit code, or a negative signal number; an errno when it did not start.

    `wall` and `cpu` are seconds, `peak_rss` bytes.
    """

    __slots__ = ("cpu", "id", "peak_rss", "reason", "status", "wall")

    def __init__(
        self, id: int, reason: int, status: int, wall: float = 0.0, cpu: float = 0.0, peak_rss: int = 0
    ) -> None:
        self.id = id
        self.reason = reason
        self.status = status
        self.wall = wall
        self.cpu = cpu
        self.peak_rss = peak_rss


def pack_job(job: Job) -> bytes:
    """Encode a request to run; the packet carries the descriptors input, result, output in this order."""
    limits = (job.timeout, job.memory, job.output_limit, job.result_limit)
    return _JOB.pack(RUN, job.id, job.language, *limits)


def unpack_job(data: bytes) -> Job:
    """Decode what `pack_job` made."""
    return Job(*_JOB.unpack(data)[1:])


def pack_kill(job_id: int) -> bytes:
    """Encode a request to end a run; unknown ids are ignored, since the run may just have ended."""
    return _KILL.pack(KILL, job_id)


def unpack_kill(data: bytes) -> int:
    """Decode the id of the run to end."""
    job_id: int = _KILL.unpack(data)[1]
    return job_id


def pack_exit(end: Exit) -> bytes:
    """Encode the end of a run."""
    return _EXIT.pack(EXIT, end.id, end.reason, end.status, end.wall, end.cpu, end.peak_rss)


def unpack_exit(data: bytes) -> Exit:
    """Decode the end of a run."""
    return Exit(*_EXIT.unpack(data)[1:])


def join_program(code: bytes, inputs: bytes) -> bytes:
    """Lay out a job's input descriptor: two sizes, the source text, the inputs as a JSON object."""
    return _SIZES.pack(len(code), len(inputs)) + code + inputs


def split_program(data: bytes) -> tuple[bytes, bytes]:
    """Return source text and inputs of what `join_program` made."""
    code_size, inputs_size = _SIZES.unpack_from(data)
    start = _SIZES.size
    return data[start : start + code_size], data[start + code_size : start + code_size + inputs_size]
