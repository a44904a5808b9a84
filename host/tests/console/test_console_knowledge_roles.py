"""Every console route of knowledge bases: which roles it serves, and whom the permission of one keeps out."""

from __future__ import annotations

import uuid
from typing import Any

from dify_host.identity.workspaces import ROLES
from dify_host.platform import Platform

from ..service.knowledge_calls import PARENTS, add_text, index_all, make
from ..service.service_house import House
from ..service.test_service_tenants import snapshot
from .console_house import Browser, Browsers
from .knowledge_table import KNOWLEDGE, KNOWLEDGE_BODIES
from .test_console_roles import filled


async def library(house: House, **more: Any) -> dict[str, str]:
    """The ids of a knowledge base of the owner with one document of everything."""
    key = await house.dataset_key()
    dataset = (await make(key, "Library", **more))["id"]
    made = await add_text(key, dataset, doc_form="hierarchical_model", process_rule=PARENTS)
    document, batch = made.json()["document"]["id"], made.json()["batch"]
    await index_all(house)
    segment = (await key("GET", f"/datasets/{dataset}/documents/{document}/segments")).json()["data"][0]
    field = (await key("POST", f"/datasets/{dataset}/metadata", {"type": "string", "name": "color"})).json()["id"]
    return {
        "dataset_id": dataset,
        "document_id": document,
        "batch": batch,
        "segment_id": segment["id"],
        "child_chunk_id": segment["child_chunks"][0]["id"],
        "metadata_id": field,
        "action": "enable",
        "status": "enable",
        "vector_type": "sqlite",
    }


async def test_no_route_of_knowledge_answers_without_a_session(browsers: Browsers, house: House) -> None:
    await browsers.member(house, "owner")
    nobody, key = browsers.open(), await house.dataset_key()
    for method, path, _ in KNOWLEDGE:
        for headers in ({}, key.headers):
            answer = await nobody(method, filled(path), KNOWLEDGE_BODIES.get(path, {}), headers=headers)
            assert answer.status_code == 401, (method, path, answer.text)


async def test_each_role_may_what_the_table_of_knowledge_says(browsers: Browsers, house: House) -> None:
    for role in ROLES:
        browser = await browsers.member(house, role)
        for method, path, allowed in KNOWLEDGE:
            answer = await browser(method, filled(path, vector_type="sqlite"), KNOWLEDGE_BODIES.get(path, {}))
            if role in allowed:
                assert answer.status_code not in (401, 403, 405), (role, method, path, answer.text)
                assert answer.status_code < 502, (role, method, path, answer.text)
                assert answer.status_code != 500, (role, method, path, answer.text)
            else:
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (role, method, path)


async def test_a_permission_keeps_everybody_else_out_of_every_route(
    browsers: Browsers, house: House, platform: Platform
) -> None:
    ids = await library(house)
    before = await snapshot(platform)
    for role in ROLES:
        if role == "owner":
            continue
        browser = await browsers.member(house, role)
        for method, path, _ in KNOWLEDGE:
            if "{dataset_id}" in path:
                answer = await browser(method, filled(path, **ids), KNOWLEDGE_BODIES.get(path, {}))
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (role, method, path)
        rule = await browser("GET", f"/datasets/process-rule?document_id={ids['document_id']}")
        assert rule.status_code == 403
        body = {"tag_ids": [str(uuid.uuid4())], "target_id": ids["dataset_id"], "type": "knowledge"}
        assert (await browser("POST", "/tag-bindings/create", body)).status_code == 403
        assert (await browser.ok("GET", "/datasets?include_all=true"))["data"] == []
    after = await snapshot(platform)
    people = {"accounts", "tenant_account_joins"}
    assert {name: rows for name, rows in after.items() if name not in people} == {
        name: rows for name, rows in before.items() if name not in people
    }


async def test_ids_of_another_workspace_lead_to_no_knowledge(
    stranger: Browser, house: House, platform: Platform
) -> None:
    ids = await library(house)
    own = (await stranger.ok("POST", "/datasets", {"name": "Own"}, status=201))["id"]
    before = await snapshot(platform)
    for method, path, _ in KNOWLEDGE:
        if "{dataset_id}" not in path:
            continue
        answer = await stranger(method, filled(path, **ids), KNOWLEDGE_BODIES.get(path, {}))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path, answer.text)
        if "{document_id}" in path and "sync" not in path:  # an own knowledge base, a document of somebody else
            inside = await stranger(method, filled(path, **{**ids, "dataset_id": own}), KNOWLEDGE_BODIES.get(path, {}))
            assert inside.status_code in (400, 404), (method, path, inside.text)
    assert await snapshot(platform) == before


async def test_permissions_say_who_sees_a_knowledge_base(browsers: Browsers, house: House) -> None:
    owner = await browsers.member(house, "owner")
    people = {role: await browsers.member(house, role) for role in ("admin", "editor", "normal", "dataset_operator")}
    listed = {role: (await browser.ok("GET", "/account/profile"))["id"] for role, browser in people.items()}
    dataset = (await owner.ok("POST", "/datasets", {"name": "Shared"}, status=201))["id"]

    async def seers() -> set[str]:
        found = set()
        for role, browser in people.items():
            status = (await browser("GET", f"/datasets/{dataset}")).status_code
            in_list = [item["id"] for item in (await browser.ok("GET", "/datasets"))["data"]] == [dataset]
            assert (status == 200) is in_list
            found |= {role} if in_list else set()
        return found

    assert await seers() == set()
    await owner.ok("PATCH", f"/datasets/{dataset}", {"permission": "all_team_members"})
    assert await seers() == set(people)
    some = [{"user_id": listed["normal"]}, {"user_id": listed["dataset_operator"]}]
    changed = await owner.ok(
        "PATCH", f"/datasets/{dataset}", {"permission": "partial_members", "partial_member_list": some}
    )
    assert set(changed["partial_member_list"]) == {listed["normal"], listed["dataset_operator"]}
    assert await seers() == {"normal", "dataset_operator"}
    members = (await people["normal"].ok("GET", f"/datasets/{dataset}/permission-part-users"))["data"]
    assert set(members) == {listed["normal"], listed["dataset_operator"]}

    # An operator works on it, and does not say who else may.
    operator = people["dataset_operator"]
    await operator.ok("PATCH", f"/datasets/{dataset}", {"description": "Looked after"})
    for body in ({"permission": "only_me"}, {"partial_member_list": [{"user_id": listed["dataset_operator"]}]}):
        refused = await operator("PATCH", f"/datasets/{dataset}", body)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    stranger = await owner("PATCH", f"/datasets/{dataset}", {"partial_member_list": [{"user_id": str(uuid.uuid4())}]})
    assert (stranger.status_code, stranger.json()["params"]) == (400, "partial_member_list")
    await owner.ok("PATCH", f"/datasets/{dataset}", {"permission": "only_me"})
    assert await seers() == set()
    assert (await owner.ok("GET", f"/datasets/{dataset}/permission-part-users"))["data"] == []
