"""Every route of the console: who may call it, and that nobody else may; another workspace's ids lead nowhere."""

from __future__ import annotations

import uuid
from typing import Any, Final

from dify_host.http.callers import PUBLIC
from dify_host.identity.workspaces import ROLES
from dify_host.platform import Platform
from litestar import Litestar
from litestar.routes import HTTPRoute

from ..pipelines.pipeline_table import PIPELINES
from ..service.service_house import House
from ..service.test_service_tenants import snapshot
from .console_house import Browser, Browsers, greeting
from .knowledge_table import KNOWLEDGE

APP, DRAFT = "/apps/{app_id}", "/apps/{app_id}/workflows/draft"
CHAT = "/apps/{app_id}/advanced-chat"
MEMBER: Final = set(ROLES)
EDITOR: Final = {"owner", "admin", "editor"}
ADMIN: Final = {"owner", "admin"}

TABLE: Final[list[tuple[str, str, set[str]]]] = [
    ("GET", "/features", MEMBER),
    ("GET", "/account/profile", MEMBER),
    ("GET", "/workspaces", MEMBER),
    ("POST", "/workspaces/current", MEMBER),
    ("GET", "/workspaces/current/members", MEMBER),
    ("GET", "/workspaces/current/dataset-operators", MEMBER),
    ("POST", "/workspaces/switch", MEMBER),
    ("GET", "/apps", MEMBER),
    ("POST", "/apps", EDITOR),
    ("GET", APP, MEMBER),
    ("PUT", APP, EDITOR),
    ("DELETE", APP, EDITOR),
    ("POST", f"{APP}/copy", EDITOR),
    ("GET", f"{APP}/export", EDITOR),
    ("POST", f"{APP}/name", EDITOR),
    ("POST", f"{APP}/icon", EDITOR),
    ("POST", f"{APP}/site-enable", EDITOR),
    ("POST", f"{APP}/api-enable", ADMIN),
    ("GET", f"{APP}/trace", MEMBER),
    ("POST", f"{APP}/trace", EDITOR),
    ("POST", "/apps/imports", EDITOR),
    ("POST", "/apps/imports/{import_id}/confirm", EDITOR),
    ("GET", "/apps/imports/{app_id}/check-dependencies", EDITOR),
    ("GET", f"{APP}/api-keys", MEMBER),
    ("POST", f"{APP}/api-keys", EDITOR),
    ("DELETE", f"{APP}/api-keys/{{api_key_id}}", ADMIN),
    *(
        (method, f"{APP}/{path}", EDITOR)
        for method, path in (
            *((method, "annotations") for method in ("GET", "POST", "DELETE")),
            *((method, "annotations/{annotation_id}") for method in ("POST", "DELETE")),
            ("GET", "annotations/export"),
            ("GET", "annotations/{annotation_id}/hit-histories"),
            ("POST", "annotations/batch-import"),
            ("GET", "annotations/batch-import-status/{job_id}"),
            ("GET", "annotation-setting"),
            ("POST", "annotation-settings/{annotation_setting_id}"),
            ("POST", "annotation-reply/{action}"),
            ("GET", "annotation-reply/{action}/status/{job_id}"),
        )
    ),
    ("GET", f"{APP}/annotations/count", MEMBER),
    ("GET", DRAFT, EDITOR),
    ("POST", DRAFT, EDITOR),
    ("POST", f"{DRAFT}/run", EDITOR),
    ("POST", f"{CHAT}/workflows/draft/run", EDITOR),
    *(("POST", f"{DRAFT}/{kind}/nodes/{{node_id}}/run", EDITOR) for kind in ("iteration", "loop")),
    *(("POST", f"{CHAT}/workflows/draft/{kind}/nodes/{{node_id}}/run", EDITOR) for kind in ("iteration", "loop")),
    ("POST", f"{APP}/workflow-runs/tasks/{{task_id}}/stop", EDITOR),
    ("POST", f"{DRAFT}/nodes/{{node_id}}/run", EDITOR),
    ("POST", f"{DRAFT}/nodes/{{node_id}}/trigger/run", EDITOR),
    ("POST", f"{DRAFT}/trigger/run", EDITOR),
    ("POST", f"{DRAFT}/trigger/run-all", EDITOR),
    ("GET", f"{DRAFT}/nodes/{{node_id}}/last-run", MEMBER),
    ("GET", f"{APP}/workflows/publish", EDITOR),
    ("POST", f"{APP}/workflows/publish", EDITOR),
    ("GET", f"{APP}/workflows/default-workflow-block-configs", EDITOR),
    ("GET", f"{APP}/workflows/default-workflow-block-configs/{{block_type}}", EDITOR),
    ("POST", f"{APP}/convert-to-workflow", EDITOR),
    ("GET", f"{APP}/workflows", EDITOR),
    ("PATCH", f"{APP}/workflows/{{workflow_id}}", EDITOR),
    ("DELETE", f"{APP}/workflows/{{workflow_id}}", EDITOR),
    ("POST", f"{APP}/workflows/{{workflow_id}}/restore", EDITOR),
    ("GET", f"{DRAFT}/variables", EDITOR),
    ("DELETE", f"{DRAFT}/variables", EDITOR),
    ("GET", f"{DRAFT}/nodes/{{node_id}}/variables", EDITOR),
    ("DELETE", f"{DRAFT}/nodes/{{node_id}}/variables", EDITOR),
    ("GET", f"{DRAFT}/variables/{{variable_id}}", EDITOR),
    ("PATCH", f"{DRAFT}/variables/{{variable_id}}", EDITOR),
    ("DELETE", f"{DRAFT}/variables/{{variable_id}}", EDITOR),
    ("PUT", f"{DRAFT}/variables/{{variable_id}}/reset", EDITOR),
    ("GET", f"{DRAFT}/conversation-variables", EDITOR),
    ("GET", f"{DRAFT}/system-variables", EDITOR),
    ("GET", f"{DRAFT}/environment-variables", EDITOR),
    ("GET", f"{CHAT}/workflow-runs", MEMBER),
    ("GET", f"{CHAT}/workflow-runs/count", MEMBER),
    ("GET", f"{APP}/workflow-runs", MEMBER),
    ("GET", f"{APP}/workflow-runs/count", MEMBER),
    ("GET", f"{APP}/workflow-runs/{{run_id}}", MEMBER),
    ("GET", f"{APP}/workflow-runs/{{run_id}}/node-executions", MEMBER),
    ("GET", f"{APP}/workflow-runs/{{run_id}}/trace", MEMBER),
    ("POST", f"{APP}/workflow-runs/{{run_id}}/retry", EDITOR),
    ("GET", f"{APP}/workflow-runs/{{run_id}}/forms", MEMBER),
    ("POST", f"{APP}/workflow-runs/{{run_id}}/forms/{{form_id}}", EDITOR),
    ("GET", f"{APP}/triggers", MEMBER),
    ("POST", f"{APP}/trigger-enable", EDITOR),
    ("GET", f"{APP}/workflows/triggers/webhook", MEMBER),
]
#: Bodies with which every route gets as far as it can.
BODIES: Final[dict[str, Any]] = {
    "/workspaces/switch": {"tenant_id": str(uuid.uuid4())},
    "/apps": {"name": "App", "mode": "workflow"},
    APP: {"name": "Other"},
    f"{APP}/name": {"name": "Other"},
    f"{APP}/icon": {"icon": "x"},
    f"{APP}/site-enable": {"enable_site": False},
    f"{APP}/api-enable": {"enable_api": False},
    f"{APP}/trace": {"enabled": False},
    f"{APP}/annotation-settings/{{annotation_setting_id}}": {"score_threshold": 0.5},
    f"{APP}/annotation-reply/{{action}}": {
        "score_threshold": 0.5,
        "embedding_provider_name": "openai",
        "embedding_model_name": "scripted-embedding",
    },
    f"{APP}/workflow-runs/{{run_id}}/forms/{{form_id}}": {"action": "yes"},
    "/apps/imports": {"mode": "yaml-content", "yaml_content": "kind: app"},
    DRAFT: {"graph": {}, "features": {}},
    f"{DRAFT}/trigger/run": {"node_id": "hook"},
    f"{DRAFT}/trigger/run-all": {"node_ids": ["hook"]},
    f"{APP}/trigger-enable": {"trigger_id": str(uuid.uuid4()), "enable_trigger": False},
}


