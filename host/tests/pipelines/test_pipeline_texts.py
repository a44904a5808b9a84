"""Pipelines as texts: what goes out comes in as the same, drafts are overwritten, templates are kept."""

from __future__ import annotations

import yaml

from ..console.console_house import Browser
from ..service.service_house import House
from .pipeline_house import example, made, work


async def test_what_goes_out_comes_in_as_the_same(house: House, owner: Browser) -> None:
    pipeline = await made(house, owner)
    text = (await owner.ok("GET", f"{pipeline.path}/exports"))["data"]
    again = await made(house, owner, text)
    assert (await owner.ok("GET", f"{again.path}/exports"))["data"] == text
    written, given = yaml.safe_load(text), yaml.safe_load(example())
    assert written["workflow"]["rag_pipeline_variables"] == given["workflow"]["rag_pipeline_variables"]
    assert written["rag_pipeline"]["name"] == "Handbook pipeline"
    first, second = [await house.workspace.datasets.get(each.dataset_id) for each in (pipeline, again)]
    assert (first.name, second.name) == ("Handbook pipeline", "Handbook pipeline 2")
    assert first.icon_info == second.icon_info
    assert first.icon_info is not None
    assert first.icon_info["icon"] == "📙"


async def test_a_newer_text_waits_to_be_confirmed(house: House, owner: Browser) -> None:
    newer = yaml.safe_load(example()) | {"version": "0.9.0"}
    body = {"mode": "yaml-content", "yaml_content": yaml.safe_dump(newer)}
    waiting = await owner.ok("POST", "/rag/pipelines/imports", body, status=202)
    assert (waiting["status"], waiting["pipeline_id"]) == ("pending", None)
    done = await owner.ok("POST", f"/rag/pipelines/imports/{waiting['id']}/confirm", {})
    assert done["status"] == "completed"
    assert (await owner.ok("GET", f"/rag/pipelines/imports/{done['pipeline_id']}/check-dependencies")) == {
        "leaked_dependencies": [], "missing": [],
    }  # fmt: skip


async def test_a_wrong_text_makes_nothing(house: House, owner: Browser) -> None:
    for text in ("kind: app", "kind: rag_pipeline\nversion: '0.5.0'\nrag_pipeline: {name: x}", "- 1"):
        body = {"mode": "yaml-content", "yaml_content": text}
        refused = await owner.ok("POST", "/rag/pipelines/imports", body, status=400)
        assert (refused["status"], refused["pipeline_id"], refused["dataset_id"]) == ("failed", None, None)
    assert (await house.workspace.datasets.find()).total == 0


async def test_a_draft_is_overwritten_and_saved(house: House, owner: Browser) -> None:
    pipeline = await made(house, owner)
    other = example(chunker={"title": "Cutter"})
    body = {"mode": "yaml-content", "yaml_content": other, "pipeline_id": pipeline.id}
    assert (await owner.ok("POST", "/rag/pipelines/imports", body))["dataset_id"] == pipeline.dataset_id
    draft = await owner.ok("GET", f"{pipeline.path}/workflows/draft")
    assert "Cutter" in str(draft["graph"])
    assert draft["rag_pipeline_variables"][0]["variable"] == "delimiter"
    fewer = draft["rag_pipeline_variables"][:1]
    saved = await owner.ok(
        "POST", f"{pipeline.path}/workflows/draft",
        {"graph": draft["graph"], "hash": draft["hash"], "rag_pipeline_variables": fewer},
    )  # fmt: skip
    assert saved["hash"] != draft["hash"]
    assert (await owner.ok("GET", f"{pipeline.path}/workflows/draft"))["rag_pipeline_variables"] == fewer


async def test_versions_are_listed_and_named(house: House, owner: Browser) -> None:
    pipeline = await made(house, owner, publish=True)
    await pipeline.publish()
    found = (await owner.ok("GET", f"{pipeline.path}/workflows"))["items"]
    assert len(found) == 2
    named = await owner("PATCH", f"{pipeline.path}/workflows/{found[1]['id']}", {"marked_name": "First"})
    assert named.json()["marked_name"] == "First"
    defaults = await owner.ok("GET", f"{pipeline.path}/workflows/default-workflow-block-configs")
    assert "knowledge-index" in {item["type"] for item in defaults}
    detail = await house.workspace.datasets.get(pipeline.dataset_id)
    assert (detail.is_published, detail.pipeline_id) == (True, pipeline.id)


