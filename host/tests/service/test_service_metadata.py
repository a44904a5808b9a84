"""Metadata of knowledge bases over the API: fields, values on documents, and searches that ask for them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from .knowledge_calls import add_text, index_all, make
from .service_house import House, Key


@pytest.fixture
async def key(house: House) -> Key:
    return await house.dataset_key()


async def add_field(key: Key, dataset_id: str, name: str, type: str = "string") -> str:
    made = await key("POST", f"/datasets/{dataset_id}/metadata", {"type": type, "name": name})
    assert made.status_code == 201, made.text
    assert set(made.json()) == {"id", "type", "name"}
    return str(made.json()["id"])


async def values_of(key: Key, dataset_id: str, document_id: str) -> dict[str, Any]:
    body = (await key("GET", f"/datasets/{dataset_id}/documents/{document_id}?metadata=only")).json()
    return {item["name"]: item["value"] for item in body["doc_metadata"] or []}


async def set_values(key: Key, dataset_id: str, document_id: str, values: dict[str, Any], **more: Any) -> Any:
    listed = [{"id": field_id, "name": "x", "value": value} for field_id, value in values.items()]
    item = {"document_id": document_id, "metadata_list": listed, **more}
    return await key("POST", f"/datasets/{dataset_id}/documents/metadata", {"operation_data": [item]})


async def test_fields_are_made_listed_renamed_and_deleted(house: House, key: Key) -> None:
    dataset = (await make(key))["id"]
    path = f"/datasets/{dataset}/metadata"
    color, price = await add_field(key, dataset, "color"), await add_field(key, dataset, "price", "number")
    document = (await add_text(key, dataset)).json()["document"]["id"]
    assert (await set_values(key, dataset, document, {color: "blue", price: 18})).json() == {"result": "success"}
    listed = (await key("GET", path)).json()
    assert listed == {
        "doc_metadata": [
            {"id": color, "type": "string", "name": "color", "count": 1},
            {"id": price, "type": "number", "name": "price", "count": 1},
        ],
        "built_in_field_enabled": False,
    }
    for name, message in (("color", "already exists."), ("uploader", "in Built-in fields.")):
        refused = await key("POST", path, {"type": "string", "name": name})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
        assert message in refused.json()["message"]
        renamed = await key("PATCH", f"{path}/{price}", {"name": name})
        assert renamed.status_code == 400
    for bad in ({"type": "color", "name": "a"}, {"type": "string", "name": ""}, {"type": "string", "name": "x" * 256}):
        assert (await key("POST", path, bad)).status_code == 400

    renamed = await key("PATCH", f"{path}/{color}", {"name": "colour"})
    assert renamed.json() == {"id": color, "type": "string", "name": "colour"}
    assert await values_of(key, dataset, document) == {"colour": "blue", "price": 18}
    gone = await key("DELETE", f"{path}/{color}")
    assert (gone.status_code, gone.json()) == (200, 204)
    assert await values_of(key, dataset, document) == {"price": 18}

    nothing = f"{path}/{uuid.uuid4()}"
    assert (await key("PATCH", nothing, {"name": "x"})).json() == {"id": None, "type": None, "name": None}
    assert (await key("DELETE", nothing)).json() == 204


async def test_values_replace_or_add(key: Key) -> None:
    dataset = (await make(key))["id"]
    color, price = await add_field(key, dataset, "color"), await add_field(key, dataset, "price", "number")
    document = (await add_text(key, dataset)).json()["document"]["id"]
    await set_values(key, dataset, document, {color: "blue"})
    await set_values(key, dataset, document, {price: 18}, partial_update=True)
    assert await values_of(key, dataset, document) == {"color": "blue", "price": 18}
    await set_values(key, dataset, document, {price: None})
    assert await values_of(key, dataset, document) == {"price": None}
    counts = (await key("GET", f"/datasets/{dataset}/metadata")).json()["doc_metadata"]
    assert {item["name"]: item["count"] for item in counts} == {"color": 0, "price": 1}

    # All of them or none.
    path, change = f"/datasets/{dataset}/documents/metadata", [{"id": color, "name": "color", "value": "red"}]
    both = [{"document_id": item, "metadata_list": change} for item in (document, str(uuid.uuid4()))]
    refused = await key("POST", path, {"operation_data": both})
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert await values_of(key, dataset, document) == {"price": None}
    unknown = await set_values(key, dataset, document, {str(uuid.uuid4()): "x"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_built_in_fields_are_switched_and_asked_for(house: House, key: Key) -> None:
    dataset = (await make(key))["id"]
    path = f"/datasets/{dataset}/metadata/built-in"
    assert (await key("GET", path)).json() == {
        "fields": [
            {"name": "document_name", "type": "string"},
            {"name": "uploader", "type": "string"},
            {"name": "upload_date", "type": "time"},
            {"name": "last_update_date", "type": "time"},
            {"name": "source", "type": "string"},
        ]
    }
    await add_text(key, dataset, name="first.txt")
    await add_text(key, dataset, name="second.txt")
    await index_all(house)
    wanted = {"conditions": [{"name": "document_name", "comparison_operator": "is", "value": "second.txt"}]}
    model = {"search_method": "semantic_search", "reranking_enable": False, "top_k": 9,
             "score_threshold_enabled": False, "metadata_filtering_conditions": wanted}  # fmt: skip

    async def names() -> set[str]:
        body = {"query": "wheel motor", "retrieval_model": model}
        records = (await key("POST", f"/datasets/{dataset}/retrieve", body)).json()["records"]
        return {record["segment"]["document"]["name"] for record in records}

    assert await names() == set()
    assert (await key("POST", f"{path}/enable")).json() == {"result": "success"}
    assert (await key("GET", f"/datasets/{dataset}/metadata")).json()["built_in_field_enabled"] is True
    assert await names() == {"second.txt"}
    await key("POST", f"{path}/disable")
    assert await names() == set()
    unknown = await key("POST", f"{path}/burn")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "invalid_param")
