"""The run log: the durable, numbered record of a run. A protocol here; the host's log is SQL with group commit.

What we promise: a node runs at least once; its result is recorded once; a terminal state is reached once and never
changes; events are in order without gaps.
"""

from __future__ import annotations

from typing import Protocol

from dify_kernel.errors import LogError, RunFenced
from dify_kernel.graph.events import AnyEvent, Event, RunFinished, StreamChunk, decode_event, encode_event

__all__ = ["MemoryLogStore", "NullLog", "RunLog", "RunLogStore"]


class RunLog(Protocol):
    """The open log of one run, held by one process under a fencing token."""

    def append(self, event: Event) -> None:
        """Take an event whose seq is the next one; LogError on a gap or after the terminal event. Returns at once."""
        ...

    def push(self) -> object:
        """Send what was appended on its way, without waiting for it."""
        ...

    async def flush(self) -> None:
        """Return when everything appended is durable; RunFenced when another process took the run over."""
        ...


class RunLogStore(Protocol):
    """All run logs."""

    async def open(self, run_id: str, owner: str, *, ttl: float | None = None) -> RunLog:
        """Take the run's lease; RunFenced while another owner's lease is alive. A later open fences earlier ones."""
        ...

    async def load(self, run_id: str, *, after: int = 0) -> list[AnyEvent]:
        """The durable events with seq > after, in order."""
        ...


class NullLog:
    """A log that keeps nothing, for runs that need not survive (a file run from the terminal)."""

    def append(self, event: Event) -> None:
        """Forget the event."""

    def push(self) -> None:
        """Nothing to send."""

    async def flush(self) -> None:
        """Nothing to wait for."""


class MemoryLogStore:
    """The in-memory reference: every rule of the protocol, no durability."""

    def __init__(self) -> None:
        self._events: dict[str, list[bytes]] = {}
        self._tokens: dict[str, int] = {}

    async def open(self, run_id: str, owner: str, *, ttl: float | None = None) -> RunLog:
        """Open a log; earlier holders of the same run are fenced."""
        self._tokens[run_id] = self._tokens.get(run_id, 0) + 1
        return _MemoryLog(self, run_id, self._tokens[run_id])

    async def load(self, run_id: str, *, after: int = 0) -> list[AnyEvent]:
        """The events with seq > after."""
        return [decode_event(data) for data in self._events.get(run_id, [])[after:]]

    def put(self, run_id: str, token: int, events: list[Event]) -> None:
        """Keep events under a token; RunFenced when a newer one exists."""
        if self._tokens.get(run_id) != token:
            raise RunFenced(f"Run {run_id} was taken over by another process.", run_id=run_id)
        self._events.setdefault(run_id, []).extend(encode_event(event) for event in events)

    def state(self, run_id: str) -> tuple[int, bool]:
        """The last seq and whether the run has ended."""
        stored = self._events.get(run_id, [])
        return len(stored), bool(stored) and isinstance(decode_event(stored[-1]), RunFinished)


class _MemoryLog:
    def __init__(self, store: MemoryLogStore, run_id: str, token: int) -> None:
        self._store, self._run_id, self._token = store, run_id, token
        self._next, self._ended = store.state(run_id)
        self._pending: list[Event] = []

    def append(self, event: Event) -> None:
        check_next(event, self._next, self._ended)
        self._next += 1
        self._ended = isinstance(event, RunFinished)
        self._pending.append(event)

    def push(self) -> None:
        """What waits is written by the next flush."""

    async def flush(self) -> None:
        pending, self._pending = self._pending, []
        if pending:
            self._store.put(self._run_id, self._token, pending)


def check_next(event: Event, last: int, ended: bool) -> None:
    """Refuse what would break the log: a gap, a repeat, a chunk, or anything after the end."""
    if isinstance(event, StreamChunk):
        raise LogError("A stream chunk does not belong in the run log.")
    if ended:
        raise LogError(f"The run has ended; event {event.seq} cannot follow.")
    if event.seq != last + 1:
        raise LogError(f"The run log expects event {last + 1}, got {event.seq}.")
