"""Runs that were recorded once go on with the code of today, from every event of their log, to the recorded end."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from dify_kernel.errors import DifyError
from dify_kernel.graph.events import AnyEvent, NodeFinished, RunFinished, decode_event, encode_event

from .cases import CASES
from .runs import LOGS, REGISTRY, History

NAMES = sorted(path.stem for path in LOGS.glob("*.jsonl"))
PLUGINS = Path(__file__).parents[2] / "plugins"


def lines(name: str) -> list[bytes]:
    """A kept log as it is written."""
    return (LOGS / f"{name}.jsonl").read_bytes().splitlines()


def log_of(name: str) -> list[AnyEvent]:
    """A kept log as it is read."""
    return [decode_event(line) for line in lines(name)]


async def check(log: Sequence[AnyEvent], name: str) -> None:
    """The log is in order, and a run that goes on from any part of it ends as it says, with nothing done twice."""
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    history = History(log, CASES[name])
    end = log[-1]
    assert isinstance(end, RunFinished)
    for cut in range(1, len(log)):
        whole = await history.go_on(cut)
        last = whole[-1]
        assert isinstance(last, RunFinished)
        assert (last.status, last.outputs, last.error) == (end.status, end.outputs, end.error), cut
        assert (last.total_tokens, last.exceptions_count) == (end.total_tokens, end.exceptions_count), cut
        assert [event.seq for event in whole] == list(range(1, len(whole) + 1))
        assert history.watch.repeated == []


@pytest.mark.parametrize("name", NAMES)
def test_a_log_is_read_and_written_without_loss(name: str) -> None:
    for line in lines(name):
        assert json.loads(encode_event(decode_event(line))) == json.loads(line)


@pytest.mark.parametrize("name", NAMES)
async def test_a_run_goes_on_from_every_event_of_its_log(name: str) -> None:
    await check(log_of(name), name)


def test_every_case_has_a_log_and_every_log_a_case() -> None:
    assert set(CASES) == set(NAMES), "`python -m tests.histories.record` writes logs that are missing"


def test_every_node_of_this_repository_has_run_in_a_log() -> None:
    """And every node in a log can still be had."""
    ran = set()
    for name in NAMES:
        log = log_of(name)
        ended = {event.node_id for event in log if isinstance(event, NodeFinished)}
        for item in History(log, CASES[name]).graph["nodes"]:
            cls = REGISTRY.node(item["data"]["type"], item["data"].get("version", "1"))
            if cls.silent or item["id"] in ended:
                ran.add((cls.type, cls.version))
    assert ran == offered()


def offered() -> set[tuple[str, str]]:
    """Type and version of every node that a plugin of this repository registers."""
    found = set()
    for path in PLUGINS.glob("nodes_*/pyproject.toml"):
        for kind in tomllib.loads(path.read_text())["project"]["entry-points"]["dify.nodes"]:
            REGISTRY.load("nodes", kind)
            found |= {(kind, version) for version in REGISTRY.get("nodes", kind)}
    return found


def without_an_end(log: list[AnyEvent]) -> None:
    """The result of a node gets lost."""
    gone = next(index for index, event in enumerate(log) if isinstance(event, NodeFinished))
    del log[gone]
    for seq, event in enumerate(log, 1):
        event.seq = seq


def of_another_type(log: list[AnyEvent]) -> None:
    """A text has become a list."""
    event = next(event for event in log if isinstance(event, NodeFinished) and event.node_id == "llm")
    event.outputs = {**event.outputs, "text": [event.outputs["text"]]}


def with_a_gap(log: list[AnyEvent]) -> None:
    """An event is missing."""
    del log[2]


def of_a_node_that_is_gone(log: list[AnyEvent]) -> None:
    """The graph has a node that nothing offers."""
    log[0].context["graph"]["nodes"][1]["data"]["type"] = "teleport"  # type: ignore[union-attr]


@pytest.mark.parametrize("change", [without_an_end, of_another_type, with_a_gap, of_a_node_that_is_gone])
async def test_a_log_that_was_tampered_with_is_not_taken_for_good(change: Callable[[list[AnyEvent]], None]) -> None:
    log = log_of("llm")
    change(log)
    with pytest.raises((AssertionError, DifyError)):
        await check(log, "llm")
