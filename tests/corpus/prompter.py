"""Whose turn it is: which apps are played, and what the stand-ins say of the one that is played now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.corpus.answers import Answers

__all__ = ["PROMPTER", "Prompter"]


class Prompter:
    """One app is played at a time; the plugin of stand-ins has nobody else to ask."""

    def __init__(self) -> None:
        self.files: Sequence[Path] = ()
        self.now = Answers()


PROMPTER = Prompter()