def filled(path: str, **ids: str) -> str:
    """A path with these ids, and ids of nothing in the place of the other parameters."""
    parts = path.split("/")
    return "/".join(ids.get(part.strip("{}"), str(uuid.uuid4())) if part.startswith("{") else part for part in parts)


def test_the_table_names_every_route_that_is_not_public(app: Litestar) -> None:
    found = set()
    for route in app.routes:
        path = route.path_format
        if isinstance(route, HTTPRoute) and path.startswith("/console/api") and path not in PUBLIC:
            methods = route.methods - {"OPTIONS", "HEAD"}
            found |= {(str(method), path.removeprefix("/console/api")) for method in methods}
    assert found == {(method, path) for method, path, _ in (*TABLE, *KNOWLEDGE, *PIPELINES)}


async def test_no_route_answers_without_a_session(browsers: Browsers, house: House) -> None:
    await browsers.member(house, "owner")
    nobody = browsers.open()
    for method, path, _ in TABLE:
        answer = await nobody(method, filled(path), BODIES.get(path, {}))
        assert answer.status_code == 401, (method, path, answer.text)


async def test_an_api_key_opens_nothing_here(browsers: Browsers, house: House) -> None:
    app = await house.app("workflow", greeting())
    nobody = browsers.open()
    for method, path, _ in TABLE:
        headers = {"Authorization": f"Bearer {app.token}"}
        answer = await nobody(method, filled(path, app_id=app.app_id), BODIES.get(path, {}), headers=headers)
        assert answer.status_code == 401, (method, path)