async def test_the_form_is_told_step_by_step(house: House, owner: Browser) -> None:
    document = yaml.safe_load(example())
    document["workflow"]["graph"]["nodes"][0]["data"]["datasource_parameters"] = {
        "delimiter": {"type": "mixed", "value": "{{#rag.shared.delimiter#}}"}
    }
    pipeline = await made(house, owner, yaml.safe_dump(document))
    for step, names in (("pre-processing", ["delimiter"]), ("processing", ["max_chunk_length", "replace_spaces"])):
        asked = await owner.ok("GET", f"{pipeline.path}/workflows/draft/{step}/parameters?node_id=file")
        assert [field["variable"] for field in asked["variables"]] == names
    assert (await owner("GET", f"{pipeline.path}/workflows/draft/processing/parameters?node_id=no")).status_code == 404


async def test_a_published_pipeline_becomes_a_template(house: House, owner: Browser, stranger: Browser) -> None:
    pipeline = await made(house, owner)
    path = f"{pipeline.path}/customized/publish"
    assert (await owner("POST", path, {"name": "Mine"})).status_code == 400
    await pipeline.publish()
    await owner.ok("POST", path, {"name": "Mine", "description": "Files"})
    [template] = (await owner.ok("GET", "/rag/pipeline/templates?type=customized"))["pipeline_templates"]
    assert (template["name"], template["chunk_structure"], template["icon"]["icon"]) == ("Mine", "text_model", "📙")
    assert (await owner.ok("GET", "/rag/pipeline/templates"))["pipeline_templates"] == []
    own = f"/rag/pipeline/customized/templates/{template['id']}"
    text = (await owner.ok("POST", own, {}))["data"]
    made_of_it = await owner.ok("POST", "/rag/pipeline/dataset", {"yaml_content": text}, status=201)
    assert made_of_it["dataset_id"] != pipeline.dataset_id
    await owner.ok("PATCH", own, {"name": "Yours"})
    shown = await owner.ok("GET", f"/rag/pipeline/templates/{template['id']}?type=customized")
    assert (shown["name"], len(shown["graph"]["nodes"])) == ("Yours", 4)
    assert (await stranger("DELETE", own)).status_code == 404
    await owner.ok("DELETE", own)
    assert (await owner("POST", own, {})).status_code == 404


async def test_an_empty_pipeline_is_made_with_its_knowledge_base(house: House, owner: Browser) -> None:
    for name in ("Untitled", "Untitled 2"):
        made_empty = await owner.ok("POST", "/rag/pipeline/empty-dataset", status=201)
        assert (made_empty["name"], made_empty["runtime_mode"]) == (name, "rag_pipeline")
        assert made_empty["is_published"] is False
    path = f"/rag/pipelines/{made_empty['pipeline_id']}/workflows"
    assert (await owner("GET", f"{path}/draft")).json()["code"] == "draft_workflow_not_exist"
    await owner.ok("POST", f"{path}/draft", {"graph": yaml.safe_load(example())["workflow"]["graph"]})
    assert (await owner.ok("GET", f"{path}/publish")) is None


async def test_a_deleted_knowledge_base_takes_its_pipeline_along(house: House, owner: Browser) -> None:
    pipeline = await made(house, owner, publish=True)
    await pipeline.run()
    await work(house.platform)
    await house.workspace.datasets.delete(pipeline.dataset_id)
    assert "delete_app" in await work(house.platform)
    assert (await owner("GET", f"{pipeline.path}/workflows/draft")).status_code == 404


async def test_the_structure_of_documents_cannot_be_changed(house: House, owner: Browser) -> None:
    pipeline = await made(house, owner, publish=True)
    await pipeline.run()
    await work(house.platform)
    other = example(index={"chunk_structure": "hierarchical_model"})
    body = {"mode": "yaml-content", "yaml_content": other, "pipeline_id": pipeline.id}
    refused = await owner.ok("POST", "/rag/pipelines/imports", body, status=400)
    assert "Chunk structure" in refused["error"]
