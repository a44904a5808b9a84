"""Knowledge bases over the API: made, filled from text and files, indexed, asked, changed and deleted."""

from __future__ import annotations

import json
import uuid

import httpx
import pytest

from .knowledge_calls import AUTOMATIC, PARENTS, add_text, index_all, make
from .service_house import House, Key

DATASET_KEYS = {
    *("id", "name", "description", "provider", "permission", "data_source_type", "indexing_technique", "app_count"),
    *("document_count", "word_count", "created_by", "author_name", "created_at", "updated_by", "updated_at"),
    *("embedding_model", "embedding_model_provider", "embedding_available", "retrieval_model_dict", "tags"),
    *("doc_form", "external_knowledge_info", "external_retrieval_model", "doc_metadata", "built_in_field_enabled"),
    *("pipeline_id", "runtime_mode", "chunk_structure", "icon_info", "is_published", "total_documents"),
    *("total_available_documents", "enable_api", "is_multimodal", "index_rebuild"),
}
DOCUMENT_KEYS = {
    *("id", "position", "data_source_type", "data_source_info", "data_source_detail_dict", "dataset_process_rule_id"),
    *("name", "created_from", "created_by", "created_at", "tokens", "indexing_status", "error", "enabled"),
    *("disabled_at", "disabled_by", "archived", "display_status", "word_count", "hit_count", "doc_form"),
    "doc_metadata",
}
SEGMENT_KEYS = {
    *("id", "position", "document_id", "content", "sign_content", "answer", "word_count", "tokens", "keywords"),
    *("index_node_id", "index_node_hash", "hit_count", "enabled", "disabled_at", "disabled_by", "status"),
    *("created_by", "created_at", "indexing_at", "completed_at", "error", "stopped_at"),
}


@pytest.fixture
async def key(house: House) -> Key:
    return await house.dataset_key()


async def test_datasets(key: Key) -> None:
    empty = await key("POST", "/datasets", {"name": "Empty"})
    assert empty.status_code == 200, empty.text
    made = empty.json()
    assert set(made) == DATASET_KEYS
    assert (made["name"], made["permission"], made["provider"]) == ("Empty", "only_me", "vendor")
    assert (made["indexing_technique"], made["embedding_available"]) == (None, True)
    assert isinstance(made["created_at"], int)
    outside = [f"external_knowledge_{name}" for name in ("id", "api_id", "api_name", "api_endpoint")]
    assert made["external_knowledge_info"] == dict.fromkeys(outside)
    assert made["external_retrieval_model"] == dict.fromkeys(("top_k", "score_threshold", "score_threshold_enabled"))
    assert made["icon_info"] == dict.fromkeys(("icon_type", "icon", "icon_background", "icon_url"))
    assert made["retrieval_model_dict"]["search_method"] == "semantic_search"
    twice = await key("POST", "/datasets", {"name": "Empty"})
    assert (twice.status_code, twice.json()["code"]) == (409, "dataset_name_duplicate")
    for bad in ({}, {"name": ""}, {"name": "x" * 41}, {"name": "a", "permission": "all"}, {"name": "a", "hash": "x"},
                {"name": "a", "retrieval_model": {"top_k": 3}}):  # fmt: skip
        refused = await key("POST", "/datasets", bad)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param"), bad

    await make(key, "Second")
    page = (await key("GET", "/datasets?limit=1")).json()
    assert {name: page[name] for name in ("has_more", "limit", "total", "page")} == {
        "has_more": True, "limit": 1, "total": 2, "page": 1,
    }  # fmt: skip
    assert set(page["data"][0]) == DATASET_KEYS
    assert page["data"][0]["name"] == "Second"
    found = (await key("GET", "/datasets?keyword=empt")).json()
    assert [item["name"] for item in found["data"]] == ["Empty"]

    path = f"/datasets/{made['id']}"
    retrieval = {"search_method": "hybrid_search", "reranking_enable": False, "top_k": 3,
                 "score_threshold_enabled": True, "score_threshold": 0.2}  # fmt: skip
    changed = await key("PATCH", path, {"name": "Renamed", "description": "New", "retrieval_model": retrieval})
    assert changed.status_code == 200, changed.text
    assert set(changed.json()) == DATASET_KEYS | {"partial_member_list"}
    assert changed.json()["partial_member_list"] == []
    shown = (await key("GET", path)).json()
    assert (shown["name"], shown["description"]) == ("Renamed", "New")
    assert (shown["retrieval_model_dict"]["search_method"], shown["retrieval_model_dict"]["top_k"]) == (
        *("hybrid_search",),
        3,
    )
    gone = await key("DELETE", path)
    assert (gone.status_code, gone.json()) == (200, 204)
    missing = await key("GET", path)
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert missing.json()["message"].startswith("Dataset not found.")


