"""What an app says of itself, and the files of its users."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from dify_host.platform import Platform

from .service_house import House, Key, answers_with, graph, node


@pytest.fixture
async def chat(house: House) -> Key:
    return await house.app("advanced-chat", answers_with())


async def upload(key: Key, name: str, content: bytes, mime: str = "text/plain", **fields: Any) -> httpx.Response:
    return await key("POST", "/files/upload", files={"file": (name, content, mime)}, data={"user": "abc-123", **fields})


async def test_info(chat: Key) -> None:
    body = (await chat("GET", "/info")).json()
    assert set(body) == {"name", "description", "tags", "mode", "author_name"}
    assert (body["name"], body["mode"], body["tags"]) == ("advanced-chat app", "advanced-chat", [])


async def test_parameters(house: House) -> None:
    form = [{"type": "select", "variable": "tone", "label": "Tone", "required": True, "options": ["warm", "cold"]}]
    app = await house.app("workflow", graph(node("start", "start", variables=form), node("end", "end", outputs=[])))
    body = (await app("GET", "/parameters")).json()
    assert set(body) == {
        *("opening_statement", "suggested_questions", "suggested_questions_after_answer", "speech_to_text"),
        *("text_to_speech", "retriever_resource", "annotation_reply", "more_like_this", "user_input_form"),
        *("sensitive_word_avoidance", "file_upload", "system_parameters"),
    }
    (field,) = body["user_input_form"]
    assert field["select"]["variable"] == "tone"
    assert body["system_parameters"] == {
        "image_file_size_limit": 10, "video_file_size_limit": 100, "audio_file_size_limit": 50,
        "file_size_limit": 15, "workflow_file_upload_limit": 10,
    }  # fmt: skip
    bare = graph(node("start", "start", variables=[]), node("end", "end", outputs=[]))
    unpublished = await house.app("workflow", bare, publish=False)
    answer = await unpublished("GET", "/parameters")
    assert (answer.status_code, answer.json()["code"]) == (400, "app_unavailable")


async def test_meta_and_site(chat: Key) -> None:
    assert (await chat("GET", "/meta")).json() == {"tool_icons": {}}
    site = (await chat("GET", "/site")).json()
    assert set(site) == {
        *("title", "chat_color_theme", "chat_color_theme_inverted", "icon_type", "icon", "icon_background"),
        *("icon_url", "description", "copyright", "privacy_policy", "custom_disclaimer", "default_language"),
        *("show_workflow_steps", "use_icon_as_answer_icon"),
    }
    assert site["title"] == "advanced-chat app"


async def test_upload_and_preview(chat: Key) -> None:
    made = await upload(chat, "notes.txt", b"hello there")
    assert made.status_code == 201, made.text
    body = made.json()
    assert set(body) == {
        *("id", "name", "size", "extension", "mime_type", "created_by", "created_at", "preview_url", "source_url"),
        *("original_url", "user_id", "tenant_id", "conversation_id", "file_key"),
    }
    assert (body["name"], body["size"], body["extension"], body["mime_type"]) == ("notes.txt", 11, "txt", "text/plain")
    assert body["created_by"] == body["user_id"]
    seen = await chat("GET", f"/files/{body['id']}/preview")
    assert (seen.status_code, seen.content) == (200, b"hello there")
    assert seen.headers["content-length"] == "11"
    assert seen.headers["content-type"].startswith("text/plain")
    kept = await chat("GET", f"/files/{body['id']}/preview?as_attachment=true")
    assert kept.headers["content-type"] == "application/octet-stream"
    assert kept.headers["content-disposition"] == "attachment; filename*=UTF-8''notes.txt"
    page = (await upload(chat, "page.html", b"<script>alert(1)</script>", "text/html")).json()
    shown = await chat("GET", f"/files/{page['id']}/preview")
    assert shown.headers["content-disposition"].startswith("attachment")
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert shown.headers["content-type"] == "application/octet-stream"
    unknown = await chat("GET", f"/files/{uuid.uuid4()}/preview")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "file_not_found")


async def test_files_of_other_apps_stay_theirs(house: House, chat: Key) -> None:
    other = await house.app("advanced-chat", answers_with())
    made = (await upload(other, "notes.txt", b"secret")).json()
    refused = await chat("GET", f"/files/{made['id']}/preview")
    assert (refused.status_code, refused.json()["code"]) == (403, "file_access_denied")


async def test_signed_links(chat: Key, web: httpx.AsyncClient) -> None:
    made = (await upload(chat, "notes.txt", b"hello there")).json()
    seen = await web.get(made["source_url"])
    assert (seen.status_code, seen.content) == (200, b"hello there")
    bare = made["source_url"].partition("?")[0]
    for link in (bare, f"{bare}?timestamp=1&nonce=a&sign=b", made["source_url"].replace("sign=", "sign=x")):
        refused = await web.get(link)
        assert refused.status_code in (400, 403), link
        assert refused.json()["code"] in ("file_access_denied", "invalid_param")


async def test_uploads_that_are_refused(chat: Key) -> None:
    for name, content, mime, status, code in (
        ("notes.txt", b"MZ\x90\0" + b"\0" * 200, "text/plain", 415, "unsupported_file_type"),
        ("cat.png", b"\x7fELF" + b"\0" * 200, "image/png", 415, "unsupported_file_type"),
        ("cat.png", b"\x89PNG\r\n\x1a\n" + b"\0" * (10 * 1024 * 1024), "image/png", 413, "file_too_large"),
        ("../../etc/passwd", b"x", "text/plain", 400, "invalid_param"),
        ("a|b.txt", b"x", "text/plain", 400, "invalid_param"),
    ):
        answer = await upload(chat, name, content, mime)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_forms_that_are_refused(chat: Key) -> None:
    nothing = await chat("POST", "/files/upload", data={"user": "u"})
    assert (nothing.status_code, nothing.json()["code"]) == (400, "no_file_uploaded")
    two = await chat("POST", "/files/upload", files=[("file", ("a.txt", b"a")), ("file", ("b.txt", b"b"))])
    assert (two.status_code, two.json()["code"]) == (400, "too_many_files")
    elsewhere = await chat("POST", "/files/upload", files={"document": ("a.txt", b"a")})
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (400, "no_file_uploaded")


async def test_a_file_in_a_run(house: House) -> None:
    allowed = {"allowed_file_types": ["document"], "allowed_file_upload_methods": ["local_file", "remote_url"]}
    form = [{"type": "file", "variable": "paper", "label": "Paper", "required": True, **allowed}]
    app = await house.app(
        "workflow",
        graph(
            node("start", "start", variables=form),
            node("end", "end", outputs=[{"variable": "paper", "value_selector": ["start", "paper"]}]),
        ),
    )
    made = (await upload(app, "notes.txt", b"hello there")).json()
    given = {"type": "document", "transfer_method": "local_file", "upload_file_id": made["id"]}
    answer = await app.wait("/workflows/run", {"inputs": {"paper": given}})
    assert answer.status_code == 200, answer.text
    paper = answer.json()["data"]["outputs"]["paper"]
    assert paper["dify_model_identity"] == "__dify__file__"
    assert (paper["filename"], paper["extension"], paper["size"]) == ("notes.txt", ".txt", 11)
    assert paper["related_id"] == made["id"]
    unknown = {**given, "upload_file_id": str(uuid.uuid4())}
    refused = await app.wait("/workflows/run", {"inputs": {"paper": unknown}})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")


async def test_the_first_page(web: httpx.AsyncClient, chat: Key, platform: Platform) -> None:
    page = await web.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for offer in platform.registry.offers():
        assert offer.name in page.text
    assert "1 app" in page.text
    for secret in (platform.secret_key, chat.token, platform.settings.database, str(platform.settings.data)):
        assert secret not in page.text
    assert "src=" not in page.text
    assert "://" not in page.text
