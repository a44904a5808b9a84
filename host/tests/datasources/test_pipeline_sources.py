"""Pipelines over the sources of plugins: what there is to choose from, and documents made of what was chosen."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from dify_host.platform import Platform

from ..console.console_house import Browser
from ..pipelines.pipeline_house import Pipeline, example, made, work
from ..service.service_house import House

HOME = "https://site.test/"
SHORT = {
    "delimiter": {"type": "mixed", "value": "{{#rag.shared.delimiter#}}"},
    "max_chunk_length": {"type": "variable", "value": ["rag", "shared", "max_chunk_length"]},
}


def text(kind: str, name: str, **parameters: Any) -> str:
    """The example over a source in memory; what has text of its own needs no extractor."""
    source = {"provider_type": kind, "provider_name": "memory", "datasource_name": name}
    source["datasource_parameters"] = {key: {"type": "constant", "value": value} for key, value in parameters.items()}
    if kind == "online_drive":
        return example(file=source)
    content = {"input_variable": {"type": "mixed", "value": "{{#file.content#}}"}, **SHORT}
    document = yaml.safe_load(example(file=source, chunker={"tool_parameters": content}))
    graph = document["workflow"]["graph"]
    graph["nodes"] = [node for node in graph["nodes"] if node["id"] != "extractor"]
    graph["edges"] = [{"source": "file", "target": "chunker"}, {"source": "chunker", "target": "index"}]
    return str(yaml.safe_dump(document))


async def browse(pipeline: Pipeline, kind: str, **inputs: Any) -> list[dict[str, Any]]:
    path = f"{pipeline.path}/workflows/published/datasource/nodes/file/run"
    return await pipeline.browser.stream(path, {"inputs": inputs, "datasource_type": kind})


async def test_a_website_is_crawled_while_it_is_watched_and_a_page_becomes_a_document(
    house: House, owner: Browser, platform: Platform, credential_id: str
) -> None:
    pipeline = await made(house, owner, text("website_crawl", "site", url=HOME, crawl_subpages=True), publish=True)
    *steps, end = await browse(pipeline, "website_crawl")
    assert [(step["event"], step["completed"]) for step in steps] == [
        ("datasource_processing", number) for number in (1, 2, 3, 4)
    ]
    assert (end["event"], end["total"], len(end["data"])) == ("datasource_completed", 4, 4)
    page = next(item for item in end["data"] if item["source_url"] == f"{HOME}bees")
    known = await pipeline.run(page, datasource_type="website_crawl")
    address = {"source_url": f"{HOME}ants", "title": "ants"}
    unread = await pipeline.run(address, datasource_type="website_crawl")
    await work(platform)
    assert await pipeline.texts(known["documents"][0]["id"]) == ["Bees dance."]
    assert await pipeline.texts(unread["documents"][0]["id"]) == ["Ants march."]


async def test_an_online_document_is_read_when_its_run_begins(
    house: House, owner: Browser, platform: Platform, credential_id: str
) -> None:
    pipeline = await made(house, owner, text("online_document", "documents"), publish=True)
    [end] = await browse(pipeline, "online_document")
    [workspace] = end["data"]
    assert (workspace["workspace_id"], workspace["total"]) == ("w", 2)
    item = {"workspace_id": "w", "page": workspace["pages"][1], "credential_id": credential_id}
    shown = await owner.ok(
        "POST",
        f"{pipeline.path}/workflows/published/datasource/nodes/file/preview",
        {"inputs": item, "datasource_type": "online_document"},
    )
    assert shown["content"] == "Ants march."
    answer = await pipeline.run(item, datasource_type="online_document")
    await work(platform)
    document = await pipeline.document(answer["documents"][0]["id"])
    assert (document.name, document.indexing_status) == ("Ants", "completed")
    assert await pipeline.texts(document.id) == ["Ants march."]


async def test_a_drive_is_browsed_page_by_page_and_its_file_is_brought_here(
    house: House, owner: Browser, platform: Platform, credential_id: str
) -> None:
    drive = text("online_drive", "drive", prefix="", max_keys=2)
    pipeline = await made(house, owner, drive, publish=True)
    [end] = await browse(pipeline, "online_drive")
    [page] = end["data"]
    assert ([item["id"] for item in page["files"]], page["is_truncated"]) == (["a.txt", "b.txt"], True)
    [end] = await browse(pipeline, "online_drive", next_page_parameters=page["next_page_parameters"])
    assert [(item["id"], item["type"]) for item in end["data"][0]["files"]] == [("folder", "folder")]
    [end] = await browse(pipeline, "online_drive", prefix="folder", max_keys=1)
    assert [item["id"] for item in end["data"][0]["files"]] == ["folder/c.txt"]
    [told] = await browse(pipeline, "online_drive", next_page_parameters="2")
    assert (told["event"], "next_page_parameters" in told["error"]) == ("datasource_error", True)
    answer = await pipeline.run(page["files"][0], datasource_type="online_drive")
    await work(platform)
    document = await pipeline.document(answer["documents"][0]["id"])
    assert (document.indexing_status, document.error) == ("completed", None)
    assert await pipeline.texts(document.id) == ["alpha"]


@pytest.mark.parametrize(("kind", "name"), [("website_crawl", "documents"), ("online_document", "nothing")])
async def test_a_source_that_the_provider_does_not_have_says_what_it_has(
    house: House, owner: Browser, credential_id: str, kind: str, name: str
) -> None:
    pipeline = await made(house, owner, text(kind, name), publish=True)
    [told] = await browse(pipeline, kind)
    assert told["event"] == "datasource_error"
    assert "site (website_crawl)" in told["error"]
