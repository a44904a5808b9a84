"""Tags of knowledge bases over the API."""

from __future__ import annotations

import uuid

import pytest

from .knowledge_calls import make
from .service_house import House, Key


@pytest.fixture
async def key(house: House) -> Key:
    return await house.dataset_key()


async def test_tags_are_made_listed_renamed_and_deleted(key: Key) -> None:
    made = await key("POST", "/datasets/tags", {"name": "robots"})
    assert made.status_code == 200, made.text
    tag = made.json()
    assert tag == {"id": tag["id"], "name": "robots", "type": "knowledge", "binding_count": "0"}
    other = (await key("POST", "/datasets/tags", {"name": "boats"})).json()
    assert [item["name"] for item in (await key("GET", "/datasets/tags")).json()] == ["boats", "robots"]
    renamed = await key("PATCH", "/datasets/tags", {"tag_id": tag["id"], "name": "arms"})
    assert renamed.json() == {**tag, "name": "arms"}
    for body in ({"name": "boats"}, {"name": ""}, {"name": "x" * 51}, {}):
        refused = await key("POST", "/datasets/tags", body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    taken = await key("PATCH", "/datasets/tags", {"tag_id": tag["id"], "name": "boats"})
    assert (taken.status_code, taken.json()["code"]) == (400, "invalid_param")
    gone = await key("DELETE", "/datasets/tags", {"tag_id": other["id"]})
    assert (gone.status_code, gone.json()) == (200, 204)
    for method, body in (("DELETE", {"tag_id": other["id"]}), ("PATCH", {"tag_id": str(uuid.uuid4()), "name": "x"})):
        missing = await key(method, "/datasets/tags", body)
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_tags_are_bound_and_found_by(house: House, key: Key) -> None:
    one, two = (await make(key, "One"))["id"], (await make(key, "Two"))["id"]
    robots = (await key("POST", "/datasets/tags", {"name": "robots"})).json()["id"]
    boats = (await key("POST", "/datasets/tags", {"name": "boats"})).json()["id"]
    of_apps = (await house.workspace.tags.create("robots", "app", house.owner_id)).id
    wanted = [robots, boats, of_apps, str(uuid.uuid4())]
    for _ in range(2):  # a repetition changes nothing
        bound = await key("POST", "/datasets/tags/binding", {"tag_ids": wanted, "target_id": one})
        assert (bound.status_code, bound.json()) == (200, 204)
    on_one = (await key("GET", f"/datasets/{one}/tags")).json()
    assert on_one == {"data": [{"id": boats, "name": "boats"}, {"id": robots, "name": "robots"}], "total": 2}
    counts = {item["name"]: item["binding_count"] for item in (await key("GET", "/datasets/tags")).json()}
    assert counts == {"robots": "1", "boats": "1"}
    found = (await key("GET", f"/datasets?tag_ids={robots}")).json()
    assert [item["id"] for item in found["data"]] == [one]
    assert [tag["name"] for tag in found["data"][0]["tags"]] == ["boats", "robots"]

    off = await key("POST", "/datasets/tags/unbinding", {"tag_id": robots, "target_id": one})
    assert (off.status_code, off.json()) == (200, 204)
    assert (await key("POST", "/datasets/tags/unbinding", {"tag_ids": [boats], "target_id": one})).json() == 204
    assert (await key("GET", f"/datasets/{one}/tags")).json() == {"data": [], "total": 0}
    assert (await key("GET", f"/datasets/{two}/tags")).json()["total"] == 0
    for path, body in (
        ("binding", {"tag_ids": [robots], "target_id": str(uuid.uuid4())}),
        ("unbinding", {"tag_id": robots, "target_id": str(uuid.uuid4())}),
    ):
        missing = await key("POST", f"/datasets/tags/{path}", body)
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    for path, body in (("binding", {"tag_ids": [], "target_id": one}), ("unbinding", {"target_id": one})):
        refused = await key("POST", f"/datasets/tags/{path}", body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")


async def test_a_deleted_tag_is_on_nothing(key: Key) -> None:
    dataset = (await make(key))["id"]
    tag = (await key("POST", "/datasets/tags", {"name": "robots"})).json()["id"]
    await key("POST", "/datasets/tags/binding", {"tag_ids": [tag], "target_id": dataset})
    await key("DELETE", "/datasets/tags", {"tag_id": tag})
    assert (await key("GET", f"/datasets/{dataset}/tags")).json()["total"] == 0
