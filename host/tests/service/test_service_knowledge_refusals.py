"""What the knowledge API refuses, and that nothing of it stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.files.tables import upload_files

from .knowledge_calls import AUTOMATIC, EMBEDDING, PARENTS, add_text, index_all, make
from .service_house import House, Key, Workshop

SETTINGS: dict[str, Any] = {
    "search_method": "semantic_search",
    "reranking_enable": False,
    "top_k": 3,
    "score_threshold_enabled": False,
}


@pytest.fixture
async def key(house: House) -> Key:
    return await house.dataset_key()


@pytest.mark.parametrize(
    "wrong",
    [
        {"reranking_mode": "by_chance"},
        {"reranking_mode": "weighted_score", "weights": {"vector_setting": {"vector_weight": "NaN"}}},
        {"reranking_mode": "weighted_score", "weights": {"keyword_setting": {"keyword_weight": "Infinity"}}},
        {"score_threshold_enabled": True, "score_threshold": "NaN"},
        {"metadata_filtering_conditions": {"conditions": [{"comparison_operator": "is", "value": "red"}]}},
        {"metadata_filtering_conditions": {"conditions": [{"name": "color", "comparison_operator": "=="}]}},
        {"top_k": 10**30},
    ],
)
async def test_settings_that_no_search_could_follow_are_not_kept(house: House, key: Key, wrong: dict[str, Any]) -> None:
    dataset = await make(key, retrieval_model=SETTINGS)
    path = f"/datasets/{dataset['id']}"
    await add_text(key, dataset["id"])
    await index_all(house)
    for method, to, body in (
        ("PATCH", path, {"retrieval_model": {**SETTINGS, **wrong}}),
        ("POST", "/datasets", {"name": "Other", "retrieval_model": {**SETTINGS, **wrong}}),
        ("POST", f"{path}/retrieve", {"query": "wheel", "retrieval_model": {**SETTINGS, **wrong}}),
    ):
        refused = await key(method, to, body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param"), refused.text
    assert (await key("GET", path)).json()["retrieval_model_dict"] == dataset["retrieval_model_dict"]
    found = await key("POST", f"{path}/retrieve", {"query": "wheel"})
    assert len(found.json()["records"]) == 1, found.text


async def test_settings_are_shown_with_every_field(key: Key) -> None:
    shown = (await make(key, retrieval_model=SETTINGS))["retrieval_model_dict"]
    names = dict.fromkeys(("reranking_provider_name", "reranking_model_name"))
    rest = dict.fromkeys(("reranking_mode", "weights", "score_threshold"))
    assert shown == {**SETTINGS, **rest, "reranking_model": names}


async def test_settings_can_be_sent_back_as_they_are_shown(house: House, key: Key) -> None:
    dataset = await make(key, retrieval_model=SETTINGS)
    path, shown = f"/datasets/{dataset['id']}", dataset["retrieval_model_dict"]
    await add_text(key, dataset["id"])
    await index_all(house)
    kept = await key("PATCH", path, {"retrieval_model": shown})
    assert (kept.status_code, kept.json()["retrieval_model_dict"]) == (200, shown)
    for body in ({"query": "wheel", "retrieval_model": shown}, {"query": "wheel"}):
        found = await key("POST", f"{path}/retrieve", body)
        assert (found.status_code, len(found.json()["records"])) == (200, 1), found.text


async def test_as_many_hits_as_a_knowledge_base_can_have(house: House, key: Key) -> None:
    path = f"/datasets/{(await make(key))['id']}"
    await add_text(key, path.rpartition("/")[2])
    await index_all(house)
    found = await key("POST", f"{path}/retrieve", {"query": "wheel", "retrieval_model": {**SETTINGS, "top_k": 10_000}})
    assert len(found.json()["records"]) == 1, found.text


async def stored_files(house: House) -> list[str]:
    """The names of all uploaded files, each of which is in the storage."""
    async with house.platform.db.read() as conn:
        rows = (await conn.execute(sa.select(upload_files.c.name, upload_files.c.key))).all()
    held = {item.key async for item in house.platform.storage.scan("upload_files/")}
    assert {row.key for row in rows} == held
    return sorted(row.name for row in rows)


async def test_a_document_that_is_refused_leaves_no_file(house: House, key: Key) -> None:
    path = f"/datasets/{(await key('POST', '/datasets', {'name': 'Empty'})).json()['id']}"
    economy, short = {"indexing_technique": "economy"}, {"mode": "custom", "rules": {"segmentation": {"max_tokens": 1}}}
    text = {"name": "a.txt", "text": "words"}
    for more in ({}, economy, {**economy, "process_rule": AUTOMATIC, "doc_form": "hierarchical_model"}):
        refused = await key("POST", f"{path}/document/create-by-text", {**text, **more})
        assert refused.status_code == 400, refused.text
    good = {**economy, "process_rule": AUTOMATIC}
    for name, data, status in (
        ("a.txt", {}, 400),
        ("a.txt", economy, 400),
        ("a.txt", {**economy, "process_rule": short}, 400),
        ("a.exe", good, 415),
    ):
        form = {"files": {"file": (name, b"words")}, "data": {"data": json.dumps(data)}}
        refused = await key("POST", f"{path}/document/create-by-file", **form)
        assert refused.status_code == status, refused.text
    assert await stored_files(house) == []

    form = {"files": {"file": ("kept.txt", b"words")}, "data": {"data": json.dumps(good)}}
    document = (await key("POST", f"{path}/document/create-by-file", **form)).json()["document"]
    at = f"{path}/documents/{document['id']}"
    busy = await key("POST", f"{at}/update-by-text", text)
    assert (busy.status_code, busy.json()["code"]) == (400, "document_indexing")
    busy = await key("POST", f"{at}/update-by-file", files={"file": ("b.txt", b"words")})
    assert (busy.status_code, busy.json()["code"]) == (400, "document_indexing")
    assert await stored_files(house) == ["kept.txt"]


async def test_an_embedding_model_that_cannot_be_called_is_refused(house: House, key: Key, workshop: Workshop) -> None:
    technique = {"indexing_technique": "high_quality"}
    unknown = {**technique, "embedding_model": "e", "embedding_model_provider": "nobody"}
    refused = await key("POST", "/datasets", {"name": "Parts", **unknown})
    assert (refused.status_code, refused.json()["code"]) == (400, "plugin_not_found")
    path = f"/datasets/{(await key('POST', '/datasets', {'name': 'Empty'})).json()['id']}"
    text = {"name": "a.txt", "text": "words", "process_rule": AUTOMATIC}
    refused = await key("POST", f"{path}/document/create-by-text", {**text, **unknown})
    assert (refused.status_code, refused.json()["code"]) == (400, "plugin_not_found")
    refused = await key("PATCH", path, unknown)
    assert (refused.status_code, refused.json()["code"]) == (400, "plugin_not_found")
    assert (await key("GET", path)).json()["indexing_technique"] is None
    assert await stored_files(house) == []

    poor = await (await workshop.open("Poor", models=False)).dataset_key()
    refused = await poor("POST", "/datasets", {"name": "Parts", **technique, **EMBEDDING})
    assert (refused.status_code, refused.json()["code"]) == (400, "provider_not_initialize")


async def test_a_model_that_is_gone_hinders_no_other_change(house: House, key: Key) -> None:
    dataset = await make(key)
    assert dataset["embedding_available"] is True
    await house.workspace.providers.remove("openai")
    assert (await key("GET", f"/datasets/{dataset['id']}")).json()["embedding_available"] is False
    kept = {"indexing_technique": "high_quality", **EMBEDDING}
    changed = await key("PATCH", f"/datasets/{dataset['id']}", {"name": "Renamed", **kept})
    assert (changed.status_code, changed.json()["name"]) == (200, "Renamed"), changed.text


async def test_a_child_that_cannot_be_embedded_is_not_kept_and_takes_nothing_away(house: House, key: Key) -> None:
    path = f"/datasets/{(await make(key))['id']}"
    made = await add_text(key, path.rpartition("/")[2], doc_form="hierarchical_model", process_rule=PARENTS)
    await index_all(house)
    parents = f"{path}/documents/{made.json()['document']['id']}/segments"
    segment = (await key("GET", parents)).json()["data"][0]
    children, child = f"{parents}/{segment['id']}/child_chunks", segment["child_chunks"][0]
    for method, to in (("POST", children), ("PATCH", f"{children}/{child['id']}")):
        refused = await key(method, to, {"content": "\N{ROBOT FACE}"})  # the scripted model embeds words
        assert (refused.status_code, refused.json()["code"]) == (400, "child_chunk_indexing_error"), refused.text
        after = (await key("GET", f"{parents}/{segment['id']}")).json()["data"]
        assert (after["status"], after["error"], after["stopped_at"]) == ("completed", None, None)
        assert [item["content"] for item in after["child_chunks"]] == [child["content"]]
        found = await key("POST", f"{path}/retrieve", {"query": child["content"]})
        assert found.json()["records"][0]["child_chunks"][0]["id"] == child["id"], found.text


async def test_pages_are_numbers_and_keywords_are_taken_as_they_are(house: House, key: Key) -> None:
    dataset = await make(key, "100% _parts_")
    other = await make(key, "1000 parts")
    path = f"/datasets/{dataset['id']}"
    document = (await add_text(key, dataset["id"], name="50%_off.txt")).json()["document"]["id"]
    await index_all(house)
    lists = ("/datasets", f"{path}/documents", f"{path}/documents/{document}/segments")
    for at in lists:
        for query in ("page=0", "page=x", "page=", "limit=0", "limit=x", f"page={10**30}"):
            refused = await key("GET", f"{at}?{query}")
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param"), (at, query)
        capped = (await key("GET", f"{at}?limit={10**30}")).json()
        assert (capped["limit"], len(capped["data"])) == (100, 2 if at == "/datasets" else 1)
    for at, keyword, found in (
        ("/datasets", "0%25", [dataset["id"]]),
        ("/datasets", "_parts", [dataset["id"]]),
        ("/datasets", "PARTS", [other["id"], dataset["id"]]),
        (lists[1], "%25_OFF", [document]),
        (lists[1], "5_%25", []),
        (lists[2], "%25", []),
        (lists[2], "_", []),
    ):
        listed = (await key("GET", f"{at}?keyword={keyword}")).json()["data"]
        assert [item["id"] for item in listed] == found, (at, keyword)
