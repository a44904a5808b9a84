"""Prints the table of vector stores from their plugins; `--write` puts it between the markers of docs/vector-stores.md.

What a store can do is read from its class, its names from its project file, and what proved it from its last run.
"""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from pathlib import Path

from dify_kernel.contracts.vector import VectorCapabilities
from dify_kernel.proof import Proven, read_proofs
from dify_kernel.registry import Registry

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "vector-stores.md"
BEGIN = "<!-- stores:begin -->"
END = "<!-- stores:end -->"
CLASSES = ("live", "compatible", "simulated", "unproven")


def table() -> str:
    """How many stores are of each class, and a row for each: what it can do, and what proved it."""
    registry = Registry()
    head = ["| `VECTOR_STORE` | full text | hybrid | longest vector | class | proven against | checks passed |"]
    rows, classes = [*head, "|---|---|---|---|---|---|---|"], Counter[str]()
    for path in sorted((ROOT / "plugins").glob("vdb_*/pyproject.toml")):
        folder = path.parent
        entries = tomllib.loads(path.read_text("utf-8"))["project"]["entry-points"]["dify.vdb"]
        names = sorted(entries)
        can: VectorCapabilities = registry.get("vdb", names[0]).factory.capabilities
        proofs = read_proofs(folder / "src" / f"dify_{folder.name}")
        kind, engine, passed = _best(proofs)
        classes[kind] += 1
        shown = " ".join(f"`{name}`" for name in names)
        link = f"[{shown}](../{folder.relative_to(ROOT).as_posix()})"
        ability = (_yes(can.full_text), _yes(can.hybrid), f"{can.max_dimension:,}")
        rows.append(f"| {' | '.join((link, *ability, kind, engine, passed))} |")
    counts = ", ".join(f"{classes[kind]} {kind}" for kind in CLASSES if classes[kind])
    return "\n".join([f"{sum(classes.values())} stores: {counts}.", "", *rows])


def filled(text: str) -> str:
    """A text with the table between its markers; ValueError without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has no {BEGIN} followed by {END}.")
    return f"{before}{begin}\n{table()}\n{end}{after}"


def _best(proofs: list[Proven]) -> tuple[str, str, str]:
    """The strongest: its class, its engine, and how much of the suite passed."""
    if not proofs:
        return "unproven", "", ""
    best = proofs[0]
    return best.kind, best.engine, f"{best.passed} of {best.passed + best.skipped + best.gaps + best.failed}"


def _yes(can: bool) -> str:
    return "yes" if can else "no"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
    else:
        sys.stdout.write(f"{table()}\n")
