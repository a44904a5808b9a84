"""Annotations in the console: by hand, out of a message, from a file; answers by them, and what their use was."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from dify_host.knowledge.records import IndexStruct
from dify_host.platform import Platform

from ..service.service_house import House, Key, answers_with
from ..service.test_service_annotations import ITEM, SWITCH, do_jobs
from .console_house import Browser

CSV = (
    'question,answer\nWhat costs a gripper?,Eighteen euros.\n"What weighs a ""wheel""?","Two kilograms,\nor three."\n\n'
)


async def chat_app(house: House, mode: str = "chat") -> Key:
    return await house.app(mode, answers_with() if mode == "advanced-chat" else {"pre_prompt": "Be brief."})


async def send(owner: Browser, app_id: str, text: str | bytes, name: str = "cards.csv") -> httpx.Response:
    """Import a file."""
    data = text.encode() if isinstance(text, str) else text
    return await owner("POST", f"/apps/{app_id}/annotations/batch-import", files={"file": (name, data, "text/csv")})


async def switch(owner: Browser, house: House, app_id: str, **more: Any) -> dict[str, Any]:
    """Switch the annotation reply on and do the job; the setting then."""
    begun = await owner.ok("POST", f"/apps/{app_id}/annotation-reply/enable", {**SWITCH, **more})
    await do_jobs(house)
    path = f"/apps/{app_id}/annotation-reply/enable/status/{begun['job_id']}"
    assert (await owner.ok("GET", path))["job_status"] == "completed"
    setting: dict[str, Any] = await owner.ok("GET", f"/apps/{app_id}/annotation-setting")
    return setting


async def answer(key: Key, query: str) -> str:
    return str((await key.wait("/chat-messages", {"query": query})).json()["answer"])


async def indexed(platform: Platform, house: House, app_id: str) -> set[str]:
    """The ids of the annotations in the app's index."""
    setting = await house.workspace.annotations.repository.setting(app_id)
    index: IndexStruct | None = setting.index if setting else None
    if index is None or index.space is None:
        return set()
    store = await platform.vectors.open(index.store)
    return {record.id for record in (await store.scan(index.space, app_id)).records}


