"""Every route of the API's index is served, and none answers without credentials unless it is public."""

from __future__ import annotations

import uuid

import httpx
import pytest
from dify_host.http.callers import PUBLIC
from litestar import Litestar
from litestar.routes import HTTPRoute

from .service_house import House

SOME_ID = str(uuid.uuid4())
D, DOC = "/datasets/{dataset_id}", "/datasets/{dataset_id}/documents/{document_id}"
SEG = f"{DOC}/segments/{{segment_id}}"

APP_INDEX = [
    ("POST", "/completion-messages"),
    ("POST", "/completion-messages/{task_id}/stop"),
    ("POST", "/chat-messages"),
    ("POST", "/chat-messages/{task_id}/stop"),
    ("POST", "/workflows/run"),
    ("POST", "/workflows/{workflow_id}/run"),
    ("GET", "/workflows/run/{workflow_run_id}"),
    ("POST", "/workflows/tasks/{task_id}/stop"),
    ("GET", "/workflows/logs"),
    ("GET", "/workflow/{task_id}/events"),
    ("GET", "/chat-messages/{task_id}/events"),
    ("GET", "/completion-messages/{task_id}/events"),
    ("GET", "/form/human_input/{form_token}"),
    ("POST", "/form/human_input/{form_token}"),
    ("POST", "/files/upload"),
    ("GET", "/files/{file_id}/preview"),
    ("GET", "/messages"),
    ("POST", "/messages/{message_id}/feedbacks"),
    ("GET", "/messages/{message_id}/suggested"),
    ("GET", "/app/feedbacks"),
    ("GET", "/conversations"),
    ("DELETE", "/conversations/{c_id}"),
    ("POST", "/conversations/{c_id}/name"),
    ("GET", "/conversations/{c_id}/variables"),
    ("PUT", "/conversations/{c_id}/variables/{variable_id}"),
    ("POST", "/audio-to-text"),
    ("POST", "/text-to-audio"),
    ("GET", "/info"),
    ("GET", "/parameters"),
    ("GET", "/meta"),
    ("GET", "/site"),
    ("GET", "/apps/annotations"),
    ("POST", "/apps/annotations"),
    ("PUT", "/apps/annotations/{annotation_id}"),
    ("DELETE", "/apps/annotations/{annotation_id}"),
    ("POST", "/apps/annotation-reply/{action}"),
    ("GET", "/apps/annotation-reply/{action}/status/{job_id}"),
]
DATASET_INDEX = [
    ("GET", "/datasets"),
    ("POST", "/datasets"),
    ("GET", D),
    ("PATCH", D),
    ("DELETE", D),
    *(("POST", f"{D}/document/{name}") for name in ("create-by-text", "create_by_text")),
    *(("POST", f"{D}/document/{name}") for name in ("create-by-file", "create_by_file")),
    *(("POST", f"{DOC}/{name}") for name in ("update-by-text", "update_by_text", "update-by-file", "update_by_file")),
    ("GET", f"{D}/documents"),
    ("GET", DOC),
    ("PATCH", DOC),
    ("DELETE", DOC),
    ("GET", f"{DOC}/download"),
    ("GET", f"{D}/documents/{{batch}}/indexing-status"),
    ("PATCH", f"{D}/documents/status/{{action}}"),
    ("POST", f"{D}/documents/metadata"),
    ("GET", f"{DOC}/segments"),
    ("POST", f"{DOC}/segments"),
    ("GET", SEG),
    ("POST", SEG),
    ("DELETE", SEG),
    ("GET", f"{SEG}/child_chunks"),
    ("POST", f"{SEG}/child_chunks"),
    ("PATCH", f"{SEG}/child_chunks/{{child_chunk_id}}"),
    ("DELETE", f"{SEG}/child_chunks/{{child_chunk_id}}"),
    ("POST", f"{D}/retrieve"),
    ("POST", f"{D}/hit-testing"),
    ("GET", f"{D}/metadata"),
    ("POST", f"{D}/metadata"),
    ("PATCH", f"{D}/metadata/{{metadata_id}}"),
    ("DELETE", f"{D}/metadata/{{metadata_id}}"),
    ("GET", f"{D}/metadata/built-in"),
    ("POST", f"{D}/metadata/built-in/{{action}}"),
    *((method, "/datasets/tags") for method in ("GET", "POST", "PATCH", "DELETE")),
    ("POST", "/datasets/tags/binding"),
    ("POST", "/datasets/tags/unbinding"),
    ("GET", f"{D}/tags"),
    ("GET", f"{D}/pipeline/datasource-plugins"),
    ("POST", f"{D}/pipeline/datasource/nodes/{{node_id}}/run"),
    ("POST", f"{D}/pipeline/run"),
    ("POST", "/datasets/pipeline/file-upload"),
    ("GET", "/workspaces/current/models/model-types/{model_type}"),
]


