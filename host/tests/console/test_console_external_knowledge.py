"""External knowledge in the console and the Service API: an API is registered, and what is over it is asked."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ..knowledge.external_api import KEY, ExternalServer, external_server
from ..service.service_house import House
from .console_house import Browser

API = "/datasets/external-knowledge-api"


@pytest.fixture
def elsewhere() -> Iterator[ExternalServer]:
    with external_server() as server:
        yield server


async def register(owner: Browser, server: ExternalServer) -> dict[str, Any]:
    body = {"name": "Drinks", "settings": {"endpoint": server.url, "api_key": KEY}}
    made: dict[str, Any] = await owner.ok("POST", API, body, status=201)
    return made


async def over(owner: Browser, api_id: str, **more: Any) -> str:
    body = {"external_knowledge_api_id": api_id, "external_knowledge_id": "drinks", "name": "Tea", **more}
    return str((await owner.ok("POST", "/datasets/external", body, status=201))["id"])


async def test_an_api_is_registered_shown_changed_and_deleted(owner: Browser, elsewhere: ExternalServer) -> None:
    made = await register(owner, elsewhere)
    assert set(made) == {
        *("id", "tenant_id", "name", "description", "settings", "dataset_bindings", "created_by", "created_at"),
    }
    assert made["settings"] == {"endpoint": elsewhere.url, "api_key": f"********{KEY[-4:]}"}
    assert (await owner.ok("GET", f"{API}/{made['id']}")) == made
    listed = await owner.ok("GET", f"{API}?keyword=DRINK")
    assert (listed["total"], listed["data"]) == (1, [made])
    for key in ("[__HIDDEN__]", made["settings"]["api_key"]):  # a key that is sent back as it was shown stays
        settings = {"endpoint": elsewhere.url, "api_key": key}
        changed = await owner.ok("PATCH", f"{API}/{made['id']}", {"name": "Teas", "settings": settings})
        assert (changed["name"], changed["settings"]) == ("Teas", made["settings"])
    # ... and goes to no other address.
    moved = {"endpoint": f"{elsewhere.url}/other", "api_key": "[__HIDDEN__]"}
    refused = await owner("PATCH", f"{API}/{made['id']}", {"name": "Teas", "settings": moved})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    dataset = await over(owner, made["id"])
    assert await owner.ok("GET", f"{API}/{made['id']}/use-check") == {"is_using": True, "count": 1}
    assert (await owner.ok("GET", f"{API}/{made['id']}"))["dataset_bindings"] == [{"id": dataset, "name": "Tea"}]
    used = await owner("DELETE", f"{API}/{made['id']}")
    assert (used.status_code, used.json()["code"]) == (409, "external_api_in_use")
    await owner.ok("DELETE", f"/datasets/{dataset}", status=204)
    await owner.ok("DELETE", f"{API}/{made['id']}", status=204)
    assert (await owner("GET", f"{API}/{made['id']}")).status_code == 404


async def test_an_api_that_does_not_answer_is_not_kept(owner: Browser, elsewhere: ExternalServer) -> None:
    for settings in ({"endpoint": elsewhere.url, "api_key": "wrong-key-123"},
                     {"endpoint": f"{elsewhere.url}/nowhere", "api_key": KEY}):  # fmt: skip
        refused = await owner("POST", API, {"name": "Drinks", "settings": settings})
        assert (refused.status_code, refused.json()["code"]) == (502, "external_knowledge_failed")
        assert "wrong-key-123" not in refused.text
    for body in ({"name": "", "settings": {"endpoint": elsewhere.url, "api_key": KEY}},
                 {"name": "x", "settings": {"endpoint": "file:///etc/passwd", "api_key": KEY}},
                 {"name": "x", "settings": {"endpoint": elsewhere.url, "api_key": ""}}, {"name": "x"}):  # fmt: skip
        refused = await owner("POST", API, body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    assert (await owner.ok("GET", API))["total"] == 0


async def test_a_knowledge_base_elsewhere_is_asked(owner: Browser, house: House, elsewhere: ExternalServer) -> None:
    api = await register(owner, elsewhere)
    dataset = await over(owner, api["id"], external_retrieval_model={"top_k": 3, "score_threshold_enabled": False})
    shown = await owner.ok("GET", f"/datasets/{dataset}")
    assert (shown["provider"], shown["indexing_technique"]) == ("external", None)
    assert shown["external_knowledge_info"] == {
        "external_knowledge_id": "drinks",
        "external_knowledge_api_id": api["id"],
        "external_knowledge_api_name": "Drinks",
        "external_knowledge_api_endpoint": elsewhere.url,
    }
    assert shown["external_retrieval_model"]["top_k"] == 3
    conditions = {"conditions": [{"name": "page", "comparison_operator": "=", "value": 2}]}
    found = await owner.ok(
        "POST",
        f"/datasets/{dataset}/external-hit-testing",
        {"query": "tea", "metadata_filtering_conditions": conditions},
    )
    assert found["query"] == {"content": "tea"}
    assert [set(item) for item in found["records"]] == [{"content", "title", "score", "metadata"}] * 2
    asked = elsewhere.asked[-1]
    assert asked["retrieval_setting"] == {"top_k": 3, "score_threshold": 0.0}
    assert asked["metadata_condition"]["conditions"][0]["name"] == "page"
    assert (await owner.ok("GET", f"/datasets/{dataset}/queries"))["total"] == 1
    assert (await owner("POST", f"/datasets/{dataset}/hit-testing", {"query": "tea"})).status_code == 400

    wish = {"top_k": 1, "score_threshold": 0.5, "score_threshold_enabled": True}
    changed = await owner.ok("PATCH", f"/datasets/{dataset}", {"external_retrieval_model": wish})
    assert changed["external_retrieval_model"] == wish
    await owner.ok("PATCH", f"/datasets/{dataset}", {"external_knowledge_id": "food"})
    lost = await owner("POST", f"/datasets/{dataset}/external-hit-testing", {"query": "tea"})
    assert (lost.status_code, lost.json()["code"]) == (502, "external_knowledge_failed")
    assert "The knowledge does not exist" in lost.json()["message"]
    for technique in ("economy", "high_quality"):
        kept = await owner.ok("PATCH", f"/datasets/{dataset}", {"name": "Cellar", "indexing_technique": technique})
        assert (kept["indexing_technique"], kept["index_rebuild"]) == (None, None)
    unknown = await owner("PATCH", f"/datasets/{dataset}", {"external_knowledge_api_id": str(uuid.uuid4())})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_the_service_api_makes_and_asks_it_too(owner: Browser, house: House, elsewhere: ExternalServer) -> None:
    api = await register(owner, elsewhere)
    key = await house.dataset_key()
    body = {"name": "Tea", "provider": "external", "external_knowledge_id": "drinks"}
    incomplete = await key("POST", "/datasets", body)
    assert incomplete.status_code == 400, incomplete.text
    made = await key("POST", "/datasets", {**body, "external_knowledge_api_id": api["id"]})
    assert made.status_code == 200, made.text
    path = f"/datasets/{made.json()['id']}"
    found = (await key("POST", f"{path}/retrieve", {"query": "tea"})).json()
    assert {item["title"] for item in found["records"]} == {"cups.txt", "hills.txt"}
    text = {"name": "a.txt", "text": "x", "indexing_technique": "economy", "process_rule": {"mode": "automatic"}}
    refused = await key("POST", f"{path}/document/create-by-text", text)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    gone = await key("DELETE", path)
    assert (gone.status_code, gone.json()) == (200, 204)
