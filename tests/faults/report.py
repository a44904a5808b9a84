"""The table at the end: what was survived, and how."""

from __future__ import annotations

from collections import Counter

from dify_kernel.graph.events import AnyEvent, RunFinished, RunResumed
from rich.console import Console
from rich.table import Table

from tests.faults.checks import repeated
from tests.faults.killer import Kill
from tests.faults.scenario import Outcome

__all__ = ["show", "summary"]


def summary(engine: str, seed: int, outcome: Outcome, before: set[str]) -> dict[str, str]:
    """The figures of one scenario; `before` are runs of earlier ones on the same stage."""
    logs = {run_id: log for run_id, log in outcome.evidence.logs.items() if run_id not in before}
    resumed = [run_id for run_id, log in logs.items() if any(_recovered(event) for event in log)]
    ends = Counter(log[-1].status for log in logs.values() if isinstance(log[-1], RunFinished))
    kills = Counter(kill.kind for kill in outcome.kills)
    recovery = max((_recovery(log, outcome.kills) for log in logs.values()), default=0.0)
    reconnects = sum(followed.reconnects for followed in outcome.callers.followed)
    return {
        "engine": engine,
        "seed": str(seed),
        "asked": str(outcome.callers.asked),
        "runs": str(len(logs)),
        "ends": " ".join(f"{count} {status}" for status, count in sorted(ends.items())),
        "documents": str(len({told.document_id for told in outcome.callers.accepted})),
        "kills": " ".join(f"{count} {kind}" for kind, count in sorted(kills.items())),
        "resumed": str(len(resumed)),
        "longest recovery": f"{recovery:.1f} s",
        "repeated effects": str(
            repeated(arrival for arrival in outcome.evidence.arrivals if arrival.key.partition(":")[0] in logs)
        ),
        "reconnects": str(reconnects),
        "answers lost": str(outcome.callers.lost),
        "refused": str(len(outcome.callers.refused)),
        "drained in": f"{outcome.drained:.1f} s",
        "duration": f"{outcome.seconds:.0f} s",
    }


def show(rows: list[dict[str, str]]) -> None:
    """Print them side by side."""
    if not rows:
        return
    table = Table(title="Faults survived")
    table.add_column("")
    for row in rows:
        table.add_column(f"{row['engine']} {row['seed']}")
    for name in list(rows[0])[2:]:
        table.add_row(name, *(row[name] for row in rows))
    Console(width=160).print(table)


def _recovered(event: AnyEvent) -> bool:
    return isinstance(event, RunResumed) and event.cause == "recovered"


def _recovery(log: list[AnyEvent], kills: list[Kill]) -> float:
    """The longest time from the first kill after an event to the going on that followed it."""
    longest, last = 0.0, 0.0
    for event in log:
        if _recovered(event):
            since = min((kill.at for kill in kills if last <= kill.at <= event.at), default=last)
            longest = max(longest, event.at - since)
        last = event.at
    return longest
