"""Pipelines by API key: files, sources, runs; and documents that are tried again."""

from __future__ import annotations

import yaml
from dify_host.platform import Platform

from ..console.console_house import Browser
from ..service.service_house import House, events
from .pipeline_house import FORM, example, made, work


async def test_a_file_is_sent_and_becomes_a_document(house: House, owner: Browser, platform: Platform) -> None:
    pipeline = await made(house, owner, publish=True)
    key = await house.dataset_key()
    sent = await key.web.post(
        "/v1/datasets/pipeline/file-upload", files={"file": ("tea.txt", b"Tea is green.")}, headers=key.headers
    )
    assert sent.status_code == 201, sent.text
    assert sent.json()["name"] == "tea.txt"
    path = f"/datasets/{pipeline.dataset_id}/pipeline"
    [source] = (await key("GET", f"{path}/datasource-plugins")).json()
    assert (source["node_id"], source["datasource_type"], source["user_input_variables"]) == ("file", "local_file", [])
    body = {
        "inputs": FORM, "datasource_type": source["datasource_type"], "start_node_id": source["node_id"],
        "datasource_info_list": [{"related_id": sent.json()["id"], "name": "tea.txt"}],
        "is_published": True, "response_mode": "blocking",
    }  # fmt: skip
    answer = await key("POST", f"{path}/run", body)
    assert answer.status_code == 200, answer.text
    await work(platform)
    document = (await key("GET", f"/datasets/{pipeline.dataset_id}/documents")).json()["data"][0]
    assert (document["name"], document["display_status"]) == ("tea.txt", "available")
    draft = await key("POST", f"{path}/run", {**body, "is_published": False, "response_mode": "streaming"})
    assert events(draft)[-1]["data"]["outputs"]["preview"] == [{"content": "Tea is green."}]
    await owner.ok("POST", f"{pipeline.path}/workflows/draft", await broken(pipeline.path, owner))
    failed = await key("POST", f"{path}/run", {**body, "is_published": False})
    assert (failed.status_code, failed.json()["code"]) == (500, "pipeline_run_error")


async def broken(path: str, owner: Browser) -> dict[str, object]:
    """The draft with a tool that does not exist."""
    draft = await owner.ok("GET", f"{path}/workflows/draft")
    graph = yaml.safe_load(example(chunker={"tool_name": "no_such_tool"}))["workflow"]["graph"]
    return {"graph": graph, "hash": draft["hash"]}


async def test_a_source_that_nothing_offers_says_so(house: House, owner: Browser) -> None:
    pages = example(file={"provider_type": "website_crawl", "provider_name": "crawler", "datasource_name": "crawl"})
    pipeline = await made(house, owner, pages, publish=False)
    body = {"inputs": {}, "datasource_type": "website_crawl"}
    told = await owner.stream(f"{pipeline.path}/workflows/draft/datasource/nodes/file/run", body)
    assert [event["event"] for event in told] == ["datasource_error"]
    assert "'crawler'" in told[0]["error"]


async def test_a_page_that_brings_its_text_needs_no_plugin(house: House, owner: Browser, platform: Platform) -> None:
    text = yaml.safe_load(example(
        file={"provider_type": "website_crawl", "provider_name": "crawler", "datasource_name": "crawl"},
        chunker={"tool_parameters": {
            "input_variable": {"type": "mixed", "value": "{{#file.content#}}"},
            "delimiter": {"type": "mixed", "value": "{{#rag.shared.delimiter#}}"},
            "max_chunk_length": {"type": "variable", "value": ["rag", "shared", "max_chunk_length"]},
        }},
    ))  # fmt: skip
    graph = text["workflow"]["graph"]
    graph["nodes"] = [node for node in graph["nodes"] if node["id"] != "extractor"]
    graph["edges"] = [{"source": "file", "target": "chunker"}, {"source": "chunker", "target": "index"}]
    pipeline = await made(house, owner, yaml.safe_dump(text), publish=True)
    page = {"title": "Drinks", "source_url": "https://drinks.test", "content": "Tea is green."}
    known = await pipeline.run(page, datasource_type="website_crawl")
    absent = await pipeline.run({"title": "Nothing"}, datasource_type="website_crawl")
    await work(platform)
    first, second = [await pipeline.document(answer["documents"][0]["id"]) for answer in (known, absent)]
    assert (first.name, first.indexing_status) == ("Drinks", "completed")
    assert await pipeline.texts(first.id) == ["Tea is green."]
    assert (second.indexing_status, "'crawler'" in second.error) == ("error", True)


async def test_a_knowledge_base_without_pipeline_has_none(house: House, owner: Browser) -> None:
    made_here = await owner.ok("POST", "/rag/pipeline/empty-dataset", status=201)
    key = await house.dataset_key()
    answer = await key("GET", f"/datasets/{made_here['id']}/pipeline/datasource-plugins")
    assert answer.status_code == 400, answer.text
    plain = (await key("POST", "/datasets", {"name": "Plain"})).json()["id"]
    answer = await key("GET", f"/datasets/{plain}/pipeline/datasource-plugins")
    assert (answer.status_code, answer.json()["code"]) == (404, "pipeline_not_found")


async def test_a_failed_document_is_tried_again_by_what_is_published_now(
    house: House, owner: Browser, platform: Platform
) -> None:
    pipeline = await made(house, owner, example(chunker={"tool_name": "no_such_tool"}), publish=True)
    document_id = (await pipeline.run())["documents"][0]["id"]
    await work(platform)
    assert (await pipeline.document(document_id)).indexing_status == "error"
    body = {"mode": "yaml-content", "yaml_content": example(), "pipeline_id": pipeline.id}
    await owner.ok("POST", "/rag/pipelines/imports", body)
    await pipeline.publish()
    await house.workspace.documents.retry(pipeline.dataset_id, document_id)
    await work(platform)
    assert (await pipeline.document(document_id)).indexing_status == "completed"
    assert len(await pipeline.texts(document_id)) == 3
    log = await house.workspace.pipelines.log_of(document_id)
    assert log is not None
    assert (log.datasource_type, log.datasource_node_id, log.input_data) == ("local_file", "file", FORM)
