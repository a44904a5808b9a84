"""`dify trace`: where the time of a run went, as a table with bars."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from dify_host.cli.call import Call, takes_call

if TYPE_CHECKING:
    from dify_host.runs.trace import NodeTrace, RunTrace

__all__ = ["trace"]

_WIDTH = 48  # characters of a bar over the whole run


@click.command()
@click.argument("run_id")
@takes_call
def trace(call: Call, run_id: str) -> None:
    """Show where the time of a run went: what each node waited (·) and how long it ran (█)."""
    import msgspec

    found = call.run(_trace(call, run_id))
    call.out.result(msgspec.to_builtins(found))
    rows = [
        ("  " * depth + label, node.status, _ms(node.queue_ms), _ms(node.run_ms), _bar(node, found.total_ms))
        for depth, label, node in _rows(found.nodes)
    ]
    call.out.table(f"Run {found.run_id}", ["node", "status", "waited", "ran", "time"], rows)
    idle = sum(gap.length_ms for gap in found.gaps)
    parts = f"{_ms(found.busy_ms)} at work, {_ms(idle)} between nodes"
    call.out.say(f"{found.status} in {_ms(found.total_ms)}: {parts}", style="bold")


async def _trace(call: Call, run_id: str) -> RunTrace:
    from dify_host.runs.run_records import RunRecords
    from dify_host.runs.trace import trace_run

    async with call.workspace() as (platform, _, owner):
        records = RunRecords(platform.db, owner.tenant, platform.payloads)
        run = await records.detail(await records.app_of(run_id), run_id)
        return trace_run(run_id, await platform.run_logs.load(run_id, payloads=False), run["graph"])


def _rows(nodes: list[NodeTrace], depth: int = 0) -> Iterator[tuple[int, str, NodeTrace]]:
    for node in nodes:
        again = f" ({len(node.attempts)} failed before)" if node.attempts else ""
        yield depth, f"{node.title or node.node_id}{again}", node
        for each in node.rounds:
            for deep, label, inner in _rows(each.nodes, depth + 1):
                yield deep, f"{each.index}: {label}" if deep == depth + 1 else label, inner


def _bar(node: NodeTrace, total: float) -> str:
    scale = _WIDTH / total if total else 0.0
    start, begin = round(node.ready_ms * scale), round(node.started_ms * scale)
    end = max(round((node.started_ms + node.run_ms) * scale), begin + 1)
    return " " * start + "·" * (begin - start) + "█" * (end - begin)


def _ms(value: float) -> str:
    return f"{value / 1000:.2f} s" if value >= 10_000 else f"{value:.1f} ms"
