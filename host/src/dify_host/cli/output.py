"""What commands print: for people tables and colour, with `--json` one object as the last line; errors too."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Output", "print_error"]


class Output:
    """The output of one command. Everything but `result` and `event` is for people and is silent with `--json`."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    @property
    def live(self) -> bool:
        """Whether somebody watches: only a terminal can show what moves."""
        return not self.json and sys.stdout.isatty()

    def result(self, value: Any) -> None:
        """Print the outcome as one line of JSON; for people it was said already."""
        if self.json:
            self.event(value)

    def event(self, value: Any) -> None:
        """Print one line of JSON, in both modes."""
        import msgspec

        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
        sys.stdout.flush()

    def say(self, text: str, *, style: str = "") -> None:
        """Print a line."""
        if not self.json:
            self.console().print(text, style=style or None, highlight=False, markup=False)

    def done(self, text: str) -> None:
        """Print a line that says that something worked."""
        if not self.json:
            console = self.console()
            console.print("[green]✓[/green] ", end="")
            console.print(text, highlight=False, markup=False)

    def write(self, text: str) -> None:
        """Print a piece of a text that flows; no line end is added."""
        if not self.json:
            sys.stdout.write(text)
            sys.stdout.flush()

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print a table; its title is plain, and cells may hold rich's markup only if they are rich's own texts."""
        if self.json:
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(title), title_justify="left", header_style="bold", title_style="bold cyan")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else Text(_shown(cell)) for cell in row))
        self.console().print(table)

    def console(self) -> Console:
        """Return rich's console on the standard output, wide enough to be searched when that is no terminal."""
        from rich.console import Console

        return Console(width=None if sys.stdout.isatty() else 160)


def print_error(code: str, message: str, *, json: bool) -> None:
    """Print an error: one JSON object on the standard output, or two words and a sentence on the error output."""
    if json:
        Output(json=True).event({"code": code, "message": message})
        return
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(Text.assemble(("Error ", "bold red"), (f"{code}: ", "red"), message))


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
