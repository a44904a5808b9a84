"""Knowledge bases in the console: made of files, looked after, tried, and the same for Service API and console."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ..service.knowledge_calls import AUTOMATIC, EMBEDDING, PARENTS, TEXT, index_all
from ..service.service_house import House, Key, answers_with
from ..service.test_service_knowledge import DATASET_KEYS, DOCUMENT_KEYS, SEGMENT_KEYS
from .console_house import Browser

CUSTOM = {
    "mode": "custom",
    "rules": {
        "pre_processing_rules": [{"id": "remove_extra_spaces", "enabled": True}],
        "segmentation": {"separator": "\n\n", "max_tokens": 500, "chunk_overlap": 50},
    },
}


async def upload(house: House, name: str, text: str = TEXT) -> str:
    kept = await house.workspace.files.upload(
        text.encode(), name, "text/plain", created_by_role="account", created_by=house.owner_id
    )
    return kept.id


def source(*file_ids: str) -> dict[str, Any]:
    return {"info_list": {"data_source_type": "upload_file", "file_info_list": {"file_ids": list(file_ids)}}}


def config(*file_ids: str, **more: Any) -> dict[str, Any]:
    """What the console sends to index files."""
    return {
        "data_source": source(*file_ids),
        "indexing_technique": "high_quality",
        "process_rule": CUSTOM,
        "doc_form": "text_model",
        "doc_language": "English",
        **EMBEDDING,
        **more,
    }


async def begun(owner: Browser, house: House, *names: str, **more: Any) -> dict[str, Any]:
    """A knowledge base made of files."""
    files = [await upload(house, name) for name in names or ("parts.txt",)]
    made: dict[str, Any] = await owner.ok("POST", "/datasets/init", config(*files, **more))
    await index_all(house)
    return made


async def test_a_knowledge_base_is_made_of_files(owner: Browser, house: House) -> None:
    made = await begun(owner, house, "parts.txt", "more.txt")
    assert set(made) == {"dataset", "documents", "batch"}
    assert set(made["dataset"]) == DATASET_KEYS
    assert made["dataset"]["name"] == "parts.txt"
    assert [item["name"] for item in made["documents"]] == ["parts.txt", "more.txt"]
    assert all(set(item) == DOCUMENT_KEYS and item["created_from"] == "web" for item in made["documents"])
    path = f"/datasets/{made['dataset']['id']}"
    status = (await owner.ok("GET", f"{path}/batch/{made['batch']}/indexing-status"))["data"]
    assert [item["indexing_status"] for item in status] == ["completed", "completed"]
    assert (await owner.ok("GET", f"{path}/indexing-status"))["data"] == status
    one = await owner.ok("GET", f"{path}/documents/{made['documents'][0]['id']}/indexing-status")
    assert one == status[0]
    assert one["completed_segments"] == one["total_segments"] == 2
    rule = await owner.ok("GET", f"/datasets/process-rule?document_id={made['documents'][0]['id']}")
    assert (rule["mode"], rule["rules"]["segmentation"]["max_tokens"]) == ("custom", 500)
    assert rule["limits"] == {"indexing_max_segmentation_tokens_length": 4000}
    assert (await owner.ok("GET", "/datasets/process-rule"))["mode"] == "automatic"

    again = await begun(owner, house, "parts.txt")  # the name is taken
    assert again["dataset"]["name"] == "parts.txt 2"


async def test_a_file_that_cannot_be_read_leaves_nothing_behind(owner: Browser, house: House) -> None:
    good, bad = await upload(house, "parts.txt"), await upload(house, "picture.png", "no text")
    for files, status in (((good, bad), 415), ((), 400)):
        refused = await owner("POST", "/datasets/init", config(*files))
        assert refused.status_code == status, refused.text
    without_model = {**config(good), "embedding_model": "x", "process_rule": {"mode": "custom"}}
    assert (await owner("POST", "/datasets/init", without_model)).status_code == 400
    assert (await owner.ok("GET", "/datasets"))["total"] == 0
    for kind in ("notion_import", "website_crawl"):
        body = config(good)
        body["data_source"]["info_list"]["data_source_type"] = kind
        refused = await owner("POST", "/datasets/init", body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")  # no page is chosen


async def test_documents_are_added_replaced_and_looked_after(owner: Browser, house: House) -> None:
    made = await begun(owner, house, "parts.txt")
    path, first = f"/datasets/{made['dataset']['id']}", made["documents"][0]["id"]
    files = [await upload(house, "parts.txt", "The crane lifts ten tons."), await upload(house, "new.txt")]
    added = await owner.ok("POST", f"{path}/documents", config(*files))
    assert [item["name"] for item in added["documents"]] == ["parts.txt", "new.txt"]
    assert added["documents"][0]["id"] == first  # a file of the same name takes its place
    second = added["documents"][1]["id"]
    await index_all(house)
    status = (await owner.ok("GET", f"{path}/batch/{added['batch']}/indexing-status"))["data"]
    assert {item["id"]: item["indexing_status"] for item in status} == {first: "completed", second: "completed"}
    beside = await owner.ok("POST", f"{path}/documents", config(await upload(house, "new.txt"), duplicate=False))
    third = beside["documents"][0]["id"]
    assert third not in (first, second)
    await index_all(house)

    listed = await owner.ok("GET", f"{path}/documents?fetch=true&sort=created_at&limit=2")
    assert [item["id"] for item in listed["data"]] == [first, second]
    assert (listed["total"], listed["has_more"]) == (3, True)
    assert listed["data"][1]["completed_segments"] == listed["data"][1]["total_segments"] == 2
    await owner.ok("POST", f"{path}/hit-testing", {"query": "crane"})
    most = await owner.ok("GET", f"{path}/documents?sort=-hit_count")
    hits = [item["hit_count"] for item in most["data"]]
    assert hits == sorted(hits, reverse=True)
    assert hits[0] > 0
    assert (await owner.ok("GET", f"{path}/documents?keyword=NEW&status=available"))["total"] == 2

    renamed = await owner.ok("POST", f"{path}/documents/{second}/rename", {"name": "newer.txt"})
    assert (renamed["id"], renamed["name"]) == (second, "newer.txt")
    kind = {"doc_type": "book", "doc_metadata": {"title": "Parts"}}
    assert (await owner.ok("PUT", f"{path}/documents/{second}/metadata", kind))["result"] == "success"
    assert (await owner.ok("GET", f"{path}/documents/{second}?metadata=only"))["doc_type"] == "book"
    assert (await owner("PUT", f"{path}/documents/{second}/metadata", {"doc_type": "poem"})).status_code == 400
    log = await owner.ok("GET", f"{path}/documents/{first}/pipeline-execution-log")
    assert log == dict.fromkeys(("datasource_info", "datasource_type", "input_data", "datasource_node_id"))
    link = (await owner.ok("GET", f"{path}/documents/{first}/download"))["url"]
    file = await owner.web.get(link)
    assert (file.status_code, file.text) == (200, "The crane lifts ten tons.")
    assert file.headers["content-disposition"].startswith("attachment")

    both = f"document_id={first}&document_id={second}"
    assert await owner.ok("PATCH", f"{path}/documents/status/archive/batch?{both}") == {"result": "success"}
    assert (await owner.ok("GET", f"{path}/documents?status=archived"))["total"] == 2
    refused = await owner("DELETE", f"{path}/documents?{both}")
    assert (refused.status_code, refused.json()["code"]) == (403, "archived_document_immutable")
    await owner.ok("PATCH", f"{path}/documents/status/un_archive/batch?{both}")
    assert (await owner("PATCH", f"{path}/documents/status/burn/batch?{both}")).json()["code"] == "invalid_action"
    await owner.ok("DELETE", f"{path}/documents?{both}", status=204)
    await owner.ok("DELETE", f"{path}/documents/{third}", status=204)
    assert (await owner.ok("GET", f"{path}/documents"))["total"] == 0


async def test_indexing_is_paused_resumed_and_tried_again(owner: Browser, house: House) -> None:
    file = await upload(house, "parts.txt")
    made = await owner.ok("POST", "/datasets/init", config(file))
    path, document = f"/datasets/{made['dataset']['id']}", made["documents"][0]["id"]
    await owner.ok("PATCH", f"{path}/documents/{document}/processing/pause", status=204)
    assert (await owner.ok("GET", f"{path}/error-docs"))["total"] == 1
    await index_all(house)
    assert (await owner.ok("GET", f"{path}/documents/{document}/indexing-status"))["indexing_status"] != "completed"
    estimate = await owner.ok("GET", f"{path}/documents/{document}/indexing-estimate")
    assert estimate["total_segments"] == 2
    assert await owner.ok("PATCH", f"{path}/documents/{document}/processing/resume", status=204) is None
    await index_all(house)
    assert (await owner.ok("GET", f"{path}/documents/{document}/indexing-status"))["indexing_status"] == "completed"
    for action, code in (("pause", "invalid_action"), ("burn", "invalid_action")):
        refused = await owner("PATCH", f"{path}/documents/{document}/processing/{action}")
        assert (refused.status_code, refused.json()["code"]) == (400, code)
    await owner.ok("POST", f"{path}/retry", {"document_ids": [document]}, status=204)

    empty = await upload(house, "empty.txt", "\n")
    added = await owner.ok("POST", f"{path}/documents", config(empty))
    await index_all(house)
    failed = await owner.ok("GET", f"{path}/error-docs")
    assert [(item["id"], item["indexing_status"]) for item in failed["data"]] == [
        (added["documents"][0]["id"], "error")
    ]
    assert failed["data"][0]["error"]
    await owner.ok("POST", f"{path}/retry", {"document_ids": [added["documents"][0]["id"]]}, status=204)
    assert (await owner.ok("GET", f"{path}/error-docs"))["total"] == 0


async def test_an_estimate_writes_nothing(owner: Browser, house: House) -> None:
    file = await upload(house, "parts.txt")
    info = source(file)["info_list"]
    found = await owner.ok("POST", "/datasets/indexing-estimate", {"info_list": info, "process_rule": CUSTOM})
    assert found["total_segments"] == 2
    assert [item["content"] for item in found["preview"]] == TEXT.split("\n\n")
    nested = await owner.ok(
        "POST",
        "/datasets/indexing-estimate",
        {"info_list": info, "process_rule": PARENTS, "doc_form": "hierarchical_model"},
    )
    assert all(item["child_chunks"] for item in nested["preview"])
    asked = {"info_list": info, "process_rule": AUTOMATIC, "doc_form": "qa_model"}
    assert (await owner.ok("POST", "/datasets/indexing-estimate", asked))["qa_preview"] == []
    short = {"mode": "custom", "rules": {**CUSTOM["rules"], "segmentation": {"max_tokens": 10}}}  # type: ignore[dict-item]
    refused = await owner("POST", "/datasets/indexing-estimate", {"info_list": info, "process_rule": short})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    assert (await owner.ok("GET", "/datasets"))["total"] == 0


async def test_segments_and_children(owner: Browser, house: House) -> None:
    made = await begun(owner, house, process_rule=PARENTS, doc_form="hierarchical_model")
    document = f"/datasets/{made['dataset']['id']}/documents/{made['documents'][0]['id']}"
    listed = await owner.ok("GET", f"{document}/segments")
    assert set(listed) == {"data", "limit", "total", "total_pages", "page"}
    assert set(listed["data"][0]) == SEGMENT_KEYS | {"updated_at", "updated_by", "child_chunks", "attachments"}
    added = await owner.ok("POST", f"{document}/segment", {"content": "The lidar is new.", "keywords": ["lidar"]})
    assert added["doc_form"] == "hierarchical_model"
    segment = added["data"]["id"]
    changed = await owner.ok("PATCH", f"{document}/segments/{segment}", {"content": "The radar is new."})
    assert changed["data"]["content"] == "The radar is new."
    await owner.ok("PATCH", f"{document}/segment/disable?segment_id={segment}")
    for query, total in (("enabled=false", 1), ("enabled=true", 2), ("keyword=RADAR", 1), ("hit_count_gte=1", 0),
                         ("status=completed&status=error", 3), ("status=error", 0)):  # fmt: skip
        assert (await owner.ok("GET", f"{document}/segments?{query}"))["total"] == total, query
    await owner.ok("PATCH", f"{document}/segment/enable?segment_id={segment}")
    assert (await owner("PATCH", f"{document}/segment/burn?segment_id={segment}")).status_code == 400
    assert (await owner("GET", f"{document}/segments?limit=101")).status_code == 400

    path = f"{document}/segments/{segment}/child_chunks"
    one = (await owner.ok("POST", path, {"content": "A child"}))["data"]
    assert (await owner.ok("PATCH", f"{path}/{one['id']}", {"content": "A grown child"}))["data"]["content"]
    wanted = [{"id": one["id"], "content": "The same child"}, {"content": "Another"}]
    both = (await owner.ok("PATCH", path, {"chunks": wanted}))["data"]
    assert [item["content"] for item in both] == ["The same child", "Another"]
    assert both[0]["id"] == one["id"]
    listed = await owner.ok("GET", f"{path}?limit=1")
    assert (listed["total"], listed["total_pages"]) == (2, 2)
    for chunks, status in (([{"content": " "}], 400), ([{"id": segment, "content": "x"}], 404)):
        assert (await owner("PATCH", path, {"chunks": chunks})).status_code == status
    await owner.ok("DELETE", f"{path}/{one['id']}", status=204)
    await owner.ok("DELETE", f"{document}/segments?segment_id={segment}", status=204)
    assert (await owner.ok("GET", f"{document}/segments"))["total"] == 2


async def test_segments_come_from_a_csv_file(owner: Browser, house: House) -> None:
    made = await begun(owner, house, "parts.txt")
    document = f"/datasets/{made['dataset']['id']}/documents/{made['documents'][0]['id']}"
    before = (await owner.ok("GET", f"{document}/segments"))["total"]
    table = await upload(house, "more.csv", "content\nThe crane lifts ten tons.\nThe winch pulls two.\n")
    begun_job = await owner.ok("POST", f"{document}/segments/batch_import", {"upload_file_id": table})
    assert begun_job["job_status"] == "waiting"
    while await house.platform.turns.run_here(house.workspace.tenant.id):
        pass
    status = await owner.ok("GET", f"/datasets/batch_import_status/{begun_job['job_id']}")
    assert (status["job_id"], status["job_status"]) == (begun_job["job_id"], "completed")
    segments = await owner.ok("GET", f"{document}/segments")
    assert segments["total"] == before + 2
    assert [item["content"] for item in segments["data"]][-2:] == ["The crane lifts ten tons.", "The winch pulls two."]

    text = await upload(house, "more.txt", "no table")
    refused = await owner("POST", f"{document}/segments/batch_import", {"upload_file_id": text})
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_file_type")
    unknown = await owner("GET", f"/datasets/batch_import_status/{made['dataset']['id']}")
    assert unknown.status_code == 404


async def test_a_knowledge_base_is_tried_and_remembers(owner: Browser, house: House) -> None:
    made = await begun(owner, house)
    path = f"/datasets/{made['dataset']['id']}"
    found = await owner.ok("POST", f"{path}/hit-testing", {"query": "wheel motor", "retrieval_model": None})
    assert "wheel motor" in found["records"][0]["segment"]["content"]
    past = await owner.ok("GET", f"{path}/queries")
    assert past["total"] == 1
    assert past["data"][0]["queries"] == [{"content_type": "text_query", "content": "wheel motor", "file_info": None}]
    assert (past["data"][0]["source"], past["data"][0]["created_by"]) == ("hit_testing", house.owner_id)
    outside = await owner("POST", f"{path}/external-hit-testing", {"query": "wheel"})
    assert (outside.status_code, outside.json()["code"]) == (400, "invalid_param")
    for name in ("retrieval-setting", "retrieval-setting/sqlite"):
        methods = (await owner.ok("GET", f"/datasets/{name}"))["retrieval_method"]
        assert methods == ["semantic_search", "full_text_search", "hybrid_search"]
    unknown = await owner("GET", "/datasets/retrieval-setting/abacus")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "plugin_not_found")


async def test_a_knowledge_base_in_use_stays(owner: Browser, house: House) -> None:
    made = await begun(owner, house)
    dataset = made["dataset"]["id"]
    assert await owner.ok("GET", f"/datasets/{dataset}/use-check") == {"is_using": False}
    configured = {"datasets": {"datasets": [{"dataset": {"enabled": True, "id": dataset}}]}}
    app = await house.app("chat", {"pre_prompt": "Be brief.", "dataset_configs": configured})
    assert await owner.ok("GET", f"/datasets/{dataset}/use-check") == {"is_using": True}
    related = await owner.ok("GET", f"/datasets/{dataset}/related-apps")
    assert (related["total"], [item["id"] for item in related["data"]]) == (1, [app.app_id])
    refused = await owner("DELETE", f"/datasets/{dataset}")
    assert (refused.status_code, refused.json()["code"]) == (409, "dataset_in_use")


async def test_keys_and_the_switch_of_the_api(owner: Browser, house: House) -> None:
    made = await begun(owner, house)
    dataset = made["dataset"]["id"]
    key = await owner.ok("POST", "/datasets/api-keys")
    assert key["token"].startswith("dataset-")
    base = (await owner.ok("GET", "/datasets/api-base-info"))["api_base_url"]
    assert base == "http://dify.test/v1"
    bearer = {"Authorization": f"Bearer {key['token']}"}
    assert (await owner.web.get(f"{base}/datasets/{dataset}", headers=bearer)).status_code == 200
    await owner.ok("POST", f"/datasets/{dataset}/api-keys/disable")
    assert (await owner.web.get(f"{base}/datasets/{dataset}", headers=bearer)).status_code == 403
    await owner.ok("POST", f"/datasets/{dataset}/api-keys/enable")
    assert (await owner.web.get(f"{base}/datasets/{dataset}", headers=bearer)).status_code == 200
    (listed,) = (await owner.ok("GET", "/datasets/api-keys"))["data"]
    assert listed["token"] != key["token"]
    app_key = await house.key_of((await house.app("advanced-chat", answers_with())).app_id)
    (of_app, *_) = await house.workspace.api_keys.list("app", app_key.app_id)
    assert (await owner("DELETE", f"/datasets/api-keys/{of_app.id}")).status_code == 404
    await owner.ok("DELETE", f"/datasets/api-keys/{key['id']}", status=204)
    assert (await owner.web.get(f"{base}/datasets/{dataset}", headers=bearer)).status_code == 401
    for _ in range(10):
        await owner.ok("POST", "/datasets/api-keys")
    too_many = await owner("POST", "/datasets/api-keys")
    assert (too_many.status_code, too_many.json()["code"]) == (400, "max_keys_exceeded")


async def test_a_key_of_one_knowledge_base_opens_no_other(owner: Browser, house: House) -> None:
    mine = (await begun(owner, house))["dataset"]["id"]
    other = (await owner.ok("POST", "/datasets", {"name": "Other"}, status=201))["id"]
    of_all = await owner.ok("POST", "/datasets/api-keys")
    made = await owner.ok("POST", f"/datasets/{mine}/api-keys", status=201)
    assert (made["token"][:3], made["type"], len(made["token"])) == ("ds-", "dataset", 27)
    (listed,) = (await owner.ok("GET", f"/datasets/{mine}/api-keys"))["data"]
    assert (listed["id"], listed["token"]) == (made["id"], f"ds-********{made['token'][-4:]}")
    assert [item["id"] for item in (await owner.ok("GET", "/datasets/api-keys"))["data"]] == [of_all["id"]]
    assert (await owner.ok("GET", f"/datasets/{other}/api-keys"))["data"] == []

    key = Key(house.web, made["token"])
    assert (await key("GET", f"/datasets/{mine}")).status_code == 200
    assert (await key("GET", f"/datasets/{mine}/documents")).json()["total"] == 1
    assert [item["id"] for item in (await key("GET", "/datasets")).json()["data"]] == [mine]
    for path in (f"/datasets/{other}", f"/datasets/{other}/documents", f"/datasets/{uuid.uuid4()}"):
        answer = await key("GET", path)
        assert (answer.status_code, answer.json()["message"]) == (404, "Dataset not found."), path
    for method, path, body in (
        ("POST", "/datasets", {"name": "New"}),
        ("GET", "/datasets/tags", None),
        ("POST", "/datasets/tags/binding", {"tag_ids": [str(uuid.uuid4())], "target_id": other}),
        ("GET", "/workspaces/current/models/model-types/text-embedding", None),
    ):
        assert (await key(method, path, body)).status_code == 403, path

    # A key is deleted where it belongs, and goes with its knowledge base.
    for path in (f"/datasets/{other}/api-keys/{made['id']}", f"/datasets/api-keys/{made['id']}"):
        assert (await owner("DELETE", path)).status_code == 404, path
    second = await owner.ok("POST", f"/datasets/{mine}/api-keys", status=201)
    await owner.ok("DELETE", f"/datasets/{mine}/api-keys/{second['id']}", status=204)
    assert (await Key(house.web, second["token"])("GET", f"/datasets/{mine}")).status_code == 401
    await owner.ok("DELETE", f"/datasets/{mine}", status=204)
    assert await house.workspace.api_keys.list("dataset", dataset_id=mine) == []
    assert [item.id for item in await house.workspace.api_keys.list("dataset")] == [of_all["id"]]


@pytest.mark.parametrize("kind", ["knowledge", "app"])
async def test_tags_of_both_kinds(owner: Browser, house: House, kind: str) -> None:
    target = (await begun(owner, house))["dataset"]["id"] if kind == "knowledge" else await owner.app()
    tag = await owner.ok("POST", "/tags", {"name": "robots", "type": kind})
    assert tag == {"id": tag["id"], "name": "robots", "type": kind, "binding_count": 0}
    other = "app" if kind == "knowledge" else "knowledge"
    await owner.ok("POST", "/tags", {"name": "robots", "type": other})  # names of the two kinds are apart
    await owner.ok("POST", "/tag-bindings/create", {"tag_ids": [tag["id"]], "target_id": target, "type": kind})
    (found,) = await owner.ok("GET", f"/tags?type={kind}&keyword=ROB")
    assert found == {**tag, "binding_count": "1"}
    assert len(await owner.ok("GET", "/tags")) == 2
    renamed = await owner.ok("PATCH", f"/tags/{tag['id']}", {"name": "arms"})
    assert (renamed["name"], renamed["binding_count"]) == ("arms", 1)
    listed = await owner.ok("GET", f"/{'datasets' if kind == 'knowledge' else 'apps'}?tag_ids={tag['id']}")
    assert [item["id"] for item in listed["data"]] == [target]
    crossed = await owner("POST", "/tag-bindings/create", {"tag_ids": [tag["id"]], "target_id": target, "type": other})
    assert crossed.status_code == 404
    await owner.ok("POST", "/tag-bindings/remove", {"tag_id": tag["id"], "target_id": target, "type": kind})
    assert (await owner.ok("GET", f"/tags?type={kind}"))[0]["binding_count"] == "0"
    assert (await owner("POST", "/tags", {"name": "arms"})).status_code == 400
    assert await owner.ok("DELETE", f"/tags/{tag['id']}") == 204


async def test_metadata_in_the_console(owner: Browser, house: House) -> None:
    made = await begun(owner, house)
    path, document = f"/datasets/{made['dataset']['id']}", made["documents"][0]["id"]
    field = await owner.ok("POST", f"{path}/metadata", {"type": "string", "name": "color"}, status=201)
    values = [{"id": field["id"], "name": "color", "value": "blue"}]
    item = {"document_id": document, "metadata_list": values, "partial_update": True}
    await owner.ok("POST", f"{path}/documents/metadata", {"operation_data": [item]})
    assert (await owner.ok("GET", f"{path}/metadata"))["doc_metadata"][0]["count"] == 1
    assert (await owner.ok("PATCH", f"{path}/metadata/{field['id']}", {"name": "tint"}))["name"] == "tint"
    await owner.ok("POST", f"{path}/metadata/built-in/enable")
    assert len((await owner.ok("GET", "/datasets/metadata/built-in"))["fields"]) == 5
    shown = await owner.ok("GET", f"{path}/documents/{document}?metadata=only")
    assert ("tint", "blue") in [(item["name"], item["value"]) for item in shown["doc_metadata"]]
    await owner.ok("DELETE", f"{path}/metadata/{field['id']}", status=204)
    assert (await owner.ok("GET", f"{path}/metadata"))["doc_metadata"] == []


async def test_old_office_files_are_refused_before_they_are_documents_where_nothing_converts_them(
    owner: Browser, house: House
) -> None:
    known = (await owner.ok("GET", "/files/support-type"))["allowed_extensions"]
    assert {"pdf", "odt", "jsonl"} <= set(known)
    assert {"doc", "ppt"}.isdisjoint(known)
    refused = await owner("POST", "/datasets/init", config(await upload(house, "old.doc")))
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_file_type")
    assert "DOCUMENT_CONVERTER" in refused.json()["message"]
