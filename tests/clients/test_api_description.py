"""The API does what its own description says: what fits is answered as described, what does not is refused.

Schemathesis makes the requests, from the description that the API serves, with a fixed seed. `EXAMPLES` an operation,
of each kind and key, keep it under a minute; more are worth a try when routes change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from .conftest import Served

EXAMPLES = 4
SEED = 20_260_119
QUIET = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
Counted = dict[int, int]
CONFORMS = [content_type_conformance, not_a_server_error, response_schema_conformance, status_code_conformance]


@pytest.fixture(scope="module")
def description(served: Served) -> Any:
    """What the API serves, without the keys: those are sent with every request."""
    load_all_checks()
    document = httpx.get(f"{served.url}/openapi.json").json()
    del document["security"], document["components"]["securitySchemes"]
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=served.url.removesuffix("/v1"))
    return schema


def operations(description: Any, *, knowledge: bool) -> Iterator[Any]:
    """The operations of `/v1` for keys of apps, or of knowledge."""
    for result in description.get_all_operations():
        operation = result.ok()
        of_knowledge = operation.path.startswith(("/v1/datasets", "/v1/workspaces"))
        if operation.path.startswith("/v1/") and of_knowledge == knowledge:
            yield operation


def attempt(operation: Any, mode: GenerationMode, token: str, ids: dict[str, str] | None = None) -> Counted:
    """Send what schemathesis makes up, and hold every answer to the description; the statuses that came.

    `ids` stand in the place of what is made up for parameters in the path.
    """
    statuses: Counted = {}
    headers = {"Authorization": f"Bearer {token}"}

    @seed(SEED)
    @QUIET
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        case.headers = {**(case.headers or {}), **headers}
        case.path_parameters = _with_ids(case.path_parameters, ids or {})
        if ids:  # with the ids in place, a parameter that the route does not know would be all that is wrong
            case.query = {name: value for name, value in (case.query or {}).items() if name in operation.query}
        if (
            mode is GenerationMode.POSITIVE
            and isinstance(case.body, dict)
            and isinstance(case.body.get("inputs"), dict)
        ):
            case.body["inputs"]["query"] = "hello"  # what the apps' own forms ask for
        response = case.call()
        statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
        if response.status_code == 501:
            assert response.json()["code"] == "not_implemented"
            return
        # Everything in a form is text, so nothing in it can be of a wrong type.
        refuses = mode is GenerationMode.NEGATIVE and case.media_type != "multipart/form-data"
        checks: list[Callable[..., Any]] = [*CONFORMS, negative_data_rejection] if refuses else CONFORMS
        case.validate_response(response, checks=checks, headers=headers)

    try:
        send()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE  # nothing that the route takes can be wrong
    return statuses


@pytest.mark.parametrize("app", ["workflow", "advanced-chat", "chat", "completion"])
def test_the_routes_of_apps_do_what_their_description_says(served: Served, description: Any, app: str) -> None:
    answered = set()
    for operation in operations(description, knowledge=False):
        statuses = attempt(operation, GenerationMode.POSITIVE, served.keys[app])
        attempt(operation, GenerationMode.NEGATIVE, served.keys[app])
        if any(status < 300 for status in statuses):
            answered.add(operation.path)
    run = {"workflow": "/v1/workflows/run", "completion": "/v1/completion-messages"}.get(app, "/v1/chat-messages")
    assert {run, "/v1/parameters", "/v1/apps/annotations", "/v1/files/upload"} <= answered


def _with_ids(made_up: dict[str, Any] | None, ids: dict[str, str]) -> dict[str, Any]:
    found = {name: ids.get(name, value) for name, value in (made_up or {}).items()}
    return {**found, "action": "enable"} if "action" in found and ids else found


def _part_of(path: str) -> str:
    """The routes of knowledge in parts that take about as long as each other."""
    named = ("segments", "metadata", "tags", "pipeline", "document")
    return next((name for name in named if name in path), "datasets")


DATASET, DOCUMENT = "/datasets/{dataset_id}", "/datasets/{dataset_id}/documents/{document_id}"
#: What must be answered with a success once, as the ids in the path are of things that there are.
REACHED = {
    ("GET", "/datasets"),
    ("PATCH", DATASET),
    ("DELETE", DATASET),
    ("GET", f"{DATASET}/metadata"),
    ("POST", f"{DATASET}/metadata"),
    ("PATCH", f"{DATASET}/metadata/{{metadata_id}}"),
    ("POST", f"{DATASET}/metadata/built-in/{{action}}"),
    ("GET", f"{DATASET}/documents"),
    ("GET", DOCUMENT),
    ("DELETE", DOCUMENT),
    ("GET", f"{DOCUMENT}/download"),
    ("GET", f"{DOCUMENT}/segments"),
    ("GET", f"{DOCUMENT}/segments/{{segment_id}}"),
    ("GET", f"{DOCUMENT}/segments/{{segment_id}}/child_chunks"),
    ("GET", "/datasets/tags"),
    ("POST", "/datasets/tags"),
    ("GET", f"{DATASET}/tags"),
}


@pytest.mark.parametrize("part", ["datasets", "document", "segments", "metadata", "tags", "pipeline"])
def test_the_routes_of_knowledge_do_what_their_description_says(served: Served, description: Any, part: str) -> None:
    answered = set()
    for operation in operations(description, knowledge=True):
        where = (operation.method.upper(), operation.path.removeprefix("/v1"))
        if _part_of(where[1]) != part:
            continue
        ids = served.library()
        # What is there is gone after the first deletion.
        attempt(operation, GenerationMode.NEGATIVE, served.knowledge, {} if where[0] == "DELETE" else ids)
        statuses = attempt(operation, GenerationMode.POSITIVE, served.knowledge, ids)
        if any(status < 300 for status in statuses):
            answered.add(where)
    assert {where for where in REACHED if _part_of(where[1]) == part} <= answered
