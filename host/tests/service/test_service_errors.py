"""What goes wrong is answered in one shape, by class: bad bodies, unknown fields, wrong types, and the rest."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from dify_host.apps.tables import apps
from dify_host.identity.tables import tenants
from dify_host.platform import Platform
from dify_kernel.testing.openai_server import OpenAIServer

from .service_house import House, Key, answers_with, graph, node

RUN = {"inputs": {}, "user": "abc-123"}
STARTED = graph(node("start", "start", variables=[]), node("end", "end", outputs=[]))


BAD_BODIES: list[tuple[dict[str, Any], str]] = [
    ({**RUN, "query": 7}, "query"),
    ({**RUN, "query": None}, "query"),
    (RUN, "query"),
    ({"query": "hi", "user": "u"}, "inputs"),
    ({**RUN, "inputs": [], "query": "hi"}, "inputs"),
    ({**RUN, "query": "hi", "response_mode": "later"}, "response_mode"),
    ({**RUN, "query": "hi", "files": {}}, "files"),
    ({**RUN, "query": "hi", "auto_generate_name": "perhaps"}, "auto_generate_name"),
    ({**RUN, "query": "hi", "user": ["me"]}, "user"),
]


@pytest.fixture
async def chat(house: House) -> Key:
    return await house.app("advanced-chat", answers_with())


def is_error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"], body["status"]) == (status, code, status), body
    assert isinstance(body["message"], str)
    assert body["message"]
    return body


async def test_a_body_that_does_not_fit_names_its_field(chat: Key) -> None:
    for body, field in BAD_BODIES:
        error = is_error(await chat("POST", "/chat-messages", body), 400, "invalid_param")
        assert error["params"] == field
        assert field in error["message"]


async def test_an_unknown_field_is_answered_with_the_known_ones(chat: Key) -> None:
    error = is_error(
        await chat("POST", "/chat-messages", {**RUN, "query": "hi", "tenant_id": "x"}), 400, "invalid_param"
    )
    assert error["params"] == "tenant_id"
    for name in ("query", "inputs", "user", "response_mode", "conversation_id", "files"):
        assert name in error["message"]


async def test_user_is_required_where_it_matters(chat: Key) -> None:
    for user in ({}, {"user": None}, {"user": ""}):
        for path, sent in (
            ("/chat-messages", {"inputs": {}, "query": "hi"}),
            (f"/chat-messages/{uuid.uuid4()}/stop", {}),
            (f"/messages/{uuid.uuid4()}/feedbacks", {"rating": "like"}),
        ):
            error = is_error(await chat("POST", path, {**sent, **user}), 400, "invalid_param")
            assert error["message"] == "Arg user must be provided."


async def test_user_may_be_a_number(chat: Key) -> None:
    answer = await chat("POST", "/chat-messages", {"inputs": {}, "query": "REPLY:yes", "user": 17})
    assert answer.status_code == 200
    listed = await chat("GET", "/conversations?user=17")
    assert len(listed.json()["data"]) == 1


async def test_broken_json(chat: Key) -> None:
    for body in [b"{", b"{'a': 1}", b"\xff\xfe", b'{"inputs": {}, }']:
        answer = await chat("POST", "/chat-messages", content=body, headers={"Content-Type": "application/json"})
        is_error(answer, 400, "bad_request")


async def test_json_that_is_no_object(chat: Key) -> None:
    for body in [b"", b"[]", b"null", b'"text"', b"7"]:
        answer = await chat("POST", "/chat-messages", content=body, headers={"Content-Type": "application/json"})
        is_error(answer, 400, "invalid_param")


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
async def test_a_body_must_say_that_it_is_json(chat: Key, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await chat("POST", "/chat-messages", content=b'{"inputs": {}, "query": "x", "user": "u"}', headers=headers)
    is_error(answer, 415, "unsupported_media_type")
    is_error(await chat("DELETE", f"/conversations/{uuid.uuid4()}"), 415, "unsupported_media_type")


async def test_a_huge_body_is_refused(chat: Key) -> None:
    body = b'{"inputs": {"x": "' + b"a" * 20_000_000 + b'"}, "query": "x", "user": "u"}'
    answer = await chat("POST", "/chat-messages", content=body, headers={"Content-Type": "application/json"})
    is_error(answer, 413, "request_entity_too_large")


async def test_paths_that_lead_nowhere(chat: Key, web: httpx.AsyncClient) -> None:
    is_error(await web.get("/v1/no/such/route"), 404, "not_found")
    is_error(await web.get("/elsewhere"), 404, "not_found")
    is_error(await chat("POST", "/messages/not-a-uuid/feedbacks", {"rating": "like", "user": "u"}), 404, "not_found")
    is_error(await chat("GET", "/workflows/run/12"), 404, "not_found")
    answer = await chat("PUT", "/chat-messages", RUN)
    is_error(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


async def test_query_parameters_are_checked(chat: Key) -> None:
    for query, field in (
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        ("last_id=7", "last_id"),
        ("sort_by=name", "sort_by"),
    ):
        error = is_error(await chat("GET", f"/conversations?{query}"), 400, "invalid_param")
        assert error["params"] == field


async def test_a_fault_of_ours_says_nothing_of_the_inside(house: House, chat: Key, platform: Platform) -> None:
    async def broken(*_args: Any, **_more: Any) -> None:
        raise ZeroDivisionError("the secret is 42")

    platform.runs.start = broken  # type: ignore[method-assign,assignment]
    answer = await chat.wait("/chat-messages", {"query": "hi"})
    error = is_error(answer, 500, "unknown")
    assert error == {"code": "unknown", "message": "Internal Server Error", "status": 500}


# -- the order of checks --------------------------------------------------------------------------------------


async def test_the_key_is_checked_before_the_body(web: httpx.AsyncClient) -> None:
    answer = await web.post("/v1/chat-messages", content=b"{", headers={"Authorization": "Bearer app-unknown"})
    is_error(answer, 401, "unauthorized")


async def test_apps_that_do_not_answer(house: House, platform: Platform) -> None:
    app = await house.app("workflow", STARTED)

    async def change(**values: Any) -> httpx.Response:
        async with platform.db.write() as conn:
            await conn.execute(apps.update().where(apps.c.id == app.app_id).values(**values))
        platform.live_apps.forget(app.app_id)
        return await app("POST", "/workflows/run", content=b"{")  # a bad body is not even looked at

    error = is_error(await change(enable_api=False), 403, "forbidden")
    assert error["message"] == "The app's API service has been disabled."
    error = is_error(await change(status="paused"), 403, "forbidden")
    assert error["message"] == "The app's status is abnormal."
    async with platform.db.write() as conn:
        await conn.execute(apps.delete().where(apps.c.id == app.app_id))
    platform.live_apps.forget(app.app_id)
    error = is_error(await app("GET", "/info"), 403, "forbidden")
    assert error["message"] == "The app no longer exists."


async def test_an_archived_workspace(house: House, platform: Platform) -> None:
    app, knowledge = await house.app("workflow", STARTED), await house.dataset_key()
    async with platform.db.write() as conn:
        mine = tenants.c.id == house.workspace.tenant.id
        await conn.execute(tenants.update().where(mine).values(status="archive"))
    error = is_error(await app("GET", "/info"), 403, "forbidden")
    assert error["message"] == "The workspace's status is archived."
    is_error(await knowledge("GET", "/datasets"), 401, "unauthorized")


async def test_wrong_modes(house: House) -> None:
    flow = await house.app("workflow", STARTED)
    text = "Please check if your app mode matches the right API route."
    for method, path, body in (
        ("POST", "/chat-messages", {**RUN, "query": "x"}),
        ("GET", "/conversations", None),
        ("GET", f"/messages?conversation_id={uuid.uuid4()}", None),
    ):
        assert is_error(await flow(method, path, body), 400, "not_chat_app")["message"] == text
    is_error(await flow("POST", "/completion-messages", RUN), 400, "app_unavailable")
    chat = await house.app("chat", {"pre_prompt": "Be brief."})
    assert is_error(await chat("POST", "/workflows/run", RUN), 400, "not_workflow_app")["message"] == text
    is_error(await chat("GET", f"/workflows/run/{uuid.uuid4()}"), 400, "not_workflow_app")


async def test_an_app_without_a_published_version(house: House) -> None:
    app = await house.app("workflow", STARTED, publish=False)
    error = is_error(await app.wait("/workflows/run", {}), 400, "invalid_param")
    assert "not published" in error["message"]


async def test_a_model_without_credentials(workshop: Any, openai: OpenAIServer) -> None:
    bare = await workshop.open("Bare", models=False)
    app = await bare.app("chat", {"pre_prompt": "x"})
    is_error(await app.wait("/chat-messages", {"query": "hi"}), 400, "provider_not_initialize")
