"""The trace of a run: pure arithmetic over its log, whatever the log holds."""

from __future__ import annotations

import pytest
from dify_host.runs.trace import trace_run
from dify_kernel.errors import NotFound
from dify_kernel.graph.events import (
    AnyEvent,
    NodeFinished,
    NodeRetried,
    NodeStarted,
    RoundBegun,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    Scope,
)
from hypothesis import given
from hypothesis import strategies as st

ZERO = 1_700_000_000.0


def started(name: str, at: float, scope: Scope = ()) -> NodeStarted:
    """A node that begins `at` milliseconds into the run."""
    return NodeStarted(execution_id=f"{name}{scope}", node_id=name, node_type="code", scope=scope, at=ZERO + at / 1000)


def ended(name: str, at: float, scope: Scope = (), status: str = "succeeded") -> NodeFinished:
    """The same node, done."""
    return NodeFinished(
        execution_id=f"{name}{scope}", node_id=name, node_type="code", scope=scope, status=status, at=ZERO + at / 1000
    )


def run(*events: AnyEvent, total: float) -> list[AnyEvent]:
    """A whole log."""
    return [RunStarted(at=ZERO), *events, RunFinished(status="succeeded", at=ZERO + total / 1000)]


def graph(*edges: tuple[str, str]) -> dict[str, object]:
    """A graph of edges alone."""
    return {"edges": [{"source": source, "target": target} for source, target in edges]}


def test_a_node_waits_from_the_end_of_the_last_node_that_it_needs() -> None:
    events = run(
        started("s", 1), ended("s", 2), started("a", 3), started("b", 3), ended("a", 10), ended("b", 20),
        started("c", 24), ended("c", 30), total=31,
    )  # fmt: skip
    trace = trace_run("r", events, graph(("s", "a"), ("s", "b"), ("a", "c")))
    found = {item.node_id: item for item in trace.nodes}
    assert (found["c"].ready_ms, found["c"].queue_ms, found["c"].run_ms) == (10, 14, 6)
    joined = trace_run("r", events, graph(("s", "a"), ("s", "b"), ("a", "c"), ("b", "c")))
    assert {item.node_id: item.queue_ms for item in joined.nodes}["c"] == 4
    assert [(gap.at_ms, gap.length_ms) for gap in trace.gaps] == [(0, 1), (2, 1), (20, 4), (30, 1)]
    assert trace.busy_ms == 24


def test_a_skipped_node_hands_on_what_it_waited_for() -> None:
    events = run(started("s", 0), ended("s", 5), started("c", 9), ended("c", 10), total=10)
    trace = trace_run("r", events, graph(("s", "skipped"), ("skipped", "c")))
    assert {item.node_id: item.ready_ms for item in trace.nodes} == {"s": 0, "c": 5}


def test_without_a_graph_a_node_was_ready_when_the_one_before_it_had_ended() -> None:
    events = run(started("s", 0), ended("s", 5), started("c", 9), ended("c", 10), total=10)
    assert trace_run("r", events).nodes[1].queue_ms == 4


def test_attempts_and_rounds_stand_in_their_node() -> None:
    first, second = (("loop", 0),), (("loop", 1),)
    again = NodeRetried(execution_id="a()", node_id="a", node_type="code", error="no", retry_index=1, at=ZERO + 0.004)
    rounds = [
        RoundBegun(execution_id="loop()", node_id="loop", node_type="loop", index=index, at=ZERO + at)
        for index, at in ((0, 0.011), (1, 0.016))
    ]
    events = run(
        started("a", 1), again, ended("a", 9), started("loop", 10), rounds[0], started("in", 12, first),
        ended("in", 15, first), rounds[1], started("in", 16, second), ended("in", 19, second), ended("loop", 20),
        total=20,
    )  # fmt: skip
    a, loop = trace_run("r", events).nodes
    assert [(item.retry_index, item.ended_ms, item.error) for item in a.attempts] == [(1, 4, "no")]
    assert [(item.index, item.started_ms, item.run_ms) for item in loop.rounds] == [(0, 11, 4), (1, 16, 3)]
    inner = loop.rounds[0].nodes[0]
    assert (inner.node_id, inner.ready_ms, inner.queue_ms, inner.run_ms) == ("in", 11, 1, 3)
    assert [(gap.at_ms, gap.length_ms) for gap in loop.rounds[0].gaps] == [(11, 1)]


def test_time_in_which_the_run_waits_for_somebody_is_a_pause() -> None:
    events = run(
        started("a", 0), ended("a", 5), RunPaused(at=ZERO + 0.006), RunResumed(at=ZERO + 0.1), started("b", 101),
        ended("b", 102), total=102,
    )  # fmt: skip
    (gap,) = trace_run("r", events).gaps
    assert (gap.length_ms, gap.paused) == (96, True)


def test_a_run_that_is_under_way_has_a_trace_and_one_without_a_log_has_none() -> None:
    trace = trace_run("r", [RunStarted(at=ZERO), started("a", 1), started("b", 5)])
    assert (trace.status, trace.total_ms) == ("running", 5)
    assert [(item.status, item.run_ms) for item in trace.nodes] == [("running", 4), ("running", 0)]
    with pytest.raises(NotFound, match="no log"):
        trace_run("r", [])


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=8), st.integers(0, 300))
def test_gaps_and_work_make_the_whole(spans: list[tuple[int, int]], rest: int) -> None:
    events: list[AnyEvent] = []
    for number, (at, length) in enumerate(spans):
        events += [started(f"n{number}", at), ended(f"n{number}", at + length)]
    total = max((at + length for at, length in spans), default=0) + rest
    trace = trace_run("r", run(*sorted(events, key=lambda event: event.at), total=total))
    idle = sum(gap.length_ms for gap in trace.gaps)
    assert trace.busy_ms + idle == pytest.approx(total, abs=0.01)
    covered = {ms for at, length in spans for ms in range(at, at + length)}
    assert trace.busy_ms == pytest.approx(len(covered), abs=0.01)
