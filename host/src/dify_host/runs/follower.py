"""Follows a run from anywhere: what happened comes from its log, the text between from its stream on the bus.

Behind the position that a reader names nothing is missing and nothing comes twice, whichever processes had the run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec
import redis.asyncio as redis
from dify_kernel.errors import DifyError
from dify_kernel.graph.events import AnyEvent, Event, RunFinished, RunPaused, RunResumed, StreamChunk

from dify_host.runs.event_log import SqlRunLogStore
from dify_host.runs.run_streams import ALL_PIECES, Entry, Position, stream_key

__all__ = ["RunFollower", "TextReplaced"]

log = logging.getLogger(__name__)

_decode = msgspec.json.Decoder(Entry).decode
#: Seconds of silence on the bus after which the log is looked at all the same.
_LOOK = 1.0
#: Seconds for which a reader waits for a log that cannot be read.
_PATIENCE = 60.0
_AGAIN = 0.5


class TextReplaced(Event, kw_only=True, tag="text_replaced"):
    """The text of the run from its beginning; what was said before may have gaps."""

    text: str = ""


class RunFollower:
    """Reads the runs of all processes."""

    def __init__(self, bus: redis.Redis, store: SqlRunLogStore) -> None:
        self._bus, self._store = bus, store

    async def follow(
        self, run_id: str, *, after: Position = (0, 0), idle: float | None = None, through_pauses: bool = False
    ) -> AsyncIterator[list[Event]]:
        """The events behind a position, in batches; ends after the last one, or after a pause.

        With `idle` comes an empty batch for each so many seconds of silence. `through_pauses` goes on when the run
        waits for somebody, until it has ended.
        """
        reader = _Reader(self._load, run_id, after)
        cursor, quiet, patience = "0-0", time.monotonic(), 0.0
        while True:
            entries = await self._read(run_id, cursor, patience)
            batch: list[Event] = []
            for entry_id, entry in entries:
                cursor = entry_id
                batch += await reader.take(entry)
            if not entries:
                batch = await reader.catch_up()
                if reader.at_end:
                    return
                patience = _LOOK if idle is None else min(_LOOK, idle)
            if batch:
                quiet = time.monotonic()
                yield batch
                if await reader.over(batch, through_pauses):
                    return
            elif idle is not None and not reader.knows_more and time.monotonic() - quiet >= idle:
                quiet = time.monotonic()
                yield []

    async def wait(self, run_id: str) -> RunFinished | RunPaused:
        """How the run ends, or that it waits for somebody."""
        while True:
            events = await self._load(run_id)
            last = events[-1] if events else None
            if isinstance(last, RunFinished | RunPaused):
                return last
            async for _ in self.follow(run_id, after=(last.seq if last else 0, 0)):
                pass

    async def begun(self, run_id: str) -> bool:
        """Whether the start of the run was written; waits for a database that is away."""
        return bool(await self._load(run_id))

    async def _load(self, run_id: str, *, after: int = 0) -> list[AnyEvent]:
        """What the log says behind an event; waited for while the database is away."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return await self._store.load(run_id, after=after)
            except DifyError as exc:
                if not exc.retryable or time.monotonic() > until:
                    raise
                log.debug("The log of run %s cannot be read just now: %s", run_id, exc)
            await asyncio.sleep(_AGAIN)

    async def _read(self, run_id: str, cursor: str, patience: float) -> list[tuple[str, Entry]]:
        """New entries of the stream, waited for; none while the bus is away."""
        block = int(patience * 1000) or None
        try:
            found: Any = await self._bus.xread({stream_key(run_id): cursor}, count=100, block=block)
        except (redis.RedisError, OSError) as exc:
            log.debug("The stream of run %s cannot be read just now: %s", run_id, exc)
            await asyncio.sleep(patience)
            return []
        return [(entry_id.decode(), _decode(data[b"e"])) for _, items in found or [] for entry_id, data in items]


class _Load(Protocol):
    async def __call__(self, run_id: str, *, after: int = 0) -> list[AnyEvent]: ...


class _Reader:
    """One reader: its position, and up to where it has all the text."""

    def __init__(self, load: _Load, run_id: str, after: Position) -> None:
        self._load, self._run_id = load, run_id
        self._at = self._covered = after
        self._lost = False
        self._spotted: int | None = None
        #: Whether it has seen events in the log that it leaves to the stream for a moment.
        self.knows_more = False
        #: Whether there was nothing behind the position that the reader began with.
        self.at_end = False

    async def take(self, entry: Entry) -> list[Event]:
        """What of an entry of the stream is behind the position."""
        self._spotted = self._spotted or 0
        if entry.to <= self._covered:
            return []
        events: list[Event] = []
        if entry.since > self._covered:
            # What the log has of the gap comes first: a run that was taken up in it may have said the text anew.
            events += await self._log(until=entry.since[0])
            self._lost = self._lost or entry.since > self._covered
        covered, self._covered = self._covered, entry.to
        for piece in entry.pieces:
            if (piece.seq, piece.offset) <= self._at:
                # The log was ahead of the stream: the reader is past the place of a piece that it did not get.
                self._lost = self._lost or (piece.seq, piece.offset) > covered
                continue
            if piece.seq > self._at[0]:
                events += await self._log(until=piece.seq)
            self._at = (piece.seq, piece.offset)
            if not self._lost:
                events.append(
                    StreamChunk(
                        seq=piece.seq,
                        offset=piece.offset,
                        at=time.time(),
                        selector=piece.selector,
                        text=piece.text,
                    )
                )
        if entry.to[0] > self._at[0]:
            events += await self._log(until=entry.to[0])
        return events

    async def catch_up(self) -> list[Event]:
        """What the log has behind the position, as the stream says nothing.

        What is new there since the last look may be on its way in the stream, with text before it: it is told at the
        next look, if the stream is silent still. Where there is no stream at all the first look tells everything.
        """
        events = await self._load(self._run_id, after=self._at[0] - 1)
        last = events[-1] if events else None
        newest = last.seq if last is not None else 0
        self.at_end = isinstance(last, RunFinished) and newest <= self._at[0]
        until = newest if self._spotted is None else self._spotted
        self._spotted, self.knows_more = newest, newest > max(until, self._at[0])
        return self._told([event for event in events if self._at[0] < event.seq <= until])

    async def _log(self, *, until: int) -> list[Event]:
        events = await self._load(self._run_id, after=self._at[0])
        return self._told([event for event in events if event.seq <= until])

    def _told(self, events: list[AnyEvent]) -> list[Event]:
        told: list[Event] = []
        for event in events:
            if isinstance(event, RunResumed) and event.cause == "recovered":  # it says the whole text up to here
                self._lost, self._covered = False, max(self._covered, (event.seq, 0))
            if isinstance(event, RunFinished):
                told += self._whole(event)
            told.append(event)
            self._at = (event.seq, 0)
        return told

    def _whole(self, event: RunFinished) -> list[Event]:
        """The whole answer, for a reader that has missed a part of it, or may have."""
        answer = event.outputs.get("answer")
        missed = self._lost or self._covered < (event.seq - 1, ALL_PIECES)
        if not missed or not isinstance(answer, str) or not answer:
            return []
        return [TextReplaced(seq=event.seq - 1, at=event.at, text=answer)]

    async def over(self, batch: list[Event], through_pauses: bool) -> bool:
        """Whether the batch is the last: the run has ended, or it waits for somebody still."""
        last = batch[-1]
        if isinstance(last, RunPaused) and not through_pauses:
            return not await self._load(self._run_id, after=last.seq)
        return isinstance(last, RunFinished)