def served(app: Litestar) -> set[tuple[str, str]]:
    """(method, path) of every route, with the names of path parameters alone."""
    found = set()
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method in route.methods - {"OPTIONS", "HEAD"}:
                found.add((str(method), route.path_format))
    return found


def filled(path: str) -> str:
    """A path with an id in the place of each parameter."""
    return "/".join(SOME_ID if part.startswith("{") else part for part in path.split("/"))


async def test_the_index_is_served_and_nothing_else_is(app: Litestar) -> None:
    index = {(method, f"/v1{path}") for method, path in (*APP_INDEX, *DATASET_INDEX)}
    found = {(method, path) for method, path in served(app) if path.startswith("/v1/") and path not in PUBLIC}
    assert found == index


async def test_every_route_that_is_not_public_asks_for_credentials(app: Litestar, web: httpx.AsyncClient) -> None:
    asked = 0
    for method, path in sorted(served(app)):
        if path.startswith("/console/api/"):
            continue  # a browser's session, with tests of its own
        answer = await web.request(method, filled(path))
        if path in PUBLIC:
            assert answer.status_code != 401, path
            continue
        asked += 1
        assert answer.status_code == 401, (method, path, answer.text)
        assert answer.headers["www-authenticate"] == 'Bearer realm="api"'
        assert answer.json() == {
            "code": "unauthorized",
            "message": "Authorization header must be provided and start with 'Bearer'",
            "status": 401,
        }
    assert asked >= len(APP_INDEX) + len(DATASET_INDEX)


@pytest.mark.parametrize(
    "token", ["app-" + "x" * 24, "dataset-" + "x" * 24, "", "\u00e9".encode("latin-1").decode("latin-1")]
)
async def test_an_unknown_key_is_refused(web: httpx.AsyncClient, token: str) -> None:
    answer = await web.get("/v1/info", headers={"Authorization": f"Bearer {token}".encode("latin-1")})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_a_key_opens_only_routes_of_its_kind(house: House) -> None:
    app = await house.app("chat", {})
    knowledge = await house.dataset_key()
    for key, index in ((app, DATASET_INDEX), (knowledge, APP_INDEX)):
        for method, path in index:
            answer = await key(method, filled(path))
            assert answer.status_code == 401, (method, path)
            assert answer.json()["message"] == "Access token is invalid"


async def test_public_routes(web: httpx.AsyncClient) -> None:
    answer = await web.get("/v1/")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["welcome"], body["api_version"]) == ("Dify OpenAPI", "v1")
    assert body["server_version"] == answer.headers["x-version"]
    assert answer.headers["x-env"] == "PRODUCTION"
    health = await web.get("/health")
    assert health.json()["status"] == "ok"


async def test_openapi(web: httpx.AsyncClient) -> None:
    document = (await web.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert (await web.get("/v1/openapi.json")).json() == document
    assert document["paths"]["/v1/chat-messages"]["post"]["operationId"] == "post:/v1/chat-messages"
    assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    assert all(path.startswith("/v1/") for path in document["paths"])
    for path in ("workflow", "chat-messages", "completion-messages"):
        again = document["paths"][f"/v1/{path}/{{task_id}}/events"]["get"]
        told = {(item["in"], item["name"]): item.get("required", False) for item in again["parameters"]}
        assert told == {
            ("path", "task_id"): True,
            ("query", "user"): True,
            ("query", "include_state_snapshot"): False,
            ("query", "continue_on_pause"): False,
            ("query", "last_event_id"): False,
            ("header", "Last-Event-ID"): False,
        }
        assert set(again["responses"]["200"]["content"]) == {"text/event-stream"}
    for path, field, required in (
        ("/v1/files/upload", "user", ["file"]),
        ("/v1/datasets/{dataset_id}/document/create-by-file", "data", ["file"]),
        ("/v1/datasets/{dataset_id}/documents/{document_id}/update-by-file", "data", None),
    ):
        form = document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert (set(form["properties"]), form.get("required")) == ({"file", field}, required)


async def test_cors_lets_browsers_read_the_version(web: httpx.AsyncClient) -> None:
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = await web.options("/v1/chat-messages", headers=asked)
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] in ("*", "https://shop.example")
    seen = await web.get("/v1/", headers={"Origin": "https://shop.example"})
    exposed = {name.strip().lower() for name in seen.headers["access-control-expose-headers"].split(",")}
    assert {"x-version", "x-env", "x-trace-id"} <= exposed
