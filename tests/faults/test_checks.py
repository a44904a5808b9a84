"""The checks can fail: evidence that is right passes, and each way of doctoring it is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from dify_host.runs.context import RunContext
from dify_host.runs.message_rows import MessageSpec
from dify_host.runs.recorder import Creator
from dify_kernel.contracts.node import RunInfo
from dify_kernel.graph.events import AnyEvent, NodeFinished, NodeStarted, RunFinished, RunResumed, RunStarted

from tests.faults.checks import expected_items, problems, repeated
from tests.faults.clients import Accepted, Followed, Seen, Told
from tests.faults.effects import Arrival
from tests.faults.evidence import Evidence, MessageRow, RunRow, TriggerRow
from tests.faults.shelves import DocumentRow, Shelf

RUN, NODE = "run-1", "execution-1"


def log() -> list[AnyEvent]:
    """A run of one effectful node, whose process was lost once."""
    creator = Creator(role="end_user", id="user-1")
    run = RunInfo(run_id=RUN, tenant_id="t", app_id="a", workflow_id="w", user_id="ada", conversation_id="c")
    spec = MessageSpec(
        message_id="m", conversation_id="c", fresh=True, app_id="a", mode="advanced-chat", query="", inputs={},
        creator=creator, invoke_from="service-api", from_source="api", created_at=1.0, workflow_run_id=RUN,
    )  # fmt: skip
    context = RunContext(run=run, mode="advanced-chat", creator=creator, version="1", root_id="start", spec=spec)
    node: dict[str, Any] = {
        "execution_id": NODE,
        "node_id": "post",
        "node_type": "http-request",
        "title": "",
        "index": 1,
    }
    return [
        RunStarted(seq=1, at=1.0, context=context.encode()),
        NodeStarted(seq=2, at=2.0, **node),
        RunResumed(seq=3, at=10.0, text=""),
        NodeFinished(seq=4, at=20.0, status="succeeded", started_at=10.0, elapsed_time=10.0, **node),
        RunFinished(seq=5, at=21.0, status="succeeded", outputs={"answer": "one two"}),
    ]


def whole() -> Evidence:
    """Evidence in which nothing is wrong."""
    events = log()
    seen = [Seen(item_id, name, {"answer": ""}) for item_id, name in expected_items(events)]
    text = [Seen("4-1", "message", {"answer": "one "}), Seen("4-2", "message", {"answer": "two"})]
    events[0] = msgspec.structs.replace(events[0], inputs={"sys.document_id": "document-1"})
    rows = {(RUN, 4): "first", (RUN, 5): "second"}
    return Evidence(
        logs={RUN: events},
        rows=rows,
        pictures=dict(rows),
        runs=[RunRow(id=RUN, status="succeeded", outputs={"answer": "one two"}, error=None, finished=True)],
        messages=[MessageRow(run_id=RUN, status="normal", answer="one two")],
        nodes={NODE: "succeeded"},
        triggers=[TriggerRow(run_id=RUN, status="succeeded", word="word")],
        arrivals=[Arrival(key=f"{RUN}:{NODE}", path="/plain", at=at) for at in (5.0, 15.0)],
        followed=[
            Followed(mode="advanced-chat", user="ada", run_id=RUN, seen=[*seen[:4], *text, *seen[4:]], ended=True)
        ],
        told=[Told(run_id=RUN, status="succeeded")],
        hooked=["word"],
        accepted=[Accepted(dataset_id="d", document_id="document-1")],
        shelves=[
            Shelf(
                dataset_id="d",
                documents=[document()],
                wanted=[("vector-1", "one"), ("vector-2", "two")],
                held=[("vector-2", "two"), ("vector-1", "one")],
            )
        ],
        pieces={"d": {"tea": ["one", "two"]}.get},
    )


def test_evidence_that_is_right_passes() -> None:
    assert problems(whole()) == []
    assert repeated(whole().arrivals) == 1


def test_a_request_that_was_refused_may_come_again() -> None:
    evidence = whole()
    evidence.arrivals = [Arrival(key=f"{RUN}:{NODE}", path="/shaky", at=at) for at in (5.0, 15.0)]
    assert repeated(evidence.arrivals) == 0


def test_a_document_that_must_fail_has_a_reason_and_no_run() -> None:
    evidence = whole()
    evidence.pieces, evidence.accepted = {"d": {"tea": None}.get}, []
    evidence.logs[RUN][0] = log()[0]
    evidence.shelves = [Shelf(dataset_id="d", documents=[document(status="error", error="gone", texts=[])])]
    assert problems(evidence) == []


def document(**changed: Any) -> DocumentRow:
    """A document that its run has indexed."""
    row = DocumentRow(id="document-1", name="tea", status="completed", error=None, texts=["one", "two"])
    return msgspec.structs.replace(row, **changed)


def change_document(evidence: Evidence, **changed: Any) -> None:
    evidence.shelves[0].documents = [document(**changed)]


def gap(evidence: Evidence) -> None:
    evidence.logs[RUN][3].seq = 6


def no_end(evidence: Evidence) -> None:
    evidence.logs[RUN].pop()


def two_ends(evidence: Evidence) -> None:
    evidence.logs[RUN].append(RunFinished(seq=6, status="succeeded"))


def an_event_after_the_end(evidence: Evidence) -> None:
    evidence.logs[RUN].append(RunResumed(seq=6))


def a_result_recorded_twice(evidence: Evidence) -> None:
    events = evidence.logs[RUN]
    events[4].seq = 6
    events.insert(4, msgspec.structs.replace(events[3], seq=5))


def a_result_changed(evidence: Evidence) -> None:
    evidence.rows[(RUN, 4)] = "another"


def a_result_gone(evidence: Evidence) -> None:
    del evidence.rows[(RUN, 5)]


def a_run_that_runs(evidence: Evidence) -> None:
    evidence.runs = [msgspec.structs.replace(evidence.runs[0], status="running", finished=False)]


def a_row_that_says_otherwise(evidence: Evidence) -> None:
    evidence.runs = [msgspec.structs.replace(evidence.runs[0], status="failed")]


def a_run_that_failed(evidence: Evidence) -> None:
    evidence.runs = [msgspec.structs.replace(evidence.runs[0], status="failed", error="lost")]
    evidence.triggers = [msgspec.structs.replace(evidence.triggers[0], status="failed")]
    evidence.logs[RUN][4] = RunFinished(seq=5, at=21.0, status="failed", error="lost", outputs={"answer": "one two"})
    evidence.messages = [msgspec.structs.replace(evidence.messages[0], status="error")]
    evidence.told, evidence.followed = [], []


def other_outputs(evidence: Evidence) -> None:
    evidence.runs = [msgspec.structs.replace(evidence.runs[0], outputs={})]


def a_run_without_a_row(evidence: Evidence) -> None:
    evidence.runs = []


def a_run_without_a_log(evidence: Evidence) -> None:
    evidence.logs = {}


def a_message_without_its_answer(evidence: Evidence) -> None:
    evidence.messages = [msgspec.structs.replace(evidence.messages[0], answer="one")]


def a_node_without_a_row(evidence: Evidence) -> None:
    evidence.nodes = {}


def an_effect_after_its_result(evidence: Evidence) -> None:
    evidence.arrivals.append(Arrival(key=f"{RUN}:{NODE}", path="/plain", at=20.5))


def a_lease_left(evidence: Evidence) -> None:
    evidence.leases = [RUN]


def a_job_left(evidence: Evidence) -> None:
    evidence.jobs = ["run_trigger"]


def a_trigger_that_runs(evidence: Evidence) -> None:
    evidence.triggers = [msgspec.structs.replace(evidence.triggers[0], status="running")]


def a_trigger_that_says_otherwise(evidence: Evidence) -> None:
    evidence.triggers = [msgspec.structs.replace(evidence.triggers[0], status="failed")]


def a_webhook_lost(evidence: Evidence) -> None:
    evidence.hooked.append("another word")


def a_trigger_without_a_run(evidence: Evidence) -> None:
    evidence.triggers.append(TriggerRow(run_id="run-2", status="succeeded", word="another word"))


def a_run_that_a_client_knows_lost(evidence: Evidence) -> None:
    evidence.told.append(Told(run_id="run-2", status="succeeded"))


def a_client_told_otherwise(evidence: Evidence) -> None:
    evidence.told = [Told(run_id=RUN, status="failed")]


def an_event_not_seen(evidence: Evidence) -> None:
    del evidence.followed[0].seen[1]


def an_event_seen_twice(evidence: Evidence) -> None:
    evidence.followed[0].seen.insert(1, evidence.followed[0].seen[1])


def events_in_another_order(evidence: Evidence) -> None:
    seen = evidence.followed[0].seen
    seen[0], seen[1] = seen[1], seen[0]


def a_document_lost(evidence: Evidence) -> None:
    evidence.accepted.append(Accepted(dataset_id="d", document_id="document-2"))


def a_document_that_waits(evidence: Evidence) -> None:
    change_document(evidence, status="waiting")


def a_document_that_failed(evidence: Evidence) -> None:
    change_document(evidence, status="error", error="lost")


def a_document_without_a_reason(evidence: Evidence) -> None:
    evidence.pieces = {"d": {"tea": None}.get}
    evidence.logs[RUN][0] = log()[0]
    evidence.shelves = [Shelf(dataset_id="d", documents=[document(status="error", texts=[])])]
    evidence.accepted = []


def a_document_without_a_run(evidence: Evidence) -> None:
    evidence.shelves[0].documents.append(document(id="document-2"))


def a_run_of_no_document(evidence: Evidence) -> None:
    evidence.shelves[0].documents, evidence.accepted = [], []


def a_segment_lost(evidence: Evidence) -> None:
    change_document(evidence, texts=["one"])


def a_segment_twice(evidence: Evidence) -> None:
    change_document(evidence, texts=["one", "two", "two"])


def a_segment_of_no_document(evidence: Evidence) -> None:
    evidence.shelves[0].strays = ["segment-3"]


def a_vector_lost(evidence: Evidence) -> None:
    evidence.shelves[0].held.pop()


def a_vector_twice(evidence: Evidence) -> None:
    evidence.shelves[0].held *= 2


def a_vector_of_nobody(evidence: Evidence) -> None:
    evidence.shelves[0].held.append(("vector-3", "three"))


def a_vector_of_another_text(evidence: Evidence) -> None:
    evidence.shelves[0].held[0] = ("vector-1", "zero")


def an_end_not_seen(evidence: Evidence) -> None:
    evidence.followed[0].seen.pop()


def a_piece_of_text_not_seen(evidence: Evidence) -> None:
    del evidence.followed[0].seen[5]


def a_piece_of_text_seen_twice(evidence: Evidence) -> None:
    evidence.followed[0].seen.insert(5, evidence.followed[0].seen[5])


DOCTORED = [
    gap, no_end, two_ends, an_event_after_the_end, a_result_recorded_twice, a_result_changed, a_result_gone,
    a_run_that_runs, a_row_that_says_otherwise, a_run_that_failed, other_outputs, a_run_without_a_row,
    a_run_without_a_log, a_message_without_its_answer, a_node_without_a_row, an_effect_after_its_result,
    a_lease_left, a_job_left, a_trigger_that_runs, a_trigger_that_says_otherwise, a_webhook_lost,
    a_trigger_without_a_run, a_run_that_a_client_knows_lost, a_client_told_otherwise, an_event_not_seen,
    a_document_lost, a_document_that_waits, a_document_that_failed, a_document_without_a_reason,
    a_document_without_a_run, a_run_of_no_document, a_segment_lost, a_segment_twice, a_segment_of_no_document,
    a_vector_lost, a_vector_twice, a_vector_of_nobody, a_vector_of_another_text,
    an_event_seen_twice, events_in_another_order, an_end_not_seen, a_piece_of_text_not_seen,
    a_piece_of_text_seen_twice,
]  # fmt: skip


@pytest.mark.parametrize("doctor", DOCTORED)
def test_what_is_wrong_is_noticed(doctor: Callable[[Evidence], None]) -> None:
    evidence = whole()
    doctor(evidence)
    assert problems(evidence)