async def test_text_from_upload_to_answer(house: House, key: Key) -> None:
    dataset = await make(key)
    answer = await add_text(key, dataset["id"])
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert list(made) == ["document", "batch"]
    document = made["document"]
    assert set(document) == DOCUMENT_KEYS
    assert (document["name"], document["indexing_status"], document["display_status"]) == (
        *("notes.txt", "waiting"),
        "queuing",
    )
    assert document["created_from"] == "api"

    path = f"/datasets/{dataset['id']}"
    status = (await key("GET", f"{path}/documents/{made['batch']}/indexing-status")).json()["data"]
    assert set(status[0]) == {
        *("id", "indexing_status", "processing_started_at", "parsing_completed_at", "cleaning_completed_at"),
        *("splitting_completed_at", "completed_at", "paused_at", "error", "stopped_at", "completed_segments"),
        *("total_segments", "reason"),
    }
    assert status[0]["indexing_status"] == "waiting"
    await index_all(house)
    status = (await key("GET", f"{path}/documents/{made['batch']}/indexing-status")).json()["data"]
    assert (status[0]["indexing_status"], status[0]["error"]) == ("completed", None)
    assert status[0]["completed_segments"] == status[0]["total_segments"] > 0
    assert isinstance(status[0]["completed_at"], int)
    unknown = await key("GET", f"{path}/documents/19990101/indexing-status")
    assert (unknown.status_code, unknown.json()["message"]) == (404, "Documents not found.")

    for name in ("retrieve", "hit-testing"):
        asked = await key("POST", f"{path}/{name}", {"query": "wheel motor"})
        assert asked.status_code == 200, asked.text
        body = asked.json()
        assert body["query"] == {"content": "wheel motor"}
        record = body["records"][0]
        assert set(record) == {"segment", "child_chunks", "score", "tsne_position", "files"}
        assert "wheel motor" in record["segment"]["content"]
        assert set(record["segment"]) == SEGMENT_KEYS | {"document"}
        assert record["segment"]["document"] == {
            "id": document["id"], "data_source_type": "upload_file", "name": "notes.txt", "doc_type": None,
            "doc_metadata": None,
        }  # fmt: skip
        assert 0 < record["score"] <= 1
    settings = {"search_method": "keyword_search", "reranking_enable": False, "top_k": 1,
                "score_threshold_enabled": False}  # fmt: skip
    one = await key("POST", f"{path}/retrieve", {"query": "gripper", "retrieval_model": settings})
    assert one.status_code == 200, one.text
    assert len(one.json()["records"]) <= 1
    for query in ("", "x" * 251):
        refused = await key("POST", f"{path}/retrieve", {"query": query})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")


async def test_a_file(house: House, key: Key) -> None:
    dataset = await make(key)
    path = f"/datasets/{dataset['id']}/document/create-by-file"
    data = json.dumps({"indexing_technique": "high_quality", "process_rule": AUTOMATIC})
    file = ("parts.md", b"# Parts\n\nThe depth camera costs four hundred euros.", "text/markdown")
    made = await key("POST", path, data={"data": data}, files={"file": file})
    assert made.status_code == 200, made.text
    document = made.json()["document"]
    assert document["name"] == "parts.md"
    assert document["data_source_detail_dict"]["upload_file"]["extension"] == "md"
    await index_all(house)
    shown = (await key("GET", f"/datasets/{dataset['id']}/documents/{document['id']}")).json()
    assert (shown["indexing_status"], shown["error"]) == ("completed", None)
    update = f"/datasets/{dataset['id']}/documents/{document['id']}/update-by-file"
    changed = await key(
        "POST", update, files={"file": ("new.txt", b"The lidar costs nine hundred euros.", "text/plain")}
    )
    assert changed.status_code == 200, changed.text
    assert changed.json()["document"]["name"] == "new.txt"

    nothing = await key("POST", path, data={"data": data})
    assert (nothing.status_code, nothing.json()["code"]) == (400, "no_file_uploaded")
    two = await key("POST", path, files=[("file", file), ("file", file)])
    assert (two.status_code, two.json()["code"]) == (400, "too_many_files")
    for name, content in (("tool.exe", b"MZ" + b"\0" * 100), ("notes.txt", b"MZ\x90\0" + b"\0" * 200),
                          ("paper.pdf", b"\x7fELF" + b"\0" * 200)):  # fmt: skip
        refused = await key("POST", path, data={"data": data}, files={"file": (name, content, "text/plain")})
        assert refused.status_code in (400, 415), (name, refused.text)
        assert refused.json()["code"] in ("unsupported_file_type", "invalid_param")
    broken = await key("POST", path, data={"data": "{"}, files={"file": file})
    assert (broken.status_code, broken.json()["params"]) == (400, "data")
    listed = (await key("GET", f"/datasets/{dataset['id']}/documents")).json()
    assert listed["total"] == 1