async def test_a_session_opens_nothing_of_the_service_api(owner: Browser) -> None:
    answer = await owner.web.get("/v1/info", headers={"Authorization": f"Bearer {owner.web.cookies['access_token']}"})
    assert answer.status_code == 401


async def test_each_role_may_what_the_table_says(browsers: Browsers, house: House) -> None:
    app_id = (await house.app("advanced-chat", greeting(), publish=False)).app_id
    for role in ROLES:
        browser = await browsers.member(house, role)
        for method, path, allowed in TABLE:
            # Ids of nothing: whoever may ask learns that there is nothing, and nothing changes.
            answer = await browser(method, filled(path), BODIES.get(path, {}))
            if role in allowed:
                assert answer.status_code not in (401, 403), (role, method, path, answer.text)
                assert answer.status_code < 500, (role, method, path, answer.text)
            else:
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (role, method, path)
                inside = await browser(method, filled(path, app_id=app_id), BODIES.get(path, {}))
                assert inside.status_code == 403, (role, method, path)


async def test_ids_of_another_workspace_lead_nowhere(
    owner: Browser, stranger: Browser, house: House, platform: Platform
) -> None:
    app_id = await owner.draft(greeting())
    run = await owner.stream(f"/apps/{app_id}/workflows/draft/run", {"inputs": {"name": "Ada"}})
    (published,) = [await owner.ok("POST", f"/apps/{app_id}/workflows/publish", {})]
    assert published["result"] == "success"
    key = await owner.ok("POST", f"/apps/{app_id}/api-keys", status=201)
    variables = (await owner.ok("GET", f"/apps/{app_id}/workflows/draft/variables"))["items"]
    version = (await owner.ok("GET", f"/apps/{app_id}/workflows"))["items"][0]["id"]
    ids = {
        "run_id": run[0]["workflow_run_id"],
        "task_id": run[0]["task_id"],
        "node_id": "greet",
        "api_key_id": key["id"],
        "variable_id": variables[0]["id"],
        "workflow_id": version,
        "block_type": "start",
    }
    own = await stranger.draft(greeting())
    before = await snapshot(platform)
    for method, path, _ in TABLE:
        if "{app_id}" not in path:
            continue
        answer = await stranger(method, filled(path, app_id=app_id, **ids), BODIES.get(path, {}))
        assert (answer.status_code, answer.json()["code"]) == (404, "app_not_found"), (method, path, answer.text)
        for name in ("run_id", "api_key_id", "variable_id", "workflow_id"):
            if f"{{{name}}}" in path:  # an own app, an id of somebody else
                body = {"marked_name": "stolen", "name": "stolen", "action": "yes"}
                inside = await stranger(method, filled(path, app_id=own, **ids), body)
                assert inside.status_code == 404, (method, path, inside.text)
    assert await snapshot(platform) == before
    assert (await owner.ok("GET", f"/apps/{app_id}"))["name"] == "App"
