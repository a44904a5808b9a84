"""The stream of a run over the bus: pieces of text, and how far the log has come, for whoever follows from elsewhere.

What has ended up in the log is read there; the stream says when to look, and carries the text between. It is capped and
forgotten after an hour. What a dead process did not get to send is not missed: the run says its text anew when it
is taken up, and a reader that finds a gap gets the whole answer at the end.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec
import redis.asyncio as redis
from dify_kernel.graph.events import Event, RunFinished, StreamChunk

from dify_host.runs.handle import Watcher
from dify_host.runs.well_formed import well_formed

__all__ = ["ALL_PIECES", "Entry", "Piece", "Position", "RunStreams", "stream_key"]

log = logging.getLogger(__name__)

_LONGEST = 5000
_SECONDS = 3600

Position = tuple[int, int]
"""Where a reader is: the seq of the last logged event, and how many pieces of text behind it."""


#: More pieces of text than there can be behind one event: the position of who has them all.
ALL_PIECES = 10**15


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """A piece of text."""

    seq: int
    offset: int
    selector: tuple[str, ...]
    text: str


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What happened between two positions: pieces in order, then `to`, which the log has."""

    since: Position
    pieces: list[Piece]
    to: Position


class _Open(msgspec.Struct):
    """A run as far as its stream was written, and what is not yet."""

    since: Position
    to: Position
    pieces: list[Piece]
    written: bool = False
    ended: bool = False


def stream_key(run_id: str) -> str:
    """The key of a run's stream."""
    return f"dify:runs:stream:{run_id}"


class RunStreams(Watcher):
    """Writes the streams of this process's runs, all that gathered at once every `every` seconds.

    A run that is over by then without a text has no stream: the log tells everything.
    """

    def __init__(self, bus: redis.Redis, *, every: float = 0.1) -> None:
        self._bus, self._every = bus, every
        self._open: dict[str, _Open] = {}
        self._dirty: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def visible(self, run_id: str, events: list[Event]) -> None:
        """Note what may be seen; it is written soon."""
        run = self._open.get(run_id)
        if run is None:
            first: Position = (events[0].seq - 1, 0)
            run = self._open[run_id] = _Open(since=first, to=first, pieces=[])
        for event in events:
            if isinstance(event, StreamChunk):
                run.pieces.append(Piece(event.seq, event.offset, tuple(event.selector), event.text))
                run.to = (event.seq, event.offset)
            else:
                run.to = (event.seq, 0)
        run.ended = isinstance(events[-1], RunFinished)
        self._dirty.add(run_id)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._later(), name="run-streams")

    async def close(self) -> None:
        """Write what is left."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _later(self) -> None:
        while self._dirty:
            await asyncio.sleep(self._every)
            await self._write()

    async def _write(self) -> None:
        dirty, self._dirty = self._dirty, set()
        pipe = self._bus.pipeline(transaction=False)
        count = 0
        for run_id in dirty:
            run = self._open[run_id]
            if run.written or run.pieces or not run.ended:
                count += 1
                key, entry = stream_key(run_id), Entry(run.since, run.pieces, run.to)
                pipe.xadd(key, {b"e": _encode(entry)}, maxlen=_LONGEST, approximate=True)
                if not run.written or run.ended:
                    pipe.expire(key, _SECONDS)
            run.written, run.since, run.pieces = True, run.to, []
            if run.ended:
                del self._open[run_id]
        if not count:
            return
        try:
            await pipe.execute()
        except (redis.RedisError, OSError) as exc:
            log.warning("Readers elsewhere miss some text of %d runs: %s", count, exc)


def _encode(entry: Entry) -> bytes:
    try:
        return msgspec.json.encode(entry)
    except UnicodeEncodeError:
        return msgspec.json.encode(well_formed(msgspec.to_builtins(entry)))
