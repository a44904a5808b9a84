"""What one rendering may spend: steps, characters, processor time; and how large a value prints.

A template runs in the process of the run, on its event loop: everything that can grow without bound asks here first.
"""

from __future__ import annotations

import random
import time
from collections.abc import ItemsView, Iterable, KeysView, ValuesView
from contextvars import ContextVar
from typing import Any, Final

__all__ = ["CURRENT", "Budget", "TemplateLimit"]

MAX_STEPS: Final = 500_000
MAX_CPU_SECONDS: Final = 0.5
#: Joining counts by this part of its result: most often the joined values are not needed any more.
JOINED: Final = 4
#: The longest single value, in printed characters, unless the output itself may be longer.
MAX_VALUE: Final = 1_000_000
#: Characters that all intermediate values together may have.
MAX_TOTAL: Final = 40_000_000
#: Larger numbers cannot be printed by Python anyway.
MAX_BITS: Final = 14_000
_CHECK_EVERY: Final = 64
#: Items of measured containers that are remembered at a time; they are kept alive for it.
_REMEMBERED: Final = 1_000_000


class TemplateLimit(Exception):
    """A rendering went over one of its limits."""


class Budget:
    """The allowance of one rendering; every method that spends raises TemplateLimit when nothing is left."""

    __slots__ = ("_deadline", "_keep", "_kept", "_seed", "_sizes", "_steps", "_total", "max_value")

    def __init__(self, *, seed: str = "", max_output: int = 0) -> None:
        self._steps = MAX_STEPS
        self._total = MAX_TOTAL
        self._deadline = time.thread_time() + MAX_CPU_SECONDS
        self._sizes: dict[int, int] = {}
        self._keep: list[Any] = []
        self._kept = 0
        self.max_value = max(MAX_VALUE, max_output)
        self._seed = seed

    def step(self, cost: int = 0) -> None:
        """Spend one step, and characters that are written without being measured."""
        self._steps -= 1
        self._total -= cost
        if self._steps < 0:
            raise TemplateLimit(f"The template took more than {MAX_STEPS} steps")
        if self._total < 0:
            raise TemplateLimit(f"The template made more than {MAX_TOTAL} characters of intermediate text")
        if self._steps % _CHECK_EVERY == 0:
            self.check_time()

    def check_time(self) -> None:
        """Raise when the processor time is used up."""
        if time.thread_time() > self._deadline:
            raise TemplateLimit(f"The template took longer than {MAX_CPU_SECONDS:g} s")

    def choose(self, items: list[Any]) -> Any:
        """A random item, the same one for the same seed and the same steps before it."""
        return random.Random(f"{self._seed}:{self._steps}").choice(items)  # noqa: S311 - repeatable, not secret

    def room(self, size: float, limit: int | None = None) -> None:
        """Raise when a value of that many characters would be too long."""
        most = self.max_value if limit is None else limit
        if size > most:
            raise TemplateLimit(f"A value in the template would be longer than {most} characters")

    def made(self, value: Any, share: int = 1) -> Any:
        """A value that an operation made: measured, counted (by a part, if it replaces another), and given back."""
        if isinstance(value, str | bytes):
            self.room(len(value))
            self.step(len(value) // share)
        elif isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise TemplateLimit("A number in the template is too large")
        elif isinstance(value, list | tuple | dict | set | frozenset):
            self.room(self.size(value))
            self.step(len(value) // share)
        return value

    def size(self, value: Any) -> int:
        """How many characters a value prints as, about; containers are measured once.

        A list that holds a list twice counts it twice: that is how it prints.
        """
        if isinstance(value, str | bytes):
            return len(value)
        if isinstance(value, dict):
            return self._container(value, (part for pair in value.items() for part in pair))
        if isinstance(value, list | tuple | set | frozenset):
            return self._container(value, value)
        if isinstance(value, _VIEWS):
            return self._measure(value)
        return value.bit_length() // 3 + 1 if isinstance(value, int) else 30

    def _container(self, value: Any, parts: Iterable[Any]) -> int:
        known = self._sizes.get(id(value))
        if known is None:
            known = self._measure(parts)
            self.remember(value, known)
        return known

    def remember(self, value: Any, size: int) -> None:
        """Note the size of a container; it is kept alive, because an id is only valid as long as its object is."""
        self._kept += len(value) + 1
        if self._kept > _REMEMBERED:
            self._sizes.clear()
            self._keep.clear()
            self._kept = 0
        self._sizes[id(value)] = size
        self._keep.append(value)

    def _measure(self, parts: Iterable[Any]) -> int:
        total = 2
        for count, part in enumerate(parts):
            total += self.size(part) + 2
            if count % 1024 == 1023:
                self.check_time()
        return total


_VIEWS: Final = (KeysView, ValuesView, ItemsView)

#: The budget of the rendering that is under way in this context.
CURRENT: Final[ContextVar[Budget]] = ContextVar("template_budget")
