"""Reads an answer out while it is written: sentence by sentence, in order, one call at a time."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from dify_kernel.errors import DifyError

__all__ = ["Reader", "first_sentences"]

log = logging.getLogger(__name__)

#: The shortest piece worth a call, in characters, and the longest that waits for its sentence to end.
_SHORT, _LONG = 20, 600
_END: Final = re.compile(r"[.!?;\n](?=\s|$)|[。！？；…]")


def first_sentences(text: str) -> tuple[str, str]:
    """What can be read out of a text that goes on, and what must wait; the first part may be empty."""
    ends = [match.end() for match in _END.finditer(text) if match.end() >= _SHORT]
    # The last mark may be in the middle of something: `3.` goes on as `3.5`.
    whole = [end for end in ends if end < len(text) or not text[end - 1].isascii() or text[end - 1] == "\n"]
    if whole:
        return text[: whole[-1]], text[whole[-1] :]
    return (text, "") if len(text) > _LONG else ("", text)


class Reader:
    """Takes text as it comes and plays its sound. A model that fails is logged and ends the sound, not the answer."""

    def __init__(
        self, speak: Callable[[str], AsyncGenerator[bytes, None]], play: Callable[[bytes], None], *, app_id: str
    ) -> None:
        self._speak, self._play, self._app_id = speak, play, app_id
        self._rest = ""
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._read(), name="autoplay")

    def feed(self, text: str) -> None:
        """Take a further piece of the answer."""
        ready, self._rest = first_sentences(self._rest + text)
        if ready.strip():
            self._waiting.put_nowait(ready)

    async def finish(self) -> None:
        """Read what is left, and return when everything was played."""
        if self._rest.strip():
            self._waiting.put_nowait(self._rest)
        self._waiting.put_nowait(None)
        await self._task

    def stop(self) -> None:
        """Be quiet."""
        self._task.cancel()

    async def _read(self) -> None:
        try:
            while (text := await self._waiting.get()) is not None:
                async with aclosing(self._speak(text)) as pieces:
                    async for piece in pieces:
                        self._play(piece)
        except DifyError as exc:
            log.warning("an answer of app %s cannot be read out: %s", self._app_id, exc)
