"""Judges an answer while it is written: each so many characters the text so far, and the whole of it at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dify_host.moderation.judge import Judge

__all__ = ["OutputCheck"]


class OutputCheck:
    """One answer under judgement. `replaced` is called with the text that takes the place of what was shown.

    The text goes on to be shown while a judge is asked; once `closed`, nothing further may be.
    """

    def __init__(self, judge: Judge, *, buffer: int, replaced: Callable[[str], None]) -> None:
        self._judge, self._buffer, self._replaced = judge, max(buffer, 1), replaced
        self._text = ""
        self._judged = 0
        self._asking: asyncio.Task[None] | None = None
        self._instead: str | None = None
        self.closed = False

    def feed(self, text: str) -> None:
        """Take a further piece of the answer."""
        self._text += text
        if not self.closed and not self._asked_in_vain() and len(self._text) - self._judged >= self._buffer:
            self._asking = asyncio.create_task(self._ask(self._text), name="output-check")

    async def finish(self, answer: str) -> str | None:
        """What stands in the place of the whole answer; None when it may stay. Raises what the judge raised."""
        if self._asking is not None:
            await self._asking
        if not self.closed and (answer != self._text or self._judged < len(answer) or self._instead is not None):
            verdict = await self._judge.output(answer)
            if verdict is not None or self._instead is not None:
                self._replaced(answer if verdict is None else verdict.text)
            self._instead = None if verdict is None else verdict.text
        self.closed = True
        return self._instead

    def stop(self) -> None:
        """Ask nobody any more."""
        if self._asking is not None:
            self._asking.cancel()

    def _asked_in_vain(self) -> bool:
        """Whether an answer is awaited, or the judge has failed: then the end tells."""
        return self._asking is not None and (not self._asking.done() or self._asking.exception() is not None)

    async def _ask(self, text: str) -> None:
        self._judged = len(text)
        verdict = await self._judge.output(text)
        if verdict is None:
            return
        self.closed = verdict.final
        self._instead = verdict.text if verdict.final else verdict.text + self._text[len(text) :]
        self._replaced(self._instead)
