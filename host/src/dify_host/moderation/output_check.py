"""Judges an answer while it is written: each so many characters the text so far, and the whole of it at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dify_host.moderation.judge import Judge

__all__ = ["OutputCheck"]


class OutputCheck:
    """One answer under judgement. What is shown of it is fed; the text goes on to be shown while a judge is asked.

    `replaced` is called with the text that takes the place of what was shown. Once `closed`, nothing further may be.
    """

    def __init__(self, judge: Judge, *, buffer: int) -> None:
        self._judge, self._buffer = judge, max(buffer, 1)
        self._text = self._passed = ""
        self._asking: asyncio.Task[None] | None = None
        self._asked = 0
        self._instead: str | None = None
        self._over = False
        self.replaced: Callable[[str], None] = lambda _text: None
        self.closed = False

    def feed(self, text: str) -> None:
        """Take a further piece of the answer."""
        self._text += text
        if not self.closed and not self._busy() and len(self._text) - self._asked >= self._buffer:
            self._asking = asyncio.create_task(self._ask(self._text), name="output-check")

    async def finish(self, answer: str) -> str | None:
        """What stands in the place of the whole answer; None when it may stay. Raises what the judge raised."""
        self._over = True
        if self._asking is not None:
            await self._asking
        if self.closed:
            return self._instead
        if answer == self._passed:
            return None
        verdict = await self._judge.output(answer)
        if verdict is None:
            return None
        self.closed = verdict.final
        return verdict.text

    def stop(self) -> None:
        """Ask nobody any more."""
        self._over = True
        if self._asking is not None:
            self._asking.cancel()

    def _busy(self) -> bool:
        """Whether an answer is awaited, or the judge has failed: then the end tells."""
        if self._over:
            return True
        return self._asking is not None and (not self._asking.done() or self._asking.exception() is not None)

    async def _ask(self, text: str) -> None:
        self._asked = len(text)
        verdict = await self._judge.output(text)
        if verdict is None:
            self._passed = text
            return
        self.closed = verdict.final
        self._instead = verdict.text if verdict.final else verdict.text + self._text[len(text) :]
        self.replaced(self._instead)
