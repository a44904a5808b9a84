"""Another workspace's ids lead nowhere: every route with an id is asked with a stranger's key, and nothing changes."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.apps.tables import apps
from dify_host.db.catalog import metadata
from dify_host.platform import Platform

from .knowledge_calls import AUTOMATIC, PARENTS, add_text, index_all, make
from .service_house import House, Key, Workshop, answers_with, graph, node

#: What a stranger's request may write: traces of the stranger itself.
OWN_TRACES = {"api_tokens", "end_users", "apps", "upload_files"}


@pytest.fixture
async def stranger(workshop: Workshop) -> House:
    return await workshop.open("Stranger")


async def snapshot(platform: Platform) -> dict[str, list[Any]]:
    """Every row of every table but those of OWN_TRACES."""
    found = {}
    async with platform.db.read() as conn:
        for table in metadata.sorted_tables:
            if table.name not in OWN_TRACES:
                rows = (await conn.execute(sa.select(table))).all()
                found[table.name] = sorted(repr(tuple(row)) for row in rows)
    return found


async def test_app_ids(house: House, stranger: House) -> None:
    declared = [{"id": str(uuid.uuid4()), "name": "score", "value_type": "number", "value": 3}]
    mine = await house.app("advanced-chat", answers_with(), conversation_variables=declared)
    message = (await mine.wait("/chat-messages", {"query": "hi"})).json()
    conversation, message_id = message["conversation_id"], message["id"]
    (variable,) = (await mine("GET", f"/conversations/{conversation}/variables?user=abc-123")).json()["data"]
    file = await mine("POST", "/files/upload", files={"file": ("a.txt", b"mine")}, data={"user": "abc-123"})
    runner = await house.app("workflow", graph(node("start", "start", variables=[]), node("end", "end", outputs=[])))
    run = (await runner.wait("/workflows/run", {})).json()["data"]

    chat = await stranger.app("advanced-chat", answers_with())
    flow = await stranger.app("workflow", graph(node("start", "start", variables=[]), node("end", "end", outputs=[])))
    before = await snapshot(house.platform)
    user = {"user": "abc-123"}
    asked: list[tuple[Key, str, str, Any, set[int]]] = [
        (chat, "POST", "/chat-messages", {**user, "inputs": {}, "query": "x", "conversation_id": conversation}, {404}),
        (chat, "POST", f"/chat-messages/{message['task_id']}/stop", user, {200}),
        (chat, "GET", f"/messages?user=abc-123&conversation_id={conversation}", None, {404}),
        (chat, "POST", f"/messages/{message_id}/feedbacks", {**user, "rating": "like"}, {404}),
        (chat, "GET", f"/messages/{message_id}/suggested?user=abc-123", None, {404}),
        (chat, "GET", f"/conversations?user=abc-123&last_id={conversation}", None, {404}),
        (chat, "DELETE", f"/conversations/{conversation}", user, {204}),
        (chat, "POST", f"/conversations/{conversation}/name", {**user, "name": "stolen"}, {404}),
        (chat, "POST", f"/conversations/{conversation}/name", {**user, "auto_generate": True}, {404}),
        (chat, "GET", f"/conversations/{conversation}/variables?user=abc-123", None, {404}),
        (chat, "PUT", f"/conversations/{conversation}/variables/{variable['id']}", {**user, "value": 9}, {404}),
        (chat, "GET", f"/files/{file.json()['id']}/preview", None, {404}),
        (flow, "POST", f"/workflows/{run['workflow_id']}/run", {**user, "inputs": {}}, {404}),
        (flow, "POST", f"/workflows/tasks/{run['id']}/stop", user, {200}),
    ]
    for key, method, path, body, statuses in asked:
        answer = await key(method, path, body)
        assert answer.status_code in statuses, (method, path, answer.text)
    shown = await flow("GET", f"/workflows/run/{run['id']}")
    assert set(shown.json().values()) == {None}
    assert (await flow("GET", "/workflows/logs")).json()["data"] == []
    assert (await chat("GET", "/app/feedbacks")).json()["data"] == []
    assert (await chat("GET", "/conversations?user=abc-123")).json()["data"] == []
    given = {"type": "document", "transfer_method": "local_file", "upload_file_id": file.json()["id"]}
    refused = await chat.wait("/chat-messages", {"query": "x", "files": [given]})
    assert refused.status_code == 400
    assert await snapshot(house.platform) == before


async def test_knowledge_ids(house: House, stranger: House) -> None:
    key = await house.dataset_key()
    dataset = (await make(key))["id"]
    made = await add_text(key, dataset, doc_form="hierarchical_model", process_rule=PARENTS)
    document, batch = made.json()["document"]["id"], made.json()["batch"]
    await index_all(house)
    d, doc = f"/datasets/{dataset}", f"/datasets/{dataset}/documents/{document}"
    segment = (await key("GET", f"{doc}/segments")).json()["data"][0]
    seg, child = f"{doc}/segments/{segment['id']}", segment["child_chunks"][0]["id"]

    field = (await key("POST", f"{d}/metadata", {"type": "string", "name": "color"})).json()["id"]
    values = [{"document_id": document, "metadata_list": [{"id": field, "name": "color", "value": "x"}]}]

    theirs = await stranger.dataset_key()
    own = (await make(theirs, "Own"))["id"]
    before = await snapshot(house.platform)
    text = {"name": "x", "text": "x", "indexing_technique": "high_quality", "process_rule": AUTOMATIC}
    asked: list[tuple[str, str, Any]] = [
        ("GET", "", None), ("PATCH", "", {"name": "stolen"}), ("DELETE", "", None),
        ("POST", "/document/create-by-text", text), ("GET", "/documents", None),
        ("GET", f"/documents/{document}", None), ("DELETE", f"/documents/{document}", None),
        ("POST", f"/documents/{document}/update-by-text", {"name": "x", "text": "x"}),
        ("GET", f"/documents/{batch}/indexing-status", None),
        ("PATCH", "/documents/status/disable", {"document_ids": [document]}),
        ("GET", f"/documents/{document}/segments", None),
        ("POST", f"/documents/{document}/segments", {"segments": [{"content": "x"}]}),
        ("GET", f"/documents/{document}/segments/{segment['id']}", None),
        ("POST", f"/documents/{document}/segments/{segment['id']}", {"segment": {"content": "x"}}),
        ("DELETE", f"/documents/{document}/segments/{segment['id']}", None),
        ("GET", f"/documents/{document}/segments/{segment['id']}/child_chunks", None),
        ("POST", f"/documents/{document}/segments/{segment['id']}/child_chunks", {"content": "x"}),
        ("PATCH", f"/documents/{document}/segments/{segment['id']}/child_chunks/{child}", {"content": "x"}),
        ("DELETE", f"/documents/{document}/segments/{segment['id']}/child_chunks/{child}", None),
        ("POST", "/retrieve", {"query": "gripper"}),
        ("GET", "/metadata", None), ("POST", "/metadata", {"type": "string", "name": "stolen"}),
        ("PATCH", f"/metadata/{field}", {"name": "stolen"}), ("DELETE", f"/metadata/{field}", None),
        ("GET", "/metadata/built-in", None), ("POST", "/metadata/built-in/enable", None),
        ("POST", "/documents/metadata", {"operation_data": values}), ("GET", "/tags", None),
    ]  # fmt: skip
    for method, path, body in asked:
        answer = await theirs(method, f"{d}{path}", body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path, answer.text)
        if path.startswith("/documents/"):
            inside = await theirs(method, f"/datasets/{own}{path}", body)  # an own dataset, a foreign document
            assert inside.status_code == 404, (method, path, inside.text)
    in_own = await theirs("PATCH", f"/datasets/{own}/metadata/{field}", {"name": "stolen"})
    assert in_own.json() == {"id": None, "type": None, "name": None}
    assert (await theirs("DELETE", f"/datasets/{own}/metadata/{field}")).json() == 204
    with_file = {"file": ("x.txt", b"x", "text/plain")}
    for path in ("/document/create-by-file", f"/documents/{document}/update-by-file"):
        assert (await theirs("POST", f"{d}{path}", files=with_file)).status_code == 404
    inside = await theirs("POST", f"/datasets/{own}/documents/{document}/update-by-file", files=with_file)
    assert inside.status_code == 404
    replaced = {**text, "original_document_id": document}
    assert (await theirs("POST", f"/datasets/{own}/document/create-by-text", replaced)).status_code == 404
    listed = (await theirs("GET", "/datasets?include_all=true")).json()["data"]
    assert [item["id"] for item in listed] == [own]
    assert await snapshot(house.platform) == before
    assert (await key("GET", seg)).status_code == 200


async def test_tag_ids(house: House, stranger: House) -> None:
    key, theirs = await house.dataset_key(), await stranger.dataset_key()
    dataset, own = (await make(key))["id"], (await make(theirs, "Own"))["id"]
    tag = (await key("POST", "/datasets/tags", {"name": "parts"})).json()["id"]
    await key("POST", "/datasets/tags/binding", {"tag_ids": [tag], "target_id": dataset})
    before = await snapshot(house.platform)
    for method, path, body in (
        ("PATCH", "/datasets/tags", {"tag_id": tag, "name": "stolen"}),
        ("DELETE", "/datasets/tags", {"tag_id": tag}),
        ("POST", "/datasets/tags/binding", {"tag_ids": [tag], "target_id": dataset}),
        ("POST", "/datasets/tags/unbinding", {"tag_id": tag, "target_id": dataset}),
    ):
        assert (await theirs(method, path, body)).status_code == 404, (method, path)
    assert (await theirs("POST", "/datasets/tags/binding", {"tag_ids": [tag], "target_id": own})).json() == 204
    assert (await theirs("GET", f"/datasets/{own}/tags")).json()["total"] == 0
    assert await snapshot(house.platform) == before


async def test_apps_of_one_workspace_are_apart_too(house: House) -> None:
    one = await house.app("advanced-chat", answers_with())
    two = await house.app("advanced-chat", answers_with())
    message = (await one.wait("/chat-messages", {"query": "hi"})).json()
    path = f"/messages?user=abc-123&conversation_id={message['conversation_id']}"
    assert (await two("GET", path)).status_code == 404
    assert (await two("GET", "/conversations?user=abc-123")).json()["data"] == []
    rated = await two("POST", f"/messages/{message['id']}/feedbacks", {"rating": "like", "user": "abc-123"})
    assert rated.status_code == 404
    async with house.platform.db.read() as conn:
        assert (await conn.execute(sa.select(sa.func.count()).select_from(apps))).scalar_one() == 2
