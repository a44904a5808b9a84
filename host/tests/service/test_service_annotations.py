"""Annotations of an app: written, listed, changed, indexed by a job, and given as answers."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.outbox import outbox
from dify_host.jobs.actors import ACTORS

from .service_house import House, Key, answers_with, names

SWITCH = {
    "score_threshold": 0.9,
    "embedding_provider_name": "openai",
    "embedding_model_name": "scripted-embedding",
}
ITEM = {"id", "question", "answer", "hit_count", "created_at"}
ANNOTATION_JOBS = ("index_annotation", "index_annotations", "import_annotations", "annotation_reply")
MODES = ("chat", "advanced-chat")


async def do_jobs(house: House) -> None:
    """Do the waiting jobs of annotations, as a worker would."""
    async with house.platform.db.write() as conn:
        mine = outbox.c.actor.in_(ANNOTATION_JOBS)
        rows = (await conn.execute(sa.select(outbox).where(mine).order_by(outbox.c.id))).all()
        await conn.execute(outbox.delete().where(mine))
    for row in rows:
        await ACTORS[row.actor].run(house.platform, **row.args)


async def write(key: Key, question: str, answer: str) -> dict[str, Any]:
    made = await key("POST", "/apps/annotations", {"question": question, "answer": answer})
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


async def switch(house: House, key: Key, action: str = "enable", **more: Any) -> dict[str, Any]:
    """Switch the annotation reply and do the job; how it ended."""
    begun = (await key("POST", f"/apps/annotation-reply/{action}", {**SWITCH, **more})).json()
    assert begun["job_status"] == "waiting"
    await do_jobs(house)
    told: dict[str, Any] = (await key("GET", f"/apps/annotation-reply/{action}/status/{begun['job_id']}")).json()
    return told


async def app_of(house: House, mode: str) -> Key:
    return await house.app(mode, answers_with() if mode == "advanced-chat" else {"pre_prompt": "Be brief."})


@pytest.fixture
async def chat(house: House) -> Key:
    return await app_of(house, "chat")


async def test_annotations_are_written_listed_changed_and_deleted(chat: Key) -> None:
    empty = (await chat("GET", "/apps/annotations")).json()
    assert empty == {"data": [], "has_more": False, "limit": 20, "total": 0, "page": 1}
    first = await write(chat, "What costs a gripper?", "Eighteen euros.")
    assert set(first) == ITEM
    assert (first["question"], first["answer"], first["hit_count"]) == ("What costs a gripper?", "Eighteen euros.", 0)
    await write(chat, "What weighs a wheel?", "Two kilograms, 100%.")
    page = (await chat("GET", "/apps/annotations?limit=1")).json()
    assert [item["question"] for item in page["data"]] == ["What weighs a wheel?"]
    assert (page["has_more"], page["total"]) == (True, 2)
    for keyword, found in (("GRIPPER", 1), ("kilo", 1), ("what", 2), ("%25", 1), ("_", 0)):
        assert (await chat("GET", f"/apps/annotations?keyword={keyword}")).json()["total"] == found, keyword
    path = f"/apps/annotations/{first['id']}"
    changed = await chat("PUT", path, {"question": "And a gripper?", "answer": "Nineteen."})
    assert changed.json() == {**first, "question": "And a gripper?", "answer": "Nineteen."}
    gone = await chat("DELETE", path)
    assert (gone.status_code, gone.content) == (204, b"")
    for method, body in (("DELETE", None), ("PUT", {"question": "a", "answer": "b"})):
        again = await chat(method, path, body)
        assert (again.status_code, again.json()["code"]) == (404, "not_found")
        assert again.json()["message"].startswith("Annotation not found")


async def test_bodies_of_annotations_are_checked(chat: Key) -> None:
    for body in ({}, {"question": "a"}, {"question": 1, "answer": "b"}, {"question": "a", "answer": "b", "id": "c"}):
        refused = await chat("POST", "/apps/annotations", body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param"), body
    for left_out in SWITCH:
        body = {name: value for name, value in SWITCH.items() if name != left_out}
        refused = await chat("POST", "/apps/annotation-reply/disable", body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param"), left_out
    assert (await chat("POST", "/apps/annotation-reply/pause", SWITCH)).status_code == 400


async def test_annotations_of_other_apps_stay_theirs(house: House, chat: Key) -> None:
    other = await app_of(house, "chat")
    made = await write(chat, "Whose?", "Mine.")
    assert (await other("GET", "/apps/annotations")).json()["total"] == 0
    assert (await other("DELETE", f"/apps/annotations/{made['id']}")).status_code == 404
    body = {"question": "Whose?", "answer": "Theirs."}
    assert (await other("PUT", f"/apps/annotations/{made['id']}", body)).status_code == 404


async def test_switching_is_a_job_that_tells_how_far_it_is(house: House, chat: Key) -> None:
    begun = await chat("POST", "/apps/annotation-reply/enable", SWITCH)
    assert (begun.status_code, set(begun.json())) == (200, {"job_id", "job_status"})
    job_id = begun.json()["job_id"]
    twice = (await chat("POST", "/apps/annotation-reply/enable", SWITCH)).json()
    assert twice == {"job_id": job_id, "job_status": "processing"}
    status = f"/apps/annotation-reply/enable/status/{job_id}"
    assert (await chat("GET", status)).json() == {"job_id": job_id, "job_status": "waiting", "error_msg": ""}
    await do_jobs(house)
    assert (await chat("GET", status)).json()["job_status"] == "completed"
    shown = (await chat("GET", "/parameters")).json()["annotation_reply"]
    assert (shown["enabled"], shown["score_threshold"]) == (True, 0.9)
    assert shown["embedding_model"]["embedding_model_name"] == "scripted-embedding"
    assert (await switch(house, chat, "disable"))["job_status"] == "completed"
    assert (await chat("GET", "/parameters")).json()["annotation_reply"] == {"enabled": False}
    for unknown in (str(uuid.uuid4()), job_id):
        missing = await chat("GET", f"/apps/annotation-reply/disable/status/{unknown}")
        assert (missing.status_code, missing.json()["code"]) == (400, "invalid_param")
        assert missing.json()["message"].startswith("The job does not exist.")


async def test_a_model_that_cannot_be_used_is_told_by_the_job(house: House, chat: Key) -> None:
    told = await switch(house, chat, embedding_model_name="missing-model")
    assert told["job_status"] == "error"
    assert "missing-model" in told["error_msg"]
    assert (await chat("GET", "/parameters")).json()["annotation_reply"] == {"enabled": False}


@pytest.mark.parametrize("mode", MODES)
async def test_an_annotation_answers_at_once(house: House, mode: str) -> None:
    app = await app_of(house, mode)
    made = await write(app, "What costs a gripper?", "Eighteen euros.")
    await switch(house, app)
    found = await app.stream("/chat-messages", {"query": "what costs a GRIPPER?"})
    assert names(found) == ["message", "message_end"]
    assert "".join(item["answer"] for item in found[:-1]) == "Eighteen euros."
    end = found[-1]
    assert end["metadata"]["annotation_reply"] == {
        "id": made["id"],
        "account": {"id": house.owner_id, "name": "Owner"},
    }
    assert end["metadata"]["usage"]["total_tokens"] == 0
    again = (await app.wait("/chat-messages", {"query": "What costs a gripper?"})).json()
    assert (again["answer"], again["mode"]) == ("Eighteen euros.", mode)
    assert again["metadata"]["annotation_reply"]["id"] == made["id"]
    (item,) = (await app("GET", "/apps/annotations")).json()["data"]
    assert item["hit_count"] == 2
    other = (await app.wait("/chat-messages", {"query": "REPLY:Something else"})).json()
    assert (other["answer"], other["metadata"]["annotation_reply"]) == ("Something else", None)


async def test_an_answer_by_annotation_is_a_message_of_the_conversation(house: House, chat: Key) -> None:
    await write(chat, "What costs a gripper?", "Eighteen euros.")
    await switch(house, chat)
    first = (await chat.wait("/chat-messages", {"query": "What costs a gripper?"})).json()
    body = {"query": "REPLY:You asked.", "conversation_id": first["conversation_id"]}
    second = (await chat.wait("/chat-messages", body)).json()
    assert second["conversation_id"] == first["conversation_id"]
    listed = (await chat("GET", f"/messages?user=abc-123&conversation_id={first['conversation_id']}")).json()["data"]
    assert [(item["query"], item["answer"], item["status"]) for item in listed] == [
        ("What costs a gripper?", "Eighteen euros.", "normal"),
        ("REPLY:You asked.", "You asked.", "normal"),
    ]
    unknown = {"query": "What costs a gripper?", "conversation_id": str(uuid.uuid4())}
    assert (await chat.wait("/chat-messages", unknown)).status_code == 404


async def test_the_index_follows_the_annotations(house: House, chat: Key) -> None:
    await switch(house, chat)
    made = await write(chat, "What costs a gripper?", "Eighteen euros.")
    await do_jobs(house)

    async def answer(query: str) -> str:
        body = (await chat.wait("/chat-messages", {"query": query})).json()
        return str(body["answer"])

    assert await answer("What costs a gripper?") == "Eighteen euros."
    await chat("PUT", f"/apps/annotations/{made['id']}", {"question": "What weighs a wheel?", "answer": "Two."})
    await do_jobs(house)
    assert await answer("What weighs a wheel?") == "Two."
    assert (await answer("What costs a gripper?")).startswith("ECHO(")
    await chat("DELETE", f"/apps/annotations/{made['id']}")
    await do_jobs(house)
    assert (await answer("What weighs a wheel?")).startswith("ECHO(")


async def test_a_model_that_fails_leaves_the_answer_to_the_app(house: House) -> None:
    app = await house.app("advanced-chat", answers_with("REPLY:I know it myself."))
    await write(app, "What costs a gripper?", "Eighteen euros.")
    await switch(house, app)
    body = (await app.wait("/chat-messages", {"query": "FAIL:no vector for this"})).json()
    assert (body["answer"], body["metadata"]["annotation_reply"]) == ("I know it myself.", None)
