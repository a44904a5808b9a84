"""Questions and answers over HTTP: what clients are told, who may answer, and what is refused."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.catalog import metadata
from dify_host.db.types import utc_now
from dify_host.human.looking_after import look_after_forms
from dify_host.human.tables import human_input_forms
from dify_host.platform import Platform

from ..service.service_house import House, Key, graph, names, node
from .forms import APPROVAL, approval, ask
from .http_forms import Desk, work

FORM = ["form_content", "inputs", "resolved_default_values", "user_actions", "expiration_time"]


@pytest.fixture
async def desk(house: House) -> Desk:
    return await Desk.open(house)


async def test_a_stream_ends_with_the_question_and_goes_on_elsewhere_with_the_answer(desk: Desk) -> None:
    asked = await desk.ask()
    assert names(desk.said)[-2:] == ["human_input_required", "workflow_paused"]
    assert list(asked) == [
        *("form_id", "node_id", "node_title", "form_content", "inputs", "actions", "display_in_ui", "form_token"),
        *("resolved_default_values", "expiration_time"),
    ]
    assert (asked["node_id"], asked["node_title"]) == ("ask", "Ask")
    assert asked["form_content"] == "Is the text fine? {{#$output.comment#}}"
    paused = desk.said[-1]["data"]
    assert (paused["status"], paused["paused_nodes"], paused["workflow_run_id"]) == ("paused", ["ask"], desk.run_id)
    assert paused["reasons"] == [{"TYPE": "human_input_required", **asked}]
    assert {"outputs", "created_at", "elapsed_time", "total_tokens", "total_steps"} <= set(paused)
    assert ((await desk.detail())["status"], (await desk.detail())["finished_at"]) == ("paused", None)

    shown = await desk.get(asked["form_token"])
    assert (shown.status_code, list(shown.json())) == (200, FORM)
    assert shown.json()["user_actions"] == asked["actions"]
    assert shown.json()["expiration_time"] == asked["expiration_time"]
    answer = await desk.answer(asked["form_token"], comment="well done")
    assert (answer.status_code, answer.json()) == (200, {})
    assert (await desk.detail())["status"] == "paused"
    assert len(await desk.work()) == 1
    detail = await desk.detail()
    assert (detail["status"], detail["outputs"]) == ("succeeded", '{"comment":"well done"}')

    told = await desk.after()
    assert [item["event"] for item in told if item["event"] != "text_chunk"] == [
        *("workflow_started", "node_started", "node_finished", "node_started"),
        *("human_input_required", "workflow_paused", "human_input_form_filled", "node_finished"),
        *("node_started", "node_finished", "workflow_finished"),
    ]
    filled = next(item["data"] for item in told if item["event"] == "human_input_form_filled")
    assert filled == {
        "node_id": "ask",
        "node_title": "Ask",
        "rendered_content": "Is the text fine? well done",
        "action_id": "approve",
        "action_text": "Approve",
        "submitted_data": {"comment": "well done"},
    }


async def test_a_blocking_call_says_what_it_waits_for(desk: Desk) -> None:
    answer = await desk.app.wait("/workflows/run", {"inputs": APPROVAL})
    data = answer.json()["data"]
    assert (data["status"], data["finished_at"], data["paused_nodes"]) == ("paused", None, ["ask"])
    (reason,) = data["reasons"]
    assert (await desk.answer(reason["form_token"], comment="")).status_code == 200
    await desk.work()
    detail = (await desk.app("GET", f"/workflows/run/{answer.json()['workflow_run_id']}")).json()
    assert detail["status"] == "succeeded"


async def test_the_log_of_the_app_finds_runs_that_wait(desk: Desk) -> None:
    asked = await desk.ask()

    async def found(status: str) -> list[str]:
        page = (await desk.app("GET", f"/workflows/logs?status={status}")).json()
        return [item["workflow_run"]["id"] for item in page["data"]]

    assert (await found("paused"), await found("succeeded")) == ([desk.run_id], [])
    await desk.answer(asked["form_token"], comment="x")
    await desk.work()
    assert (await found("paused"), await found("succeeded")) == ([], [desk.run_id])


@pytest.mark.parametrize("mode", ["streaming", "blocking"])
async def test_a_chat_waits_and_its_message_with_it(house: House, mode: str) -> None:
    body = graph(
        node("start", "start", variables=[]),
        ask(form_content="Fine?", user_actions=[{"id": "approve", "title": "Approve"}]),
        node("answer", "answer", answer="First. {{#ask.comment#}}"),
    )
    body["edges"][1]["sourceHandle"] = "approve"
    desk = await Desk.open(house, body, "advanced-chat")
    if mode == "streaming":
        asked = await desk.ask("/chat-messages", query="hi", inputs={})
        conversation_id, run_id = desk.said[0]["conversation_id"], desk.run_id
        assert names(desk.said)[-2:] == ["human_input_required", "workflow_paused"]
        assert {"conversation_id", "message_id", "created_at", "task_id", "workflow_run_id"} <= set(desk.said[-1])
    else:
        said = (await desk.app.wait("/chat-messages", {"query": "hi"})).json()
        assert (said["event"], said["data"]["status"], said["mode"]) == ("workflow_paused", "paused", "advanced-chat")
        assert {"answer", "message_id", "conversation_id", "metadata"} <= set(said) & set(said["data"])
        (asked,) = said["data"]["reasons"]
        conversation_id, run_id = said["conversation_id"], said["workflow_run_id"]

    async def message() -> dict[str, Any]:
        (found,) = (await desk.app("GET", f"/messages?conversation_id={conversation_id}&user=abc-123")).json()["data"]
        return dict(found)

    assert (await message())["status"] == "paused"
    assert (await desk.answer(asked["form_token"], comment="Second.")).status_code == 200
    await desk.work()
    assert ((await message())["status"], (await message())["answer"]) == ("normal", "First. Second.")
    detail = (await desk.app("GET", f"/workflows/run/{run_id}")).json()
    assert detail["status"] == "succeeded"


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("nothing", {"comment": "x", "level": "low"}, "action"),
    ("__timeout", {"comment": "x", "level": "low"}, "action"),
    ("approve", {"level": "low"}, "comment"),
    ("approve", {"comment": "x", "level": "low", "other": 1}, "other"),
    ("approve", {"comment": 5, "level": "low"}, "comment"),
    ("approve", {"comment": None, "level": "low"}, "comment"),
    ("approve", {"comment": "x", "level": "middle"}, "level"),
    ("approve", {"comment": "x", "level": ["low"]}, "level"),
    ("approve", {"comment": "x" * 300_000, "level": "low"}, "comment"),
]


@pytest.mark.parametrize(("action", "inputs", "field"), BAD)
async def test_an_answer_that_does_not_fit_is_refused_and_the_form_stays_open(
    house: House, action: str, inputs: dict[str, Any], field: str
) -> None:
    options = {"type": "constant", "value": ["low", "high"]}
    fields = [
        {"type": "paragraph", "output_variable_name": "comment"},
        {"type": "select", "output_variable_name": "level", "option_source": options},
    ]
    desk = await Desk.open(house, approval(inputs=fields))
    token = (await desk.ask())["form_token"]
    for answer in (await desk.answer(token, action, **inputs), await desk.by_link(token, action, **inputs)):
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_form_data"), answer.text
        assert answer.json()["params"] == field
    assert await desk.work() == []
    assert (await desk.answer(token, comment="", level="high")).status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"action": "approve"}, {"inputs": {}, "action": "approve"}, {"inputs": [], "action": "x", "user": "u"}]
)
async def test_a_body_that_is_no_answer(desk: Desk, body: dict[str, Any]) -> None:
    token = (await desk.ask())["form_token"]
    answer = await desk.app("POST", f"/form/human_input/{token}", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_param")


async def test_the_first_answer_counts(desk: Desk) -> None:
    asked = await desk.ask()
    token = asked["form_token"]
    answers = await asyncio.gather(
        *(
            call(token, action, comment=action)
            for call in (desk.answer, desk.by_link)
            for action in ("approve", "reject")
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
    for answer in [*answers, await desk.get(token), await desk.answer(token, comment="again")]:
        if answer.status_code != 200:
            assert answer.json()["code"] == "human_input_form_submitted"
            assert asked["form_id"] in answer.json()["message"]
    await desk.work()
    assert (await desk.get(token)).status_code == 412


async def test_a_form_whose_time_is_up(desk: Desk, platform: Platform) -> None:
    token = (await desk.ask())["form_token"]
    async with platform.db.write() as conn:
        await conn.execute(human_input_forms.update().values(expiration_time=utc_now() - timedelta(seconds=1)))
    for _ in range(2):
        for answer in (await desk.get(token), await desk.answer(token, comment="x"), await desk.by_link(token)):
            assert (answer.status_code, answer.json()["code"]) == (412, "human_input_form_expired"), answer.text
        await look_after_forms(platform.db)
    await desk.work()
    assert (await desk.detail())["status"] == "succeeded"
    told = [item for item in await desk.after() if item["event"].startswith("human_input_form")]
    assert [item["event"] for item in told] == ["human_input_form_timeout"]
    assert list(told[0]["data"]) == ["node_id", "node_title", "expiration_time"]


async def test_a_run_that_was_stopped_wants_no_answer(desk: Desk) -> None:
    token = (await desk.ask())["form_token"]
    stopped = await desk.app("POST", f"/workflows/tasks/{desk.run_id}/stop", {"user": "abc-123"})
    assert stopped.status_code == 200
    assert (await desk.detail())["status"] == "stopped"
    answer = await desk.answer(token, comment="x")
    assert (answer.status_code, answer.json()["code"]) == (412, "human_input_form_expired")
    assert await desk.work() == []


async def test_a_token_opens_one_form_of_one_app(desk: Desk, house: House, workshop: Any) -> None:
    token = (await desk.ask())["form_token"]
    other = await Desk.open(house)
    stranger = await Desk.open(await workshop.open("Stranger"))
    raw = base64.urlsafe_b64decode(token)
    wrong = [
        base64.urlsafe_b64encode(raw[:16] + bytes(20)).decode(),
        base64.urlsafe_b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode(),
        base64.urlsafe_b64encode(raw[:16]).decode(),
        (await desk.forms())[0].id,
        token[:-4],
        "x",
        "%F0%9F%99%82",
    ]
    tries = [await somebody.get(token) for somebody in (other, stranger)]
    tries += [await somebody.answer(token, comment="x") for somebody in (other, stranger)]
    for bad in wrong:
        tries += [await desk.get(bad), await desk.by_link(bad, comment="x"), await desk.page(bad)]
    for answer in tries:
        assert answer.status_code == 404, answer.text
    assert (await desk.get(token)).status_code == 200


async def test_a_token_is_kept_nowhere(desk: Desk, platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        token = (await desk.ask())["form_token"]
        await desk.page(token)
        await desk.answer(token, "wrong")
        await desk.answer(token, comment="x")
        await desk.work()
    signature = token[22:]
    assert all(signature not in record.getMessage() for record in caplog.records if record.name.startswith("dify"))
    async with platform.db.read() as conn:
        for table in metadata.sorted_tables:
            assert signature not in repr((await conn.execute(sa.select(table))).all()), table.name


async def test_a_form_that_is_sent_by_mail_alone_is_not_the_apps(house: House) -> None:
    mail = {"type": "email", "enabled": True, "config": {"recipients": {"items": []}, "subject": "s", "body": "b"}}
    desk = await Desk.open(house, approval(delivery_methods=[mail]))
    asked = await desk.ask()
    assert (asked["form_token"], asked["display_in_ui"]) == (None, False)
    token = house.platform.form_links.token(asked["form_id"])
    for answer in (await desk.get(token), await desk.answer(token, comment="x")):
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert (await desk.by_link(token, comment="by link")).status_code == 200
    await desk.work()
    assert (await desk.detail())["outputs"] == '{"comment":"by link"}'


# -- files ---------------------------------------------------------------------------------------------------


def with_files() -> dict[str, Any]:
    """start -> a form with files -> an end with their names."""
    fields = [
        {"type": "file", "output_variable_name": "one", "allowed_file_types": ["document"]},
        {"type": "file-list", "output_variable_name": "many", "allowed_file_types": ["document"], "number_limits": 2},
    ]
    form = ask(form_content="Files!", inputs=fields, user_actions=[{"id": "send", "title": "Send"}])
    body = graph(
        node("start", "start", variables=[]),
        form,
        node("end", "end", outputs=[{"variable": name, "value_selector": ["ask", name]} for name in ("one", "many")]),
    )
    body["edges"][1]["sourceHandle"] = "send"
    return body


async def upload(key: Key, name: str = "a.txt", user: str = "abc-123") -> dict[str, str]:
    """An uploaded file as an answer names it."""
    sent = await key("POST", "/files/upload", files={"file": (name, b"words", "text/plain")}, data={"user": user})
    return {"transfer_method": "local_file", "upload_file_id": sent.json()["id"], "type": "document"}


async def test_files_are_answers(house: House) -> None:
    desk = await Desk.open(house, with_files())
    token = (await desk.ask(inputs={}))["form_token"]
    file, remote = await upload(desk.app), {"transfer_method": "remote_url", "url": "https://example.com/b.txt"}
    bad: list[dict[str, Any]] = [
        {"one": "a.txt", "many": []},
        {"one": {"transfer_method": "tool_file", "tool_file_id": file["upload_file_id"]}, "many": []},
        {"one": {**file, "upload_file_id": desk.app.app_id}, "many": []},
        {"one": await upload(desk.app, "a.png"), "many": []},
        {"one": file, "many": file},
        {"one": file, "many": [file, file, file]},
        {"one": {**remote, "url": "ftp://example.com/b.txt"}, "many": []},
    ]
    for inputs in bad:
        answer = await desk.answer(token, "send", **inputs)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_form_data"), inputs
    assert (await desk.answer(token, "send", one=file, many=[file, remote])).status_code == 200
    await desk.work()
    (finished,) = [item["data"] for item in await desk.after() if item["event"] == "workflow_finished"]
    outputs = finished["outputs"]
    assert outputs["one"]["related_id"] == file["upload_file_id"]
    assert [item["filename"] for item in outputs["many"]] == ["a.txt", "b.txt"]


async def test_who_has_a_link_names_no_uploads_of_others(house: House) -> None:
    desk = await Desk.open(house, with_files())
    token = (await desk.ask(inputs={}))["form_token"]
    theirs, own = await upload(desk.app, user="somebody else"), await upload(desk.app)
    assert (await desk.by_link(token, "send", one=theirs, many=[])).status_code == 400
    assert (await desk.by_link(token, "send", one=own, many=[])).status_code == 200


async def test_files_are_sent_with_the_page(house: House) -> None:
    desk = await Desk.open(house, with_files())
    token = (await desk.ask(inputs={}))["form_token"]
    page = (await desk.page(token)).text
    assert 'enctype="multipart/form-data"' in page
    assert 'name="many"' in page
    missing = await desk.page(token, {"__action": "send"}, {"many": ("x.txt", b"x", "text/plain")})
    assert (missing.status_code, "Missing required inputs: one" in missing.text) == (400, True)
    parts = [("one", ("a.txt", b"a", "text/plain")), *(("many", (f"{n}.txt", b"b", "text/plain")) for n in range(3))]
    many = await desk.page(token, {"__action": "send"}, parts)
    assert (many.status_code, 'role="alert"' in many.text) == (400, True)
    sent = await desk.page(token, {"__action": "send"}, parts[:3])
    assert (sent.status_code, "Thank you" in sent.text) == (200, True)
    await desk.work()
    (finished,) = [item["data"] for item in await desk.after() if item["event"] == "workflow_finished"]
    assert [item["filename"] for item in finished["outputs"]["many"]] == ["0.txt", "1.txt"]


# -- a deploy in between -------------------------------------------------------------------------------------


async def test_an_answer_is_there_for_the_next_process(desk: Desk, env: dict[str, str]) -> None:
    """The process that asked is gone, and so is the one that took the answer: a new one goes on with the run."""
    token = (await desk.ask())["form_token"]
    assert (await desk.answer(token, comment="kept")).status_code == 200
    async with Platform.opened(env, role="worker") as other:
        jobs = await work(other)
        assert [job.args["run_id"] for job in jobs] == [desk.run_id]
        assert other.form_links.token((await desk.forms())[0].id) == token
    assert (await desk.detail())["outputs"] == '{"comment":"kept"}'
