"""Changing documents over the API: with another content, or without one."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.knowledge.tables import documents

from .knowledge_calls import PARENTS, add_text, index_all, make
from .service_house import House, Key


@pytest.fixture
async def key(house: House) -> Key:
    return await house.dataset_key()


@pytest.fixture
async def path(house: House, key: Key) -> str:
    """An indexed document."""
    dataset = await make(key)
    made = await add_text(key, dataset["id"])
    await index_all(house)
    return f"/datasets/{dataset['id']}/documents/{made.json()['document']['id']}"


async def segments(key: Key, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await key("GET", f"{path}/segments")).json()["data"]
    return found


@pytest.mark.parametrize("route", ["update-by-text", "update-by-file"])
async def test_without_a_content_its_name_and_how_it_is_cut_change(
    house: House, key: Key, path: str, route: str
) -> None:
    before = (await key("GET", path)).json()
    change = {"name": "renamed.txt", "process_rule": PARENTS, "doc_form": "hierarchical_model"}
    sent = {"json": change} if route == "update-by-text" else {"data": {"data": json.dumps(change)}}
    answer = await key("POST", f"{path}/{route}", **sent)
    assert answer.status_code == 200, answer.text
    document = answer.json()["document"]
    assert (document["id"], document["name"], document["indexing_status"]) == (before["id"], "renamed.txt", "waiting")
    await index_all(house)
    after = (await key("GET", path)).json()
    assert (after["indexing_status"], after["doc_form"]) == ("completed", "hierarchical_model")
    assert after["data_source_info"] == before["data_source_info"]
    assert after["document_process_rule"]["mode"] == "hierarchical"
    children = [child["content"] for item in await segments(key, path) for child in item["child_chunks"]]
    assert children == ["The gripper pad costs eighteen euros", "The wheel motor weighs two kilograms"]


async def test_nothing_said_indexes_it_again_with_the_same_segments(house: House, key: Key, path: str) -> None:
    before = await segments(key, path)
    answer = await key("POST", f"{path}/update-by-text", {})
    assert (answer.status_code, answer.json()["document"]["name"]) == (200, "notes.txt")
    await index_all(house)
    assert [item["id"] for item in await segments(key, path)] == [item["id"] for item in before]


async def test_a_form_that_its_rule_does_not_suit_is_refused(key: Key, path: str) -> None:
    refused = await key("POST", f"{path}/update-by-text", {"doc_form": "hierarchical_model"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    assert (await key("GET", path)).json()["indexing_status"] == "completed"


async def test_a_new_file_may_have_another_name(house: House, key: Key, path: str) -> None:
    form = {"files": {"file": ("b.txt", b"Other words.")}, "data": {"data": json.dumps({"name": "named.txt"})}}
    answer = await key("POST", f"{path}/update-by-file", **form)
    assert (answer.status_code, answer.json()["document"]["name"]) == (200, "named.txt")
    await index_all(house)
    assert [item["content"] for item in await segments(key, path)] == ["Other words."]
    unnamed = await key("POST", f"{path}/update-by-file", files={"file": ("c.txt", b"More words.")})
    assert unnamed.json()["document"]["name"] == "c.txt"


async def test_a_page_that_is_replaced_by_a_text_is_read_from_the_text(house: House, key: Key, path: str) -> None:
    async with house.platform.db.write() as conn:
        page = {"data_source_type": "notion_import", "data_source_info": {"notion_page_id": "p"}, "file_id": None}
        await conn.execute(sa.update(documents).values(**page))
    answer = await key("POST", f"{path}/update-by-text", {"name": "n.txt", "text": "Words instead."})
    assert answer.json()["document"]["data_source_type"] == "upload_file", answer.text
    await index_all(house)
    assert (await key("GET", path)).json()["indexing_status"] == "completed"
    assert [item["content"] for item in await segments(key, path)] == ["Words instead."]
