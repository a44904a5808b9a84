"""Runs that wait for people, on each engine: their rows, and how they go on in any process."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from dify_host.db.types import utc_now
from dify_host.human.errors import FormExpired, FormSubmitted, RunBusy
from dify_host.human.looking_after import look_after_forms
from dify_host.human.tables import human_input_forms
from dify_host.runs.commands import StopCommand
from dify_host.runs.retention import delete_app_rows
from dify_host.runs.tables import (
    messages,
    workflow_node_executions,
    workflow_pause_reasons,
    workflow_pauses,
    workflow_run_leases,
    workflow_runs,
)
from dify_kernel.graph.events import NodePaused, RunFinished, RunPaused, RunResumed

from ..runs.run_house import MODEL, node
from .forms import APPROVAL, FormHouse, approval, ask, each, jobs_of, side_by_side

FORMS = human_input_forms


async def test_a_form_is_there_with_the_pause_and_another_process_goes_on_with_the_answer(
    here: FormHouse, there: FormHouse
) -> None:
    run_id = await here.asked(approval(), inputs=APPROVAL)
    form, run = await here.row(FORMS), await here.row(workflow_runs)
    paused = next(event for event in await here.log(run_id) if isinstance(event, NodePaused))
    assert (form.workflow_run_id, form.node_execution_id, form.node_id) == (run_id, paused.execution_id, "ask")
    assert (form.status, form.rendered_content) == ("waiting", "Is the text fine? {{#$output.comment#}}")
    assert form.form_definition == paused.data
    assert paused.expires_at is not None
    assert abs(form.expiration_time - form.created_at - timedelta(days=3)) < timedelta(seconds=1)
    assert (run.status, run.finished_at) == ("paused", None)
    pause, reason = await here.row(workflow_pauses), await here.row(workflow_pause_reasons)
    assert (pause.workflow_run_id, pause.resumed_at, reason.pause_id) == (run_id, None, pause.id)
    assert (reason.type, reason.form_id, reason.node_id) == ("human_input_required", form.id, "ask")

    (asked,) = await there.open_forms(run_id)
    await there.answer(asked, "fine")
    assert await here.status(FORMS, form.id) == "submitted"
    assert await there.work() == 1
    run, form = await here.row(workflow_runs), await here.row(FORMS)
    assert (run.status, run.outputs) == ("succeeded", {"comment": "fine"})
    assert (form.selected_action_id, form.submitted_data) == ("approve", {"comment": "fine"})
    assert form.resumed_at is not None
    assert (await here.row(workflow_pauses)).resumed_at is not None
    assert await here.rows(workflow_pause_reasons) == []
    assert await here.rows(workflow_run_leases) == []
    nodes = {row.node_id: row.status for row in await here.rows(workflow_node_executions)}
    assert nodes == {"start": "succeeded", "ask": "succeeded", "yes": "succeeded"}


async def test_a_run_that_waits_is_lost_for_nobody(here: FormHouse, there: FormHouse) -> None:
    run_id = await here.asked(approval(), inputs=APPROVAL)
    await here.close()
    assert await there.recovery(there.bus).sweep() == 0
    assert await there.service.take_up(run_id) is None
    assert await there.service.take_up(run_id, answers={"nobody asked": {"action": "approve"}}) is None
    assert await there.resumed(run_id) == 0
    (form,) = await there.open_forms(run_id)
    await there.answer(form, "still here")
    await there.work()
    assert (await there.row(workflow_runs)).outputs == {"comment": "still here"}


async def test_a_job_that_comes_twice_or_to_two_processes_gives_the_answer_once(
    here: FormHouse, there: FormHouse
) -> None:
    run_id = await here.asked(approval(), inputs=APPROVAL)
    (form,) = await here.open_forms(run_id)
    await here.answer(form, "once")
    came = await asyncio.gather(here.runner.resume(run_id), there.runner.resume(run_id), return_exceptions=True)
    assert all(item is None or isinstance(item, RunBusy) for item in came), came
    await here.runner.resume(run_id)
    await there.runner.resume(run_id)
    events = await here.log(run_id)
    assert sum(isinstance(event, RunResumed) for event in events) == 1
    assert sum(isinstance(event, RunFinished) for event in events) == 1


async def test_of_two_answers_at_once_one_counts(here: FormHouse, there: FormHouse) -> None:
    run_id = await here.asked(approval(), inputs=APPROVAL)
    (form,) = await here.open_forms(run_id)
    came = await asyncio.gather(
        *(house.answer(form, house.owner, action) for house in (here, there) for action in ("approve", "reject")),
        return_exceptions=True,
    )
    assert sum(item is None for item in came) == 1
    assert sum(isinstance(item, FormSubmitted) for item in came) == 3, came
    assert len(await jobs_of(here.db, "resume_run")) == 1


async def test_two_forms_wait_at_once_and_are_answered_one_after_the_other(here: FormHouse, there: FormHouse) -> None:
    run_id = await here.asked(side_by_side(ask("a", form_content="A?"), ask("b", form_content="B?")))
    first, second = await here.open_forms(run_id)
    assert {first.node_id, second.node_id} == {"a", "b"}
    await here.answer(first, "one")
    assert await there.work() == 1
    assert await here.status(workflow_runs, run_id) == "paused"
    assert [form.id for form in await here.open_forms(run_id)] == [second.id]
    assert [row.form_id for row in await here.rows(workflow_pause_reasons)] == [second.id]
    assert (await here.row(workflow_pauses)).resumed_at is None
    await there.runner.resume(run_id)  # the first answer again
    assert await here.resumed(run_id) == 1
    await here.answer(second, "two")
    assert await here.work() == 1
    run = await here.row(workflow_runs)
    assert (run.status, run.outputs) == ("succeeded", {first.node_id: "one", second.node_id: "two"})
    assert len(await here.rows(FORMS)) == 2


async def test_two_forms_that_are_answered_before_the_job_comes_are_given_together(
    here: FormHouse, there: FormHouse
) -> None:
    run_id = await here.asked(side_by_side(ask("a"), ask("b")), inputs={})
    for form in await here.open_forms(run_id):
        await here.answer(form, form.node_id)
    assert await there.work() == 2
    assert await here.resumed(run_id) == 1
    assert (await here.row(workflow_runs)).outputs == {"a": "a", "b": "b"}


async def test_an_answer_while_another_branch_is_at_work_is_taken_as_soon_as_it_is_not(
    here: FormHouse, there: FormHouse
) -> None:
    model = node("llm", "llm", model=MODEL, prompt_template=[{"role": "user", "text": "REPLY:long text"}])
    here.models.gate.clear()
    program = here.workflow(side_by_side(ask("a", form_content="A?"), model))
    started = await here.start(program, await here.app())
    run_id = started.handle.run.run_id
    while not await here.rows(FORMS):
        await asyncio.sleep(0.005)
    (form,) = await here.open_forms(run_id)
    await here.answer(form, "early")
    assert len(await jobs_of(here.db, "resume_run")) == 1
    for house in (here, there):
        with pytest.raises(RunBusy) as caught:
            await house.runner.resume(run_id)
        assert caught.value.retryable
    here.models.gate.set()
    assert (await started.handle.wait()).status == "paused"
    assert await there.work() == 1  # the pause has asked for the job, whatever became of the first one
    run = await here.row(workflow_runs)
    assert (run.status, run.outputs) == ("succeeded", {"a": "early", "llm": "long text"})


async def test_a_pause_without_an_answer_asks_for_no_job(here: FormHouse) -> None:
    await here.asked(approval(), inputs=APPROVAL)
    assert await jobs_of(here.db, "resume_run") == []


@pytest.mark.parametrize("parallel", [False, True])
async def test_each_round_of_an_iteration_has_a_form_of_its_own(
    here: FormHouse, there: FormHouse, parallel: bool
) -> None:
    run_id = await here.asked(each(parallel), inputs={"words": {"all": ["x", "y"]}})
    at_once = []
    for _ in range(3):
        forms = await here.open_forms(run_id)
        if not forms:
            break
        at_once.append(len(forms))
        for form in forms:
            await here.answer(form, f"{form.rendered_content}!")
        await there.work()
    assert at_once == ([2] if parallel else [1, 1])
    run = await here.row(workflow_runs)
    assert (run.status, run.outputs) == ("succeeded", {"all": ["x?!", "y?!"]})


async def test_time_that_is_up_is_an_answer(here: FormHouse, there: FormHouse) -> None:
    run_id = await here.asked(approval(), inputs=APPROVAL)
    assert await look_after_forms(here.db) == 0
    (form,) = await here.open_forms(run_id)
    await make_due(here)
    with pytest.raises(FormExpired):
        await here.answer(form, "too late, though nobody has looked yet")
    counts = await asyncio.gather(*(look_after_forms(house.db) for house in (here, there, here)))
    assert sum(counts) == 1
    assert await here.status(FORMS, form.id) == "timeout"
    with pytest.raises(FormExpired):
        await here.answer(form, "too late")
    assert await there.work() == 1
    run = await here.row(workflow_runs)
    assert (run.status, run.outputs) == ("succeeded", {"comment": None})
    assert {row.node_id for row in await here.rows(workflow_node_executions)} == {"start", "ask", "late"}


async def make_due(house: FormHouse) -> None:
    """Let the time of every form be up."""
    async with house.db.write() as conn:
        await conn.execute(FORMS.update().values(expiration_time=utc_now() - timedelta(days=1)))


async def test_forms_of_a_run_that_was_stopped_are_closed(here: FormHouse, there: FormHouse) -> None:
    run_id = await here.asked(approval(), inputs=APPROVAL)
    (form,) = await here.open_forms(run_id)
    command = StopCommand(task_id=run_id, app_id=form.app_id)
    await there.recovery(there.bus).stop_left(command)
    assert await here.status(workflow_runs, run_id) == "stopped"
    assert await here.status(FORMS, form.id) == "expired"
    with pytest.raises(FormExpired):
        await here.answer(form, "anybody?")
    assert await there.work() == 0


@pytest.mark.parametrize("end", ["failed", "stopped"])
async def test_forms_that_an_ended_run_leaves_behind_are_closed(here: FormHouse, end: str) -> None:
    """The run ends while the question is open: by another branch, or by somebody who stops it."""
    slow = node("slow", "llm", model=MODEL, prompt_template=[{"role": "user", "text": "REPLY:slow"}])
    broken = node("broken", "llm", model=MODEL, prompt_template=[{"role": "user", "text": "FAIL:no"}])
    body = side_by_side(ask("a", form_content="A?"), slow)
    body["nodes"].append(broken)
    body["edges"].append({"id": "b", "source": "slow", "target": "broken", "sourceHandle": "source"})
    here.models.gate.clear()
    started = await here.start(here.workflow(body), await here.app())
    while not await here.rows(FORMS):
        await asyncio.sleep(0.005)
    if end == "stopped":
        here.service.stop(started.handle.run.run_id)
    here.models.gate.set()
    assert (await started.handle.wait()).status == end
    form = await here.row(FORMS)
    assert form.status == "expired"
    assert await here.open_forms(form.workflow_run_id) == []


async def test_a_form_whose_run_is_over_is_closed_at_the_next_look(here: FormHouse) -> None:
    run_id = await here.asked(approval(), inputs=APPROVAL)
    async with here.db.write() as conn:
        await conn.execute(workflow_runs.delete().where(workflow_runs.c.id == run_id))
    assert await look_after_forms(here.db) == 1
    assert (await here.row(FORMS)).status == "expired"


async def test_a_job_that_is_lost_is_written_again(here: FormHouse, there: FormHouse) -> None:
    run_id = await here.asked(approval(), inputs=APPROVAL)
    (form,) = await here.open_forms(run_id)
    await here.answer(form, "lost")
    assert len(await jobs_of(here.db, "resume_run")) == 1
    await look_after_forms(here.db)
    assert await there.work() == 0  # it may come any moment
    async with here.db.write() as conn:
        await conn.execute(FORMS.update().values(updated_at=utc_now() - timedelta(hours=1)))
    await look_after_forms(here.db)
    assert await there.work() == 1
    assert (await here.row(workflow_runs)).outputs == {"comment": "lost"}


async def test_a_run_that_cannot_go_on_fails_with_the_reason(here: FormHouse, there: FormHouse) -> None:
    run_id = await here.asked(side_by_side(ask("a"), ask("b")))
    first, second = await here.open_forms(run_id)
    await here.answer(first, "x")
    there.made.clear()
    await there.work()
    run = await here.row(workflow_runs)
    assert run.status == "failed"
    assert "The run was answered, and it could not go on: It is gone." in run.error
    assert await here.status(FORMS, second.id) == "expired"


async def test_a_message_waits_with_its_run(here: FormHouse, there: FormHouse) -> None:
    body = approval(form_content="Fine?")
    for item in body["nodes"]:
        if item["data"]["type"] == "end":
            item["data"] = {"type": "answer", "title": item["id"], "answer": "You said {{#ask.comment#}}."}
    body["nodes"][0]["data"]["variables"] = []
    run_id = await here.asked(body, mode="advanced-chat", query="hello")
    message = await here.row(messages)
    assert (message.status, message.answer, message.workflow_run_id) == ("paused", "", run_id)
    (form,) = await here.open_forms(run_id)
    await here.answer(form, "well done")
    await there.work()
    message = await here.row(messages)
    assert (message.status, message.answer) == ("normal", "You said well done.")


async def test_the_next_question_of_a_run_is_another_form(here: FormHouse, there: FormHouse) -> None:
    body = approval()
    second = ask("again", form_content="Sure?")
    body["nodes"] = [item for item in body["nodes"] if item["id"] != "yes"] + [
        second,
        node("yes", "end", outputs=[{"variable": "comment", "value_selector": ["again", "comment"]}]),
    ]
    body["edges"] = [edge for edge in body["edges"] if edge["target"] != "yes"]
    body["edges"] += [
        {"id": "1", "source": "ask", "target": "again", "sourceHandle": "approve"},
        {"id": "2", "source": "again", "target": "yes", "sourceHandle": "approve"},
    ]
    run_id = await here.asked(body, inputs=APPROVAL)
    for words in ("first", "second"):
        (form,) = await here.open_forms(run_id)
        await here.answer(form, words)
        assert await there.work() == 1
    assert (await here.row(workflow_runs)).outputs == {"comment": "second"}
    assert sum(isinstance(event, RunPaused) for event in await here.log(run_id)) == 2
    assert len(await here.rows(workflow_pauses)) == 1
    assert [row.status for row in await here.rows(FORMS)] == ["submitted"] * 2


async def test_forms_go_with_their_app(here: FormHouse) -> None:
    await here.asked(approval(), inputs=APPROVAL)
    form = await here.row(FORMS)
    await delete_app_rows(here.db, here.tenant, form.app_id)
    for table in (FORMS, workflow_pauses, workflow_pause_reasons, workflow_runs):
        assert await here.rows(table) == [], table.name