async def test_documents(house: House, key: Key) -> None:
    dataset = await make(key)
    path = f"/datasets/{dataset['id']}"
    first = (await add_text(key, dataset["id"], name="first.txt")).json()["document"]["id"]
    await add_text(key, dataset["id"], name="second.txt")
    busy = await key("DELETE", f"{path}/documents/{first}")
    assert busy.status_code in (200, 400)
    if busy.status_code == 200:
        first = (await add_text(key, dataset["id"], name="first.txt")).json()["document"]["id"]
    await index_all(house)
    page = (await key("GET", f"{path}/documents?limit=1")).json()
    assert {name: page[name] for name in ("has_more", "limit", "total", "page")} == {
        "has_more": True, "limit": 1, "total": 2, "page": 1,
    }  # fmt: skip
    assert set(page["data"][0]) == DOCUMENT_KEYS
    found = (await key("GET", f"{path}/documents?keyword=FIRST&status=available")).json()
    assert [item["id"] for item in found["data"]] == [first]

    whole = (await key("GET", f"{path}/documents/{first}")).json()
    assert set(whole) == {
        *("id", "position", "data_source_type", "data_source_info", "dataset_process_rule_id", "dataset_process_rule"),
        *("document_process_rule", "name", "created_from", "created_by", "created_at", "tokens", "indexing_status"),
        *("completed_at", "updated_at", "indexing_latency", "error", "enabled", "disabled_at", "disabled_by"),
        *("archived", "doc_type", "doc_metadata", "segment_count", "average_segment_length", "hit_count"),
        *("display_status", "doc_form", "doc_language"),
    }
    without = (await key("GET", f"{path}/documents/{first}?metadata=without")).json()
    assert set(whole) - set(without) == {"doc_type", "doc_metadata"}
    only = (await key("GET", f"{path}/documents/{first}?metadata=only")).json()
    assert set(only) == {"id", "doc_type", "doc_metadata"}
    bad = await key("GET", f"{path}/documents/{first}?metadata=some")
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_metadata")

    async def switch(action: str) -> httpx.Response:
        return await key("PATCH", f"{path}/documents/status/{action}", {"document_ids": [first]})

    assert (await switch("disable")).json() == {"result": "success"}
    assert (await key("GET", f"{path}/documents/{first}")).json()["display_status"] == "disabled"
    await switch("enable")
    await switch("archive")
    archived = await key("DELETE", f"{path}/documents/{first}")
    assert (archived.status_code, archived.json()["code"]) == (403, "archived_document_immutable")
    await switch("un_archive")
    unknown = await switch("burn")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "invalid_action")

    update = f"{path}/documents/{first}/update-by-text"
    nameless = await key("POST", update, {"text": "The pump is new."})
    assert (nameless.status_code, nameless.json()["params"]) == (400, "name")
    changed = await key("POST", update, {"name": "pump.txt", "text": "The pump is new and blue."})
    assert changed.status_code == 200, changed.text
    assert changed.json()["document"]["name"] == "pump.txt"
    await index_all(house)
    hit = (await key("POST", f"{path}/retrieve", {"query": "blue pump"})).json()["records"][0]
    assert "pump" in hit["segment"]["content"]
    gone = await key("DELETE", f"{path}/documents/{first}")
    assert (gone.status_code, gone.json()) == (200, 204)
    assert (await key("GET", f"{path}/documents/{first}")).status_code == 404


