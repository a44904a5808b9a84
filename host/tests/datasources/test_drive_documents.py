"""Documents that are files of a drive: chosen, read by their formats, read anew, and what happens when it fails."""

from __future__ import annotations

import io
from typing import Any

import pytest
from dify_host.platform import Platform
from dify_kernel.errors import DatasourceError, DatasourceUnavailable
from docx import Document as Docx

from ..console.console_house import Browser
from ..pipelines.pipeline_house import made as pipeline_made
from ..pipelines.pipeline_house import work
from ..service.service_house import House
from .test_pipeline_sources import text
from .test_source_documents import ONE_PIECE, OPTIONS, Base, made

FILES = "/online-drive/pre-import/files"


def files(credential_id: str, *ids: str) -> dict[str, Any]:
    """What the console sends of chosen files."""
    drive = {"credential_id": credential_id, "bucket": "", "files": [{"id": id} for id in ids]}
    return {"data_source_type": "online_drive", "online_drive_info_list": [drive]}


def docx_of(words: str) -> bytes:
    document, data = Docx(), io.BytesIO()
    document.add_paragraph(words)
    document.save(data)
    return data.getvalue()


@pytest.fixture
async def drive(owner: Browser, house: House, platform: Platform, credential_id: str, sources: Any) -> Base:
    """A text and a file of a word processor, indexed."""
    sources.DRIVE["folder/report.docx"] = docx_of("Bees fly far.")
    return await made(owner, house, platform, files(credential_id, "a.txt", "folder/report.docx"))


async def test_a_drive_is_browsed_page_by_page(owner: Browser, drive: Base, credential_id: str) -> None:
    body = {"credential_id": credential_id, "max_keys": 2}
    page = await owner.ok("POST", FILES, body)
    assert [(item["id"], item["type"], item["is_bound"]) for item in page["files"]] == [
        ("a.txt", "file", False),
        ("b.txt", "file", False),
    ]
    assert page["is_truncated"]
    more = {"next_page_parameters": page["next_page_parameters"], "dataset_id": drive.id}
    last = await owner.ok("POST", FILES, body | more)
    assert ([item["id"] for item in last["files"]], last["is_truncated"]) == (["folder"], False)
    inside = await owner.ok("POST", FILES, {**body, "prefix": "folder", "dataset_id": drive.id, "max_keys": 9})
    assert {item["name"]: item["is_bound"] for item in inside["files"]} == {
        "c.txt": False,
        "deep": False,
        "report.docx": True,
    }


async def test_chosen_files_are_read_by_their_formats(drive: Base) -> None:
    assert await drive.texts("a.txt") == ["alpha"]
    assert await drive.texts("report.docx") == ["Bees fly far."]
    document = await drive.document("report.docx")
    assert (document["indexing_status"], document["data_source_type"]) == ("completed", "online_drive")
    info = document["data_source_info"]
    assert (info["id"], info["size"] > 1000, bool(info["version"])) == ("folder/report.docx", True, True)


async def test_only_what_has_changed_is_read_again(drive: Base, sources: Any) -> None:
    before = await drive.owner.ok("GET", f"{drive.path}/documents/{drive.documents['a.txt']}/segments")
    sources.READ.clear()
    sources.DRIVE["folder/report.docx"] = docx_of("Bees sleep at night.")
    await drive.owner.ok("GET", f"{drive.path}/online-drive/sync")
    await work(drive.platform)
    assert sources.READ == ["folder/report.docx"]
    assert await drive.texts("report.docx") == ["Bees sleep at night."]
    after = await drive.owner.ok("GET", f"{drive.path}/documents/{drive.documents['a.txt']}/segments")
    assert after["data"] == before["data"]
    assert [(await drive.document(name))["indexing_status"] for name in drive.documents] == ["completed"] * 2
    sources.READ.clear()
    for name in drive.documents:
        await drive.sync(name, "online-drive/sync")
    assert sources.READ == []


async def test_a_file_that_is_only_touched_is_read_once_more_and_not_indexed(drive: Base, sources: Any) -> None:
    before = await drive.owner.ok("GET", f"{drive.path}/documents/{drive.documents['a.txt']}/segments")
    sources.READ.clear()
    sources.TOUCHED["a.txt"] = "-later"
    for _ in range(2):
        await drive.sync("a.txt", "online-drive/sync")
    assert sources.READ == ["a.txt"]
    after = await drive.owner.ok("GET", f"{drive.path}/documents/{drive.documents['a.txt']}/segments")
    assert after["data"] == before["data"]
    document = await drive.document("a.txt")
    assert document["indexing_status"] == "completed"
    assert document["data_source_info"]["version"].endswith("-later")


