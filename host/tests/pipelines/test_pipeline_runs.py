"""A pipeline makes documents of files: previews keep nothing, every document ends completed or with a reason."""

from __future__ import annotations

import pytest
from dify_host.platform import Platform

from ..console.console_house import Browser
from ..service.service_house import House, names
from .pipeline_house import FORM, example, made, work


async def test_each_file_becomes_a_document_that_is_found(house: House, owner: Browser, platform: Platform) -> None:
    pipeline = await made(house, owner, publish=True)
    first, second = await pipeline.upload(), await pipeline.upload("Water is clear.", "water.txt")
    answer = await pipeline.run(first, second)
    assert answer["dataset"]["id"] == pipeline.dataset_id
    shown = [(item["name"], item["position"], item["indexing_status"]) for item in answer["documents"]]
    assert shown == [("drinks.txt", 1, "waiting"), ("water.txt", 2, "waiting")]
    assert await work(platform) == ["run_pipeline", "run_pipeline"]
    document = await pipeline.document(answer["documents"][0]["id"])
    assert (document.indexing_status, document.error, document.doc_form) == ("completed", None, "text_model")
    assert (document.data_source_type, document.created_from) == ("local_file", "rag-pipeline")
    assert await pipeline.texts(document.id) == ["Tea is green.", "Coffee is black.", "Milk is white."]
    dataset = await house.workspace.datasets.get(pipeline.dataset_id)
    assert (dataset.runtime_mode, dataset.indexing_technique, dataset.chunk_structure) == (
        "rag_pipeline", "economy", "text_model",
    )  # fmt: skip
    runs = (await owner.ok("GET", f"{pipeline.path}/workflow-runs"))["data"]
    assert [run["status"] for run in runs] == ["succeeded", "succeeded"]
    nodes = (await owner.ok("GET", f"{pipeline.path}/workflow-runs/{runs[0]['id']}/node-executions"))["data"]
    assert [node["node_type"] for node in nodes] == ["datasource", "document-extractor", "tool", "knowledge-index"]


async def test_a_job_that_comes_twice_runs_once(house: House, owner: Browser, platform: Platform) -> None:
    pipeline = await made(house, owner, publish=True)
    await pipeline.run()
    record = await house.workspace.pipeline_repository.published_workflow(pipeline.id)
    await work(platform)
    [run] = (await owner.ok("GET", f"{pipeline.path}/workflow-runs"))["data"]
    await house.workspace.pipeline_runner.run(run["id"], record.id)
    assert len((await owner.ok("GET", f"{pipeline.path}/workflow-runs"))["data"]) == 1


async def test_a_preview_shows_chunks_and_keeps_nothing(house: House, owner: Browser, platform: Platform) -> None:
    pipeline = await made(house, owner, publish=True)
    body = await pipeline.body(is_preview=True, response_mode="blocking")
    told = await owner.ok("POST", f"{pipeline.path}/workflows/published/run", body)
    assert told["data"]["status"] == "succeeded"
    assert [chunk["content"] for chunk in told["data"]["outputs"]["preview"]] == [
        "Tea is green.", "Coffee is black.", "Milk is white.",
    ]  # fmt: skip
    assert (await house.workspace.documents.find(pipeline.dataset_id)).total == 0
    assert await work(platform) == []


async def test_a_draft_is_tried_and_its_values_are_kept(house: House, owner: Browser) -> None:
    pipeline = await made(house, owner)
    events = await owner.stream(f"{pipeline.path}/workflows/draft/run", await pipeline.body())
    assert names(events)[0] == "workflow_started"
    assert events[-1]["data"]["outputs"]["total_segments"] == 3
    kept = await owner.ok("GET", f"{pipeline.path}/workflows/draft/nodes/extractor/variables")
    assert kept["items"][0]["name"] == "text"
    tried = await owner.ok(
        "POST", f"{pipeline.path}/workflows/draft/nodes/chunker/run",
        {"inputs": {"rag.shared.delimiter": ".", "#rag.shared.delimiter#": "."}},
    )  # fmt: skip
    assert tried["node_type"] == "tool"
    last = await owner.ok("GET", f"{pipeline.path}/workflows/draft/nodes/chunker/last-run")
    assert last["id"] == tried["id"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chunker": {"tool_name": "no_such_tool"}}, "no_such_tool"),
        ({"index": {"index_chunk_variable_selector": ["chunker", "text"]}}, "Chunks is required"),
    ],
)
async def test_a_document_says_why_it_failed(
    house: House, owner: Browser, platform: Platform, change: dict[str, dict[str, object]], reason: str
) -> None:
    pipeline = await made(house, owner, example(**change), publish=True)
    answer = await pipeline.run()
    await work(platform)
    document = await pipeline.document(answer["documents"][0]["id"])
    assert document.indexing_status == "error"
    assert reason in document.error


async def test_what_does_not_fit_is_refused_and_makes_nothing(house: House, owner: Browser, stranger: Browser) -> None:
    pipeline = await made(house, owner, publish=True)
    item = await pipeline.upload()
    wrong = [
        await pipeline.body(item, inputs={**FORM, "max_chunk_length": "many"}),
        await pipeline.body(item, inputs={}),
        await pipeline.body(item, start_node_id="chunker"),
        await pipeline.body(item, datasource_type="website_crawl"),
        await pipeline.body({**item, "related_id": pipeline.id}),
    ]
    for body in wrong:
        answer = await owner("POST", f"{pipeline.path}/workflows/published/run", body)
        assert answer.status_code == 400, answer.text
    assert (await owner("POST", f"{pipeline.path}/workflows/published/run", await pipeline.body(start_node_id="no"))
            ).status_code == 404  # fmt: skip
    assert (await house.workspace.documents.find(pipeline.dataset_id)).total == 0
    for path in (f"{pipeline.path}/workflows/draft", f"{pipeline.path}/exports", f"{pipeline.path}/workflow-runs"):
        refused = await stranger("GET", path)
        assert (refused.status_code, refused.json()["code"]) == (404, "pipeline_not_found")


async def test_an_unpublished_pipeline_does_not_run(house: House, owner: Browser) -> None:
    pipeline = await made(house, owner)
    answer = await owner("POST", f"{pipeline.path}/workflows/published/run", await pipeline.body())
    assert answer.status_code == 400, answer.text


async def test_a_document_is_made_anew_of_another_file(house: House, owner: Browser, platform: Platform) -> None:
    pipeline = await made(house, owner, publish=True)
    document_id = (await pipeline.run())["documents"][0]["id"]
    await work(platform)
    other = await pipeline.upload("Rain is wet.", "rain.txt")
    again = await pipeline.run(other, original_document_id=document_id)
    assert [item["id"] for item in again["documents"]] == [document_id]
    await work(platform)
    assert await pipeline.texts(document_id) == ["Rain is wet."]
    assert (await pipeline.document(document_id)).indexing_status == "completed"
