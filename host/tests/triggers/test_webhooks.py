"""Webhooks over HTTP: what is taken, what it becomes, how it is answered, and the one run it starts."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from dify_host.apps.tables import workflow_webhook_triggers
from dify_host.db.engine import Database
from dify_host.db.types import utc_now
from dify_host.jobs.actors import ACTORS
from dify_host.runs.run_records import run_exists
from dify_host.triggers.runner import repeat_lost_triggers, settle_trigger_logs
from dify_kernel.errors import InvalidGraph

from .trigger_house import TriggerHouse, end, graph, node, schedule, webhook

DONE = {"status": "success", "message": "Webhook processed successfully"}
TEXT = [{"name": "a", "type": "string", "required": True}]


async def test_a_request_becomes_one_run_with_its_parts_as_outputs(house: TriggerHouse) -> None:
    hook = webhook(
        headers=[{"name": "X-Shop-Key", "required": True}],
        params=[{"name": "page", "type": "number", "required": True}],
        body=[{"name": "order", "type": "object", "required": True}, {"name": "tags", "type": "array[string]"}],
    )
    parts = {name: ("hook", name) for name in ("X_Shop_Key", "page", "order", "tags", "_webhook_raw")}
    app_id = await house.app(graph((hook, end("end", **parts))))

    sent = {"order": {"id": 7, "note": "ünï"}, "tags": []}
    answer = await house.call(
        await house.webhook_id(app_id), json=sent, params={"page": "2"}, headers={"x-shop-key": "secret"}
    )

    assert (answer.status_code, answer.json()) == (200, DONE)
    (log,) = await house.logs()
    assert (log.status, log.trigger_type, log.root_node_id) == ("queued", "trigger-webhook", "hook")
    assert await house.runs() == []
    assert len(await house.work()) == 1
    (run,) = await house.runs()
    outputs = run.outputs
    raw = outputs.pop("_webhook_raw")
    assert outputs == {"X_Shop_Key": "secret", "page": 2, **sent}
    assert (raw["method"], raw["query_params"], raw["body"], raw["files"]) == ("POST", {"page": 2}, sent, {})
    assert raw["headers"]["X-Shop-Key"] == "secret"
    assert (run.status, run.triggered_from, run.created_by_role) == ("succeeded", "webhook", "end_user")
    (log,) = await house.logs()
    assert (log.status, log.workflow_run_id, log.outputs) == ("succeeded", run.id, run.outputs | {"_webhook_raw": raw})


async def test_a_job_that_comes_twice_begins_one_run(house: TriggerHouse) -> None:
    app_id = await house.app(graph((webhook(), end("end"))))
    await house.call(await house.webhook_id(app_id), json={})
    (job,) = await house.work()

    await ACTORS[job.actor].run(house.platform, **job.args)

    assert len(await house.runs()) == 1


async def test_a_log_whose_job_did_not_see_the_end_learns_it(house: TriggerHouse) -> None:
    app_id = await house.app(graph((webhook(), end("end"))))
    await house.call(await house.webhook_id(app_id), json={})
    await house.work()
    (log,) = await house.logs()
    repository = house.workspace.trigger_runner._repository
    await repository.update_log(log.id, {"status": "running", "finished_at": None})

    assert await settle_trigger_logs(house.platform.db) == 1

    (log,) = await house.logs()
    assert log.status == "succeeded"
    assert log.finished_at <= utc_now()
    assert await settle_trigger_logs(house.platform.db) == 0


async def test_who_is_late_to_begin_a_run_does_not_call_it_failed(
    house: TriggerHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    app_id = await house.app(graph((webhook(), end("end"))))
    await house.call(await house.webhook_id(app_id), json={})
    (job,) = await house.work()
    (log,) = await house.logs()
    repository = house.workspace.trigger_runner._repository
    await repository.update_log(log.id, {"status": "running", "finished_at": None})
    answers = [False]  # it had not begun when this process looked

    async def looked_too_early(db: Database, run_id: str) -> bool:
        return answers.pop() if answers else await run_exists(db, run_id)

    monkeypatch.setattr("dify_host.triggers.runner.run_exists", looked_too_early)
    await ACTORS[job.actor].run(house.platform, **job.args)

    await settle_trigger_logs(house.platform.db)
    assert [log.status for log in await house.logs()] == [run.status for run in await house.runs()] == ["succeeded"]


async def test_a_job_that_is_lost_is_written_again_until_its_run_begins(house: TriggerHouse) -> None:
    app_id = await house.app(graph((webhook(), end("end"))))
    await house.call(await house.webhook_id(app_id), json={})
    (lost,) = await house.jobs()  # a queue that has lost it
    assert await repeat_lost_triggers(house.platform.db) == 0  # it may be on its way

    for repeated in (1, 2, 3):
        await house.age_logs(timedelta(minutes=5 * 2 ** (repeated - 1)))
        counts = await asyncio.gather(*(repeat_lost_triggers(house.platform.db) for _ in range(3)))
        assert sum(counts) == 1  # whoever looks, and however often, it is written once
        (log,) = await house.logs()
        (job,) = await house.jobs()
        assert (log.status, log.retry_count, log.celery_task_id) == ("queued", repeated, job.id)
        assert job.args == lost.args

    await ACTORS[job.actor].run(house.platform, **job.args)
    await ACTORS[lost.actor].run(house.platform, **lost.args)  # it was only late
    await house.age_logs(timedelta(days=1))
    assert await repeat_lost_triggers(house.platform.db) == 0
    assert [log.status for log in await house.logs()] == [run.status for run in await house.runs()] == ["succeeded"]


async def test_each_trigger_starts_its_own_path(house: TriggerHouse) -> None:
    both = end("both", a=("one", "a"), b=("two", "b"))
    one, two = webhook("one", body=TEXT), webhook("two", body=[{"name": "b", "type": "number"}])
    app_id = await house.app(graph((one, both), (two, both)))

    await house.call(await house.webhook_id(app_id, "one"), json={"a": "x"})
    await house.call(await house.webhook_id(app_id, "two"), json={"b": 5})
    await house.work()

    assert [run.outputs for run in await house.runs()] == [{"a": "x", "b": None}, {"a": None, "b": 5}]


async def test_files_of_a_form_and_of_a_body_of_bytes(house: TriggerHouse) -> None:
    form = webhook(
        "form",
        content_type="multipart/form-data",
        body=[{"name": "note", "type": "string"}, {"name": "n", "type": "number"}, {"name": "doc", "type": "file"}],
    )
    raw = webhook("raw", method="put", content_type="application/octet-stream", body=[{"name": "all", "type": "file"}])
    app_id = await house.app(
        graph(
            (form, end("e1", note=("form", "note"), n=("form", "n"), doc=("form", "doc"))),
            (raw, end("e2", all=("raw", "all"))),
        )
    )

    files = {"doc": ("ä.txt", b"hello", "text/plain")}
    first = await house.call(await house.webhook_id(app_id, "form"), data={"note": "hi", "n": "1.5"}, files=files)
    headers = {"content-type": "application/octet-stream"}
    second = await house.call(await house.webhook_id(app_id, "raw"), "PUT", content=b"\x00\xff", headers=headers)
    assert (first.status_code, second.status_code) == (200, 200)
    await house.work()

    formed, whole = sorted((run.outputs for run in await house.runs()), key=len, reverse=True)
    assert (formed["note"], formed["n"], formed["doc"]["filename"], formed["doc"]["size"]) == ("hi", 1.5, "ä.txt", 5)
    assert await _content(house, formed["doc"]) == b"hello"
    assert await _content(house, whole["all"]) == b"\x00\xff"


async def _content(house: TriggerHouse, file: dict[str, Any]) -> bytes:
    return await house.workspace.files.load(await house.workspace.files.resolve(file))


@pytest.mark.parametrize(
    ("config", "request_", "message"),
    [
        ({"method": "put"}, {"json": {}}, "HTTP method mismatch. Expected PUT, got POST"),
        (
            {},
            {"content": b"x", "headers": {"content-type": "text/plain"}},
            "Content-type mismatch. Expected application/json",
        ),
        ({"headers": [{"name": "X-A", "required": True}]}, {"json": {}}, "Required header missing: X-A"),
        ({"params": [{"name": "q", "required": True}]}, {"json": {}}, "Required query parameter missing: q"),
        (
            {"params": [{"name": "q", "type": "number"}]},
            {"json": {}, "params": {"q": "x"}},
            "'q' must be of type number",
        ),
        (
            {"params": [{"name": "q", "type": "number"}]},
            {"json": {}, "params": {"q": "nan"}},
            "'q' must be of type number",
        ),
        ({"params": [{"name": "q", "type": "boolean"}]}, {"json": {}, "params": {"q": "2"}}, "must be of type boolean"),
        ({"body": TEXT}, {"json": {}}, "Required body parameter missing: a"),
        ({"body": TEXT}, {"json": {"a": None}}, "Required body parameter missing: a"),
        ({"body": TEXT}, {"json": {"a": 1}}, "'a' must be of type string, not int"),
        ({"body": [{"name": "a", "type": "number"}]}, {"json": {"a": True}}, "'a' must be of type number, not bool"),
        (
            {"body": [{"name": "a", "type": "array[number]"}]},
            {"json": {"a": [1, "2"]}},
            "'a' must be of type array[number]",
        ),
        ({"body": TEXT}, {"json": [1]}, "The JSON body must be an object"),
        ({}, {"content": b"{", "headers": {"content-type": "application/json"}}, "Invalid JSON body"),
        ({}, {"content": b"[" * 5000, "headers": {"content-type": "application/json"}}, "Invalid JSON body"),
        (
            {"content_type": "multipart/form-data", "body": [{"name": "f", "type": "file", "required": True}]},
            {"data": {"f": "no file"}, "files": {"g": ("g", b"1")}},
            "Required file missing: f",
        ),
        (
            {"content_type": "multipart/form-data"},
            {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
            "boundary",
        ),
        (
            {"content_type": "text/plain", "body": TEXT},
            {"content": b"", "headers": {"content-type": "text/plain"}},
            "Required body content missing",
        ),
    ],
)
async def test_what_does_not_fit_is_refused_and_leaves_nothing(
    house: TriggerHouse, config: dict[str, Any], request_: dict[str, Any], message: str
) -> None:
    app_id = await house.app(graph((webhook(**config), end("end"))))

    answer = await house.call(await house.webhook_id(app_id), **request_)

    assert answer.status_code == 400
    assert answer.json()["error"] == "Bad Request"
    assert message in answer.json()["message"]
    assert await house.logs() == []
    assert await house.jobs() == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
async def test_every_method_is_served(house: TriggerHouse, method: str) -> None:
    app_id = await house.app(graph((webhook(method=method.lower()), end("end"))))

    answer = await house.call(await house.webhook_id(app_id), method)

    assert answer.status_code == 200
    assert answer.content == b"" if method == "HEAD" else answer.json() == DONE
    assert len(await house.logs()) == 1


@pytest.mark.parametrize(
    ("status", "text", "body"),
    [
        (201, '{"ok": true}', {"ok": True}),
        (200, " [1, 2]", [1, 2]),
        (202, "thank you", {"message": "thank you"}),
        (200, "{not json", {"message": "{not json"}),
        (200, "", DONE),
        (400, None, DONE),
    ],
)
async def test_the_answer_is_that_of_the_node(house: TriggerHouse, status: int, text: str | None, body: Any) -> None:
    app_id = await house.app(graph((webhook(status_code=status, response_body=text), end("end"))))

    answer = await house.call(await house.webhook_id(app_id))

    assert (answer.status_code, answer.json()) == (status, body)


async def test_an_answer_without_content(house: TriggerHouse) -> None:
    app_id = await house.app(graph((webhook(status_code=204, response_body="x"), end("end"))))
    answer = await house.call(await house.webhook_id(app_id))
    assert (answer.status_code, answer.content) == (204, b"")


async def test_too_large_a_body(env: dict[str, str], house: TriggerHouse) -> None:
    app_id = await house.app(graph((webhook(), end("end"))))
    limit = house.platform.settings.webhook_request_body_max_size
    answer = await house.call(await house.webhook_id(app_id), content=b"x" * (limit + 1))
    assert answer.status_code == 413
    assert await house.logs() == []


async def test_nobody_listens(house: TriggerHouse) -> None:
    app_id = await house.app(graph((webhook(), end("end"))), publish=False)
    draft = await house.webhook_id(app_id)
    published = await house.app(graph((webhook(), end("end"))))
    off = await house.webhook_id(published)
    (trigger,) = await house.workspace.triggers.list(published)
    await house.workspace.triggers.enable(published, trigger.id, False)

    for webhook_id in ("unknown", draft, off):
        answer = await house.call(webhook_id, json={})
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"
    assert (await house.web.post("/triggers/plugin/0b4d3e9e-0000-4000-8000-000000000000")).json() == {
        "error": "Endpoint not found"
    }

    await house.workspace.triggers.enable(published, trigger.id, True)
    assert (await house.call(off, json={})).status_code == 200


async def test_a_workflow_that_fails_is_a_log_that_says_so(house: TriggerHouse) -> None:
    broken = node("t", "template-transform", template="{{ 1/0 }}", variables=[])
    app_id = await house.app(graph((webhook(), broken, end("end"))))
    await house.call(await house.webhook_id(app_id), json={})

    await house.work()

    (log,) = await house.logs()
    assert log.status == "failed"
    assert log.error


async def test_an_app_that_is_gone_before_its_run(house: TriggerHouse) -> None:
    app_id = await house.app(graph((webhook(), end("end"))))
    await house.call(await house.webhook_id(app_id), json={})
    await house.workspace.apps.delete(app_id)

    await house.work()

    assert [log.status for log in await house.logs()] == ["failed"]
    assert await house.runs() == []


async def test_a_draft_that_waits_gets_the_request_once(house: TriggerHouse) -> None:
    app_id = await house.app(graph((webhook(body=TEXT), end("end"))), publish=False)
    webhook_id, triggers = await house.webhook_id(app_id), house.workspace.triggers
    assert await triggers.wait_for_event(app_id, ["hook"], "me") is None
    assert await triggers.wait_for_event(app_id, ["hook", "other"], "you") is None

    assert (await house.call(webhook_id, debug=True, json={"a": 1})).status_code == 400
    assert (await house.call(webhook_id, debug=True, json={"a": "x"})).json() == DONE

    for waiter in ("me", "you"):
        event = await triggers.wait_for_event(app_id, ["hook"], waiter)
        assert event is not None
        assert (event.node_id, event.inputs["webhook_data"]["body"]) == ("hook", {"a": "x"})
    assert await triggers.wait_for_event(app_id, ["hook"], "me") is None
    assert await house.logs() == []


async def test_addresses_stay_with_their_nodes(house: TriggerHouse) -> None:
    app_id = await house.app(graph((webhook("one"), end("end")), (webhook("two"), end("end"))))
    before = await house.hooks(app_id)
    assert before.keys() == {"one", "two"}
    assert len(set(before.values())) == 2

    await house.app(graph((webhook("one"), end("end")), (webhook("three"), end("end"))), app_id=app_id, publish=False)
    drafted = await house.hooks(app_id)
    assert drafted.keys() == {"one", "two", "three"}
    assert before.items() <= drafted.items()

    await house.workspace.apps.publish(app_id, house.owner_id)
    after = await house.hooks(app_id)
    assert after == {"one": before["one"], "three": drafted["three"]}
    assert [trigger.node_id for trigger in await house.workspace.triggers.list(app_id)] == ["one", "three"]


async def test_a_trigger_that_is_off_stays_off_when_its_app_is_published_again(house: TriggerHouse) -> None:
    app_id = await house.app(graph((webhook(), end("end"))))
    (trigger,) = await house.workspace.triggers.list(app_id)
    await house.workspace.triggers.enable(app_id, trigger.id, False)
    await house.workspace.apps.publish(app_id, house.owner_id)
    (after,) = await house.workspace.triggers.list(app_id)
    assert (after.id, after.status) == (trigger.id, "disabled")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([(webhook(f"h{number}"), end("end")) for number in range(6)], "h5: The workflow has 6 webhook triggers"),
        ([(schedule(timezone="Mars/Base"), end("end"))], "clock: There is no time zone 'Mars/Base'"),
        ([(schedule(cron="99 9 * * *"), end("end"))], "clock: The cron expression '99 9"),
        ([(webhook(), end("end")), (node("start", "start", variables=[]), end("end"))], "cannot coexist"),
        ([(webhook(), end("a")), (webhook("hook2"), node("end", "end", outputs=5))], "end: "),
    ],
)
async def test_what_cannot_start_is_named_and_nothing_is_stored(house: TriggerHouse, paths: Any, message: str) -> None:
    with pytest.raises(InvalidGraph, match=message):
        await house.app(graph(*paths))
    assert await house.rows(workflow_webhook_triggers) == []


async def test_a_node_that_only_a_second_trigger_reaches_is_no_warning(house: TriggerHouse) -> None:
    app_id = await house.app(graph((webhook("one"), end("first")), (webhook("two"), end("second")), (end("never"),)))
    problems = await house.workspace.apps.problems(app_id)
    assert [item.node_id for item in problems if item.code == "unreachable_node"] == ["never"]


async def test_another_workspace_sees_and_switches_nothing(house: TriggerHouse) -> None:
    app_id = await house.app(graph((webhook(), end("end"))))
    (trigger,) = await house.workspace.triggers.list(app_id)
    other = await TriggerHouse.open(house.platform, house.web)
    assert await other.workspace.triggers.list(app_id) == []
    with pytest.raises(Exception, match="Trigger not found"):
        await other.workspace.triggers.enable(app_id, trigger.id, False)
    with pytest.raises(Exception, match="not found for node"):
        await other.workspace.triggers.webhook(app_id, "hook")