async def test_a_first_document_needs_technique_and_rule(key: Key) -> None:
    empty = (await key("POST", "/datasets", {"name": "Empty"})).json()
    path = f"/datasets/{empty['id']}/document/create_by_text"
    body = {"name": "a.txt", "text": "words"}
    refused = await key("POST", path, {**body, "process_rule": AUTOMATIC})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    refused = await key("POST", path, {**body, "indexing_technique": "economy"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    wrong = {"mode": "custom", "rules": {"segmentation": {"max_tokens": "many"}}}
    refused = await key("POST", path, {**body, "indexing_technique": "economy", "process_rule": wrong})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    made = await key("POST", path, {**body, "indexing_technique": "economy", "process_rule": AUTOMATIC})
    assert made.status_code == 200, made.text


async def test_segments(house: House, key: Key) -> None:
    dataset = await make(key)
    document = (await add_text(key, dataset["id"])).json()["document"]["id"]
    path = f"/datasets/{dataset['id']}/documents/{document}/segments"
    early = await key("POST", path, {"segments": [{"content": "too early"}]})
    assert early.status_code == 404
    await index_all(house)
    listed = (await key("GET", path)).json()
    assert set(listed) == {"data", "doc_form", "total", "has_more", "limit", "page"}
    assert set(listed["data"][0]) == SEGMENT_KEYS | {"updated_at", "updated_by", "child_chunks", "attachments"}
    assert listed["doc_form"] == "text_model"
    made = await key("POST", path, {"segments": [{"content": "The lidar costs nine hundred.", "keywords": ["lidar"]}]})
    assert made.status_code == 200, made.text
    segment = made.json()["data"][0]
    assert (segment["status"], segment["keywords"]) == ("completed", ["lidar"])
    hit = (await key("POST", f"/datasets/{dataset['id']}/retrieve", {"query": "lidar"})).json()["records"][0]
    assert hit["segment"]["id"] == segment["id"]
    changed = await key("POST", f"{path}/{segment['id']}", {"segment": {"content": "The radar is cheap."}})
    assert changed.json()["data"]["content"] == "The radar is cheap."
    shown = (await key("GET", f"{path}/{segment['id']}")).json()
    assert (shown["data"]["content"], shown["doc_form"]) == ("The radar is cheap.", "text_model")
    found = (await key("GET", f"{path}?keyword=radar&status=completed")).json()
    assert [item["id"] for item in found["data"]] == [segment["id"]]
    for bad in ({}, {"segments": []}, {"segments": [{"content": " "}]}, {"segments": [{"text": "x"}]}):
        refused = await key("POST", path, bad)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param"), bad
    gone = await key("DELETE", f"{path}/{segment['id']}")
    assert (gone.status_code, gone.json()) == (200, 204)
    assert (await key("GET", f"{path}/{segment['id']}")).status_code == 404


async def test_child_chunks(house: House, key: Key) -> None:
    dataset = await make(key)
    answer = await add_text(key, dataset["id"], doc_form="hierarchical_model", process_rule=PARENTS)
    assert answer.status_code == 200, answer.text
    document = answer.json()["document"]["id"]
    await index_all(house)
    path = f"/datasets/{dataset['id']}/documents/{document}/segments"
    segment = (await key("GET", path)).json()["data"][0]
    assert segment["child_chunks"]
    path = f"{path}/{segment['id']}/child_chunks"
    made = await key("POST", path, {"content": "A child of its own"})
    assert made.status_code == 200, made.text
    child = made.json()["data"]
    assert set(child) == {
        *("id", "segment_id", "content", "position", "word_count", "type", "created_at", "updated_at"),
    }
    assert (child["type"], child["segment_id"]) == ("customized", segment["id"])
    listed = (await key("GET", f"{path}?limit=1")).json()
    assert set(listed) == {"data", "total", "total_pages", "page", "limit"}
    assert listed["total_pages"] == listed["total"] > 1
    changed = await key("PATCH", f"{path}/{child['id']}", {"content": "Grown up"})
    assert changed.json()["data"]["content"] == "Grown up"
    gone = await key("DELETE", f"{path}/{child['id']}")
    assert (gone.status_code, gone.json()) == (200, 204)
    assert (await key("DELETE", f"{path}/{child['id']}")).status_code == 404


async def test_a_dataset_that_is_closed_to_its_api(house: House, key: Key) -> None:
    from dify_host.knowledge.tables import datasets

    dataset = await make(key)
    async with house.platform.db.write() as conn:
        await conn.execute(datasets.update().where(datasets.c.id == dataset["id"]).values(enable_api=False))
    refused = await key("GET", f"/datasets/{dataset['id']}")
    assert (refused.status_code, refused.json()["message"]) == (403, "Dataset api access is not enabled.")
    unknown = await key("GET", f"/datasets/{uuid.uuid4()}/documents")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_models(house: House, key: Key) -> None:
    listed = (await key("GET", "/workspaces/current/models/model-types/llm")).json()["data"]
    openai = next(item for item in listed if item["provider"] == "openai")
    assert (openai["tenant_id"], openai["status"]) == (house.workspace.tenant.id, "active")
    assert set(openai) == {
        "tenant_id", "provider", "label", "icon_small", "icon_small_dark", "status", "models",
    }  # fmt: skip
    assert {"model", "label", "model_type", "features", "fetch_from", "model_properties", "status"} <= set(
        openai["models"][0]
    )
    refused = await key("GET", "/workspaces/current/models/model-types/crystal-ball")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