async def test_a_file_that_is_gone_ends_its_document_and_a_retry_reads_it_again(drive: Base, sources: Any) -> None:
    held = sources.DRIVE.pop("a.txt")
    await drive.sync("a.txt", "online-drive/sync")
    document = await drive.document("a.txt")
    assert (document["indexing_status"], "no file a.txt" in document["error"]) == ("error", True)
    sources.DRIVE["a.txt"] = held
    await drive.owner.ok("POST", f"{drive.path}/retry", {"document_ids": [document["id"]]}, status=204)
    await work(drive.platform)
    assert (await drive.document("a.txt"))["indexing_status"] == "completed"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("empty.txt", b"", "No text was found"),
        ("broken.docx", b"no archive", "docx"),
        ("large.txt", b"x" * (16 * 1024 * 1024), "large.txt is larger than 15 MB"),
    ],
)
async def test_a_file_that_cannot_be_read_says_why(
    owner: Browser,
    house: House,
    platform: Platform,
    credential_id: str,
    sources: Any,
    name: str,
    data: bytes,
    said: str,
) -> None:
    sources.DRIVE[name] = data
    base = await made(owner, house, platform, files(credential_id, name, "a.txt"))
    document = await base.document(name)
    assert document["indexing_status"] == "error"
    assert said in document["error"]
    assert await base.texts("a.txt") == ["alpha"]


async def test_what_is_refused_before_anything_is_read(
    owner: Browser, drive: Base, credential_id: str, sources: Any
) -> None:
    sources.READ.clear()
    for info, status, code in (
        (files(credential_id), 400, "invalid_param"),
        (files(credential_id, "a.txt", "program.exe"), 415, "unsupported_file_type"),
    ):
        body = {"data_source": {"info_list": info}, **OPTIONS}
        refused = await owner("POST", f"{drive.path}/documents", body)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    body = {"data_source": {"info_list": files(credential_id, "a.txt", "b.txt")}, **OPTIONS}
    added = await owner.ok("POST", f"{drive.path}/documents", body)
    assert [item["name"] for item in added["documents"]] == ["b.txt"]
    assert sources.READ == []


async def test_an_estimate_reads_the_file_and_keeps_nothing(owner: Browser, credential_id: str, sources: Any) -> None:
    sources.DRIVE["report.docx"] = docx_of("Bees fly far.")
    body = {"info_list": files(credential_id, "report.docx"), "process_rule": ONE_PIECE}
    found = await owner.ok("POST", "/datasets/indexing-estimate", body)
    assert [item["content"] for item in found["preview"]] == ["Bees fly far."]
    assert (await owner.ok("GET", "/datasets"))["total"] == 0


async def test_a_drive_is_another_workspaces_only_with_its_own_credentials(
    stranger: Browser, owner: Browser, credential_id: str, sources: Any
) -> None:
    assert (await stranger("POST", FILES, {"credential_id": credential_id})).status_code == 404
    sources.FAILURES.append(DatasourceError("The drive is locked."))
    refused = await owner("POST", FILES, {"credential_id": credential_id})
    assert (refused.status_code, "locked" in refused.json()["message"]) == (400, True)
    sources.FAILURES.append(DatasourceUnavailable("The drive is away."))
    assert (await owner("POST", FILES, {"credential_id": credential_id})).status_code >= 500


async def test_a_file_of_a_pipeline_is_not_synchronized_but_run_again(
    house: House, owner: Browser, platform: Platform, credential_id: str, sources: Any
) -> None:
    pipeline = await pipeline_made(house, owner, text("online_drive", "drive"), publish=True)
    item = {"id": "a.txt", "name": "a.txt", "type": "file", "credential_id": credential_id}
    answer = await pipeline.run(item, datasource_type="online_drive")
    await work(platform)
    document_id, base = answer["documents"][0]["id"], f"/datasets/{pipeline.dataset_id}"
    refused = await owner("GET", f"{base}/documents/{document_id}/online-drive/sync")
    assert (refused.status_code, "pipeline" in refused.json()["message"]) == (400, True)
    await owner.ok("GET", f"{base}/online-drive/sync")
    assert await work(platform) == []
    sources.DRIVE["a.txt"] = b"alpha has changed"
    again = {"datasource_type": "online_drive", "original_document_id": document_id}
    await pipeline.run(item, **again)
    await work(platform)
    assert await pipeline.texts(document_id) == ["alpha has changed"]
    del sources.DRIVE["a.txt"]
    await pipeline.run(item, **again)
    await work(platform)
    document = await pipeline.document(document_id)
    assert (document.indexing_status, "no file a.txt" in document.error) == ("error", True)
