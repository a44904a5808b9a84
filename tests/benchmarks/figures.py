"""What the benchmarks count: CPU and memory of process trees, percentiles, and the tables they print."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

__all__ = ["ROOT", "Row", "command_cpu", "environment", "percentile", "show", "tree", "tree_cpu"]

ROOT = Path(__file__).parents[2]
Row = tuple[str, ...]


def environment(**extra: str) -> dict[str, str]:
    """The environment of measured processes: bytecode is cached, as in an installation, but not in the checkout."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "DIFY_", "DB_", "REDIS_", "DATABASE_URL", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "PYTHONPYCACHEPREFIX": str(ROOT / ".pytest_cache" / "benchmark-bytecode"), **extra}


def tree(process: psutil.Process) -> list[psutil.Process]:
    """A process and everything below it."""
    return [process, *process.children(recursive=True)]


def tree_cpu(process: psutil.Process) -> float:
    """CPU seconds of a whole tree so far, children that have ended included (those that their parent waited for)."""
    seconds = 0.0
    for each in tree(process):
        times = each.cpu_times()
        seconds += times.user + times.system
        seconds += times.children_user + times.children_system
    return seconds


def command_cpu(command: Sequence[str], *, times: int = 3, env: dict[str, str] | None = None) -> float:
    """CPU seconds of a short command; the least of several, as anything else on the machine only adds."""
    return min(_once(command, env or environment()) for _ in range(times))


def _once(command: Sequence[str], env: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(list(command), env=env, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which that part (0..1) of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def show(title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Print a table; pytest shows it with `-s`."""
    table = Table(title=title, title_justify="left")
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    Console(file=sys.stdout, width=120).print(table)