async def test_annotations_are_written_changed_counted_exported_and_deleted(owner: Browser, house: House) -> None:
    app_id = (await chat_app(house)).app_id
    path = f"/apps/{app_id}/annotations"
    made = await owner.ok("POST", path, {"question": "What costs a gripper?", "answer": "Eighteen."}, status=201)
    assert set(made) == ITEM
    await owner.ok("POST", path, {"question": "And a wheel?", "content": "Two."}, status=201)
    for body in ({"question": "Why?"}, {"answer": "Because."}, {}):
        refused = await owner("POST", path, body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param"), body
    page = await owner.ok("GET", f"{path}?limit=1&keyword=a")
    assert (page["total"], page["has_more"], page["data"][0]["question"]) == (2, True, "And a wheel?")
    assert await owner.ok("GET", f"{path}/count") == {"count": 2}
    changed = await owner.ok("POST", f"{path}/{made['id']}", {"answer": "Nineteen."})
    assert changed == {**made, "answer": "Nineteen."}
    rows = (await owner.ok("GET", f"{path}/export"))["data"]
    assert [(item["question"], item["answer"]) for item in rows] == [
        ("And a wheel?", "Two."),
        ("What costs a gripper?", "Nineteen."),
    ]
    assert await owner.ok("DELETE", f"{path}/{made['id']}", status=204) is None
    assert (await owner("DELETE", f"{path}/{made['id']}")).status_code == 404
    assert await owner.ok("GET", f"{path}/count") == {"count": 1}


async def test_an_annotation_comes_out_of_a_message(owner: Browser, house: House) -> None:
    key = await chat_app(house)
    path = f"/apps/{key.app_id}/annotations"
    said = (await key.wait("/chat-messages", {"query": "REPLY:I do not know."})).json()
    made = await owner.ok("POST", path, {"message_id": said["message_id"], "answer": "Now I know."}, status=201)
    assert (made["question"], made["answer"]) == ("REPLY:I do not know.", "Now I know.")
    again = {"message_id": said["message_id"], "question": "Really?", "answer": "Yes."}
    assert await owner.ok("POST", path, again, status=201) == {**made, "question": "Really?", "answer": "Yes."}
    other = (await chat_app(house)).app_id
    for app_id, message_id in ((other, said["message_id"]), (key.app_id, str(uuid.uuid4()))):
        body = {"message_id": message_id, "answer": "x"}
        assert (await owner("POST", f"/apps/{app_id}/annotations", body)).status_code == 404


@pytest.mark.parametrize("mode", ["chat", "advanced-chat"])
async def test_a_file_of_annotations_answers(owner: Browser, house: House, platform: Platform, mode: str) -> None:
    key = await chat_app(house, mode)
    await switch(owner, house, key.app_id)
    begun = (await send(owner, key.app_id, CSV)).json()
    assert (begun["job_status"], begun["record_count"]) == ("waiting", 2)
    status = f"/apps/{key.app_id}/annotations/batch-import-status/{begun['job_id']}"
    assert (await owner.ok("GET", status))["job_status"] == "waiting"
    await do_jobs(house)
    assert await owner.ok("GET", status) == {"job_id": begun["job_id"], "job_status": "completed", "error_msg": ""}
    assert await answer(key, 'What weighs a "wheel"?') == "Two kilograms,\nor three."
    listed = (await owner.ok("GET", f"/apps/{key.app_id}/annotations"))["data"]
    assert await indexed(platform, house, key.app_id) == {item["id"] for item in listed}

    (used,) = [item for item in listed if item["hit_count"]]
    hits = await owner.ok("GET", f"/apps/{key.app_id}/annotations/{used['id']}/hit-histories")
    (hit,) = hits["data"]
    assert set(hit) == {"id", "source", "score", "question", "created_at", "match", "response"}
    assert (hit["source"], hit["question"], hit["match"]) == ("api", 'What weighs a "wheel"?', used["question"])
    assert (hit["response"], round(hit["score"], 3), hits["total"]) == (used["answer"], 1.0, 1)

    # All at once: rows, uses and index.
    await owner.ok("DELETE", f"/apps/{key.app_id}/annotations?annotation_id={used['id']}", status=204)
    await do_jobs(house)
    assert await indexed(platform, house, key.app_id) == {item["id"] for item in listed} - {used["id"]}
    assert (await owner("DELETE", f"/apps/{key.app_id}/annotations?annotation_id=")).status_code == 400
    await owner.ok("DELETE", f"/apps/{key.app_id}/annotations", status=204)
    await do_jobs(house)
    assert await indexed(platform, house, key.app_id) == set()
    assert (await answer(key, "What costs a gripper?")) != "Eighteen euros."
    assert (await owner("GET", f"/apps/{key.app_id}/annotations/{used['id']}/hit-histories")).status_code == 404


async def test_the_threshold_and_the_model_can_be_changed(owner: Browser, house: House, platform: Platform) -> None:
    key = await chat_app(house)
    path = f"/apps/{key.app_id}"
    assert await owner.ok("GET", f"{path}/annotation-setting") == {"enabled": False}
    await send(owner, key.app_id, CSV)
    setting = await switch(owner, house, key.app_id)
    assert set(setting) == {"id", "enabled", "score_threshold", "embedding_model"}
    near = "What costs a gripper today?"
    assert await answer(key, near) != "Eighteen euros."
    changed = await owner.ok("POST", f"{path}/annotation-settings/{setting['id']}", {"score_threshold": 0.5})
    assert changed == {**setting, "score_threshold": 0.5}
    assert await answer(key, near) == "Eighteen euros."
    strange = await owner("POST", f"{path}/annotation-settings/{uuid.uuid4()}", {"score_threshold": 0.5})
    assert strange.status_code == 404
    high = await owner("POST", f"{path}/annotation-settings/{setting['id']}", {"score_threshold": 1.5})
    assert (high.status_code, high.json()["code"]) == (400, "invalid_param")

    before = await house.workspace.annotations.repository.setting(key.app_id)
    assert before is not None
    assert before.index.space is not None
    other = await switch(owner, house, key.app_id, embedding_model_name="other-embedding")
    assert other["embedding_model"]["embedding_model_name"] == "other-embedding"
    assert len(await indexed(platform, house, key.app_id)) == 2
    store = await platform.vectors.open(before.index.store)
    assert (await store.scan(before.index.space, key.app_id)).records == []  # the old one is empty
    platform.live_apps.forget(key.app_id)  # other processes see it within a second
    assert await answer(key, "What costs a gripper?") == "Eighteen euros."


async def test_files_that_are_not_right_write_nothing(owner: Browser, house: House) -> None:
    app_id = (await chat_app(house)).app_id
    assert (await send(owner, app_id, b"x" * (2 * 1024 * 1024 + 1))).status_code == 413
    for text, name in (
        ("question,answer\n", "a.csv"),
        ("q,a\nWhy?,\n", "a.csv"),
        ("q,a\nWhy?\n", "a.csv"),
        (CSV, "a.txt"),
    ):
        refused = await send(owner, app_id, text, name)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param"), text
    assert await owner.ok("GET", f"/apps/{app_id}/annotations/count") == {"count": 0}
    unknown = await owner("GET", f"/apps/{app_id}/annotations/batch-import-status/{uuid.uuid4()}")
    assert unknown.status_code == 400
    answers = [(await send(owner, app_id, "q,a\n")).status_code for _ in range(6)]
    assert answers[-1] == 429  # so many imports in a minute


async def test_two_imports_of_a_workspace_run_at_a_time(owner: Browser, house: House) -> None:
    apps = [(await chat_app(house)).app_id for _ in range(3)]
    await send(owner, apps[0], "q,a\nWhy?\n")  # which is none
    answers = [await send(owner, app_id, CSV) for app_id in apps]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json()["code"] == "too_many_requests"
    assert await owner.ok("GET", f"/apps/{apps[2]}/annotations/count") == {"count": 0}
    await do_jobs(house)
    assert (await send(owner, apps[2], CSV)).status_code == 200


async def test_annotations_of_another_workspace_lead_nowhere(owner: Browser, stranger: Browser, house: House) -> None:
    app_id = (await chat_app(house)).app_id
    path = f"/apps/{app_id}/annotations"
    made = await owner.ok("POST", path, {"question": "Whose?", "answer": "Mine."}, status=201)
    for method, place in (
        ("GET", path),
        ("DELETE", path),
        ("GET", f"{path}/export"),
        ("DELETE", f"{path}/{made['id']}"),
        ("GET", f"{path}/{made['id']}/hit-histories"),
    ):
        assert (await stranger(method, place)).status_code == 404, place
    assert (await send(stranger, app_id, CSV)).status_code == 404
    assert await owner.ok("GET", f"{path}/count") == {"count": 1}
