"""Files in the console: uploaded for a knowledge base, looked into, and refused."""

from __future__ import annotations

from typing import Any

import httpx

from ..service.knowledge_calls import index_all
from ..service.service_house import House
from .console_house import Browser, Browsers
from .test_console_knowledge import config

FILE_KEYS = {
    *("id", "name", "size", "extension", "mime_type", "created_by", "created_at", "preview_url", "source_url"),
    *("original_url", "user_id", "tenant_id", "conversation_id", "file_key"),
}


async def send(browser: Browser, name: str, content: bytes, **fields: str) -> httpx.Response:
    return await browser("POST", "/files/upload", files={"file": (name, content, "text/plain")}, data=fields)


async def test_a_file_is_uploaded_looked_into_and_indexed(owner: Browser, house: House) -> None:
    text = "The crane lifts ten tons. " * 200
    sent = await send(owner, "crane.md", text.encode(), source="datasets")
    assert sent.status_code == 201
    file: dict[str, Any] = sent.json()
    assert set(file) == FILE_KEYS
    assert (file["name"], file["extension"], file["size"]) == ("crane.md", "md", len(text))
    assert file["user_id"] == file["created_by"] == house.owner_id
    preview = (await owner.ok("GET", f"/files/{file['id']}/preview"))["content"]
    assert len(preview) == 3000
    assert text.startswith(preview)
    made = await owner.ok("POST", "/datasets/init", config(file["id"]))
    await index_all(house)
    path = f"/datasets/{made['dataset']['id']}/documents/{made['documents'][0]['id']}"
    assert (await owner.ok("GET", f"{path}/indexing-status"))["indexing_status"] == "completed"


async def test_what_no_knowledge_base_reads_is_refused_for_one_alone(owner: Browser) -> None:
    refused = await send(owner, "song.mid", b"MThd", source="datasets")
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_file_type")
    kept = await send(owner, "song.mid", b"MThd")
    assert kept.status_code == 201
    shown = await owner("GET", f"/files/{kept.json()['id']}/preview")
    assert (shown.status_code, shown.json()["code"]) == (415, "unsupported_file_type")
    nothing = await owner("POST", "/files/upload", data={"source": "datasets"}, files={"other": ("a.md", b"x")})
    assert (nothing.status_code, nothing.json()["code"]) == (400, "no_file_uploaded")


async def test_only_who_may_write_documents_uploads_them(house: House, browsers: Browsers) -> None:
    normal = await browsers.member(house, "normal")
    refused = await send(normal, "note.md", b"x", source="datasets")
    assert refused.status_code == 403
    assert (await send(normal, "note.md", b"x")).status_code == 201
    operator = await browsers.member(house, "dataset_operator")
    assert (await send(operator, "note.md", b"x", source="datasets")).status_code == 201


async def test_a_file_of_another_workspace_is_absent(owner: Browser, house: House) -> None:
    missing = await owner("GET", "/files/00000000-0000-4000-8000-000000000000/preview")
    assert (missing.status_code, missing.json()["code"]) == (404, "file_not_found")


async def test_limits_are_told(owner: Browser) -> None:
    limits = await owner.ok("GET", "/files/upload")
    assert limits == {
        "file_size_limit": 15,
        "batch_count_limit": 5,
        "file_upload_limit": 20,
        "image_file_size_limit": 10,
        "video_file_size_limit": 100,
        "audio_file_size_limit": 50,
        "workflow_file_upload_limit": 10,
        "image_file_batch_limit": 10,
        "single_chunk_attachment_limit": 10,
        "attachment_image_file_size_limit": 2,
    }


async def test_members_are_listed_and_those_who_only_see_knowledge(
    owner: Browser, house: House, browsers: Browsers
) -> None:
    await browsers.member(house, "dataset_operator")
    await browsers.member(house, "editor")
    members = (await owner.ok("GET", "/workspaces/current/members"))["accounts"]
    assert [item["role"] for item in members] == ["owner", "dataset_operator", "editor"]
    assert set(members[0]) == {
        *("id", "name", "avatar", "avatar_url", "email", "last_login_at", "last_active_at", "created_at", "role"),
        "status",
    }
    operators = (await owner.ok("GET", "/workspaces/current/dataset-operators"))["accounts"]
    assert operators == [members[1]]
