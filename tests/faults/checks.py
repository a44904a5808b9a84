"""What must be true of the evidence: each check returns what is wrong, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dify_host.runs.api_events import ApiEvents, event_id
from dify_host.runs.context import read_context
from dify_kernel.graph.events import AnyEvent, NodeFinished, RunFinished, RunStarted

from tests.faults.clients import ADDS, REPLACES, Followed, Seen
from tests.faults.effects import Arrival
from tests.faults.evidence import Evidence
from tests.faults.shelves import shelf_problems

__all__ = ["CHECKS", "problems", "repeated"]

ENDS = frozenset(("succeeded", "failed", "stopped", "partial-succeeded"))


def problems(evidence: Evidence) -> list[str]:
    """Everything that is wrong."""
    return [found for check in CHECKS for found in check(evidence)]


def numbered(evidence: Evidence) -> Iterator[str]:
    """Events are numbered 1..n, with one end, which is the last; a result is recorded once."""
    for run_id, events in evidence.logs.items():
        if [event.seq for event in events] != list(range(1, len(events) + 1)):
            yield f"log {run_id}: its numbers are {[event.seq for event in events]}"
        ends = [event.seq for event in events if isinstance(event, RunFinished)]
        if ends != [len(events)]:
            yield f"log {run_id}: it has {len(events)} events and ends at {ends}"
        finished = Counter(event.execution_id for event in events if isinstance(event, NodeFinished))
        yield from (f"log {run_id}: {name} ended {count} times" for name, count in finished.items() if count > 1)


def kept(evidence: Evidence) -> Iterator[str]:
    """What was once in a log is in it still, word for word."""
    for (run_id, seq), payload in evidence.pictures.items():
        if evidence.rows.get((run_id, seq)) != payload:
            yield f"log {run_id}: the row of event {seq} is gone, or another one"


def in_rows(evidence: Evidence) -> Iterator[str]:
    """Rows say what the log says, and everything that clients know of is there."""
    runs = {row.id: row for row in evidence.runs}
    for row in evidence.runs:
        end = _end(evidence, row.id)
        if row.status not in ENDS or not row.finished:
            yield f"run {row.id}: its row says {row.status}"
        elif end is None or (row.status, row.outputs, row.error or "") != (end.status, end.outputs, end.error):
            yield f"run {row.id}: its row and its log disagree: {row.status}, {end and end.status}"
    for message in evidence.messages:
        end = _end(evidence, message.run_id)
        status = "error" if end is not None and end.status == "failed" else "normal"
        if end is None or (message.status, message.answer) != (status, end.outputs.get("answer", "")):
            yield f"message of run {message.run_id}: {message.status} {message.answer!r} is not what its log says"
    answered = {message.run_id for message in evidence.messages}
    for run_id, events in evidence.logs.items():
        context = read_context(events)
        if run_id not in (runs if context.is_workflow else answered) or (context.spec and run_id not in answered):
            yield f"log {run_id}: there is no row of the run, or of its message"
        for event in events if context.is_workflow else ():
            if isinstance(event, NodeFinished) and evidence.nodes.get(event.execution_id) != event.status:
                yield f"run {run_id}: the row of {event.node_id} says {evidence.nodes.get(event.execution_id)}"
    yield from _told(evidence, {*runs, *answered})


def _told(evidence: Evidence, runs: set[str]) -> Iterator[str]:
    known = {followed.run_id for followed in evidence.followed} | {told.run_id for told in evidence.told if told.run_id}
    yield from (f"run {run_id}: a client was told of it, and it is not there" for run_id in sorted(known - runs))
    for told in evidence.told:
        end = _end(evidence, told.run_id)
        if end is not None and told.status not in ("", "paused", end.status):
            yield f"run {told.run_id}: a client was told {told.status}, it is {end.status}"
    begun = Counter(trigger.word or trigger.slot for trigger in evidence.triggers)
    yield from (
        f"webhook {word}: it was taken, and nothing is left of it" for word in evidence.hooked if not begun[word]
    )
    for trigger in evidence.triggers:
        if trigger.run_id not in runs and trigger.status != "skipped":
            yield f"trigger {trigger.word or trigger.slot}: its run {trigger.run_id} never began"
        if trigger.slot and begun[trigger.slot] > 1:
            yield f"schedule {trigger.slot}: it was due once and started {begun[trigger.slot]} times"


def unharmed(evidence: Evidence) -> Iterator[str]:
    """No run fails because a process, the queue or the database died: every one of these succeeds when left alone."""
    for run_id in evidence.logs:
        end = _end(evidence, run_id)
        if end is not None and end.status not in ("succeeded", "partial-succeeded"):
            yield f"run {run_id}: it {end.status}: {end.error}"


def effects(evidence: Evidence) -> Iterator[str]:
    """An effect is repeated only as long as its result is not recorded: no request comes after the recorded end."""
    ends = {
        f"{run_id}:{event.execution_id}": event.at
        for run_id, events in evidence.logs.items()
        for event in events
        if isinstance(event, NodeFinished)
    }
    for arrival in evidence.arrivals:
        end = ends.get(arrival.key)
        if end is not None and arrival.at > end:
            yield f"effect {arrival.key}: it came {arrival.at - end:.3f} s after its result was there"


def repeated(arrivals: Iterable[Arrival]) -> int:
    """How many requests came again because somebody died (and not because they were refused)."""
    counts = Counter((arrival.key, arrival.path) for arrival in arrivals)
    return sum(count - 1 - (path == "/shaky") for (_, path), count in counts.items() if count > 1 + (path == "/shaky"))


def settled(evidence: Evidence) -> Iterator[str]:
    """Nothing is left to do: no lease, no job, no open trigger."""
    yield from (f"run {run_id}: it has a lease still" for run_id in evidence.leases)
    yield from (f"outbox: a job {actor} was not sent" for actor in evidence.jobs)
    for trigger in evidence.triggers:
        end = _end(evidence, trigger.run_id)
        ended = trigger.status in (*ENDS, "skipped")
        if not ended or (end is not None and trigger.status != end.status):
            yield f"trigger {trigger.word or trigger.slot}: its log says {trigger.status}, its run {end and end.status}"


def shelved(evidence: Evidence) -> Iterator[str]:
    """Each document has one run, or none and an error; all of it is in its knowledge base once and nothing else is."""
    runs = Counter(_document_id(events) for events in evidence.logs.values())
    there = {(shelf.dataset_id, row.id) for shelf in evidence.shelves for row in shelf.documents}
    for told in evidence.accepted:
        if (told.dataset_id, told.document_id) not in there:
            yield f"document {told.document_id}: a client was told of it, and it is not there"
    for shelf in evidence.shelves:
        pieces = evidence.pieces[shelf.dataset_id]
        yield from shelf_problems(shelf, pieces)
        for row in shelf.documents:
            if runs[row.id] != (pieces(row.name) is not None):
                yield f"document {row.name}: it has {runs[row.id]} runs"
    gone = runs.keys() - {document_id for _, document_id in there} - {""}
    yield from (f"document {document_id}: it has a run and is not there" for document_id in sorted(gone))


def _document_id(events: list[AnyEvent]) -> str:
    """What document a run is about; nothing where it is about none."""
    begun = events[0]
    return str(begun.inputs.get("sys.document_id") or "") if isinstance(begun, RunStarted) else ""


def streams(evidence: Evidence) -> Iterator[str]:
    """Who follows a run sees each event of its log once and in order, and its whole text."""
    for followed in evidence.followed:
        events = evidence.logs.get(followed.run_id)
        if events is None:
            continue
        expected = [item for item in expected_items(events) if item[1] not in ADDS and item[1] not in REPLACES]
        seen = [(item.id, item.name) for item in followed.seen if item.name not in ADDS and item.name not in REPLACES]
        if seen != expected:
            yield f"stream of {followed.run_id}: {_difference(seen, expected)}"
        yield from _text(followed, events)


def expected_items(events: list[AnyEvent]) -> list[tuple[str, str]]:
    """The id and the name of everything that a log is told as."""
    mapping = api_events(events)
    items: list[tuple[str, str]] = []
    for event in events:
        told = mapping.convert(event)
        for number, item in enumerate(told, 1):
            name = item["event"] if isinstance(item, dict) else item.event
            items.append((event_id(event, number if number < len(told) else 0), str(name)))
    return items


def api_events(events: list[AnyEvent]) -> ApiEvents:
    """The mapping of a run, as any process has it."""
    context = read_context(events)
    run = context.run
    return ApiEvents(
        task_id=run.run_id,
        run_id=run.run_id,
        workflow_id=run.workflow_id,
        creator=context.creator,
        spec=context.spec,
        shows_workflow=context.is_workflow,
    )


def text_of(seen: list[Seen]) -> str:
    """The text that a client has in the end."""
    text = ""
    for item in seen:
        if item.name in REPLACES:
            text = _at(item.data, REPLACES[item.name])
        elif item.name in ADDS:
            text += _at(item.data, ADDS[item.name])
    return text


def _text(followed: Followed, events: list[AnyEvent]) -> Iterator[str]:
    end = events[-1]
    if followed.mode == "workflow" or not isinstance(end, RunFinished) or end.status == "failed":
        return
    text = text_of(followed.seen)
    if text != end.outputs.get("answer"):
        yield f"stream of {followed.run_id}: its text is {text!r}, the answer {end.outputs.get('answer')!r}"


def _at(data: dict[str, Any], path: tuple[str, ...]) -> str:
    value: Any = data
    for part in path:
        value = value[part]
    return str(value)


def _difference(seen: list[tuple[str, str]], expected: list[tuple[str, str]]) -> str:
    at = next((at for at, (one, other) in enumerate(zip(seen, expected, strict=False)) if one != other), -1)
    if at < 0:
        at = min(len(seen), len(expected))
    there, wanted = seen[at : at + 3], expected[at : at + 3]
    return f"from item {at} on it saw {there} of {len(seen)}, and not {wanted} of {len(expected)}"


def _end(evidence: Evidence, run_id: str) -> RunFinished | None:
    events = evidence.logs.get(run_id)
    return events[-1] if events and isinstance(events[-1], RunFinished) else None


CHECKS: list[Callable[[Evidence], Iterator[str]]] = [
    numbered,
    kept,
    in_rows,
    unharmed,
    effects,
    settled,
    shelved,
    streams,
]
