"""The description of the API as OpenAPI: what Litestar reads off the routes, with their errors and streams."""

from __future__ import annotations

from typing import Any, Final

from litestar import Litestar

__all__ = ["described"]

_ERROR: Final[dict[str, Any]] = {
    "title": "Error",
    "type": "object",
    "required": ["code", "message", "status"],
    "properties": {
        "code": {"type": "string", "description": "What went wrong, the same in every version."},
        "message": {"type": "string", "description": "What went wrong, where, and what to do, for people."},
        "status": {"type": "integer", "description": "The status of the answer."},
        "params": {"type": "string", "description": "The field that is wrong."},
        "problems": {"type": "array", "items": {"type": "object"}, "description": "Every problem of a graph."},
    },
}
_FAILED: Final[dict[str, Any]] = {
    "description": "An error",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
_ANY_BYTES: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_EVENTS: Final[dict[str, Any]] = {
    "schema": {
        "description": "Server-sent events: one `data:` line of JSON each; `event: ping` while nothing comes. "
        "The `id:` of a ping is that of the event behind it."
    }
}
_OBJECT: Final[dict[str, Any]] = {"schema": {"type": "object"}}
#: Whom a call is for, where a route cannot do without.
_USER: Final[dict[str, Any]] = {
    "description": "The end user, as the caller names it.",
    "anyOf": [{"type": "string", "minLength": 1, "maxLength": 255}, {"type": "number"}, {"type": "boolean"}],
}
#: Bodies that need a `user`; the routes miss it in Dify's words, so their structs let it be absent.
_NEED_USER: Final = frozenset(("RunBody", "CompletionBody", "ChatBody", "StopBody", "FeedbackBody"))
_NEED_USER_IN_QUERY: Final = ("/suggested", "/events")
#: A conversation is named by its id; a blank text, or none, begins one.
_ID: Final[dict[str, Any]] = {
    "anyOf": [{"type": "string", "format": "uuid"}, {"type": "string", "pattern": "^\\s*$"}, {"type": "null"}]
}
#: What routes answer that is not JSON alone, by the end of their path.
_BODIES: Final[dict[str, dict[str, Any]]] = {
    "/chat-messages": {"application/json": _OBJECT, "text/event-stream": _EVENTS},
    "/completion-messages": {"application/json": _OBJECT, "text/event-stream": _EVENTS},
    "/workflows/run": {"application/json": _OBJECT, "text/event-stream": _EVENTS},
    "/workflows/{workflow_id}/run": {"application/json": _OBJECT, "text/event-stream": _EVENTS},
    "/events": {"text/event-stream": _EVENTS},
    "/text-to-audio": {"audio/mpeg": _ANY_BYTES, "application/json": {"schema": {"type": "null"}}},
    "/preview": {"*/*": _ANY_BYTES},
}


def described(app: Litestar) -> dict[str, Any]:
    """The document; every operation names its errors by one shape."""
    document: dict[str, Any] = _any_of(app.openapi_schema.to_schema())
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Error"] = _ERROR
    for path, operations in document.get("paths", {}).items():
        for operation in operations.values():
            if isinstance(operation, dict) and "responses" in operation:
                _describe(path, operation)
                for name in _bodies(operation):
                    _close(schemas[name])
    for name in _NEED_USER & schemas.keys():
        schemas[name]["required"] = [*schemas[name].get("required", ()), "user"]
        schemas[name]["properties"]["user"] = _USER
    return document


def _describe(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status in [status for status in responses if not status.startswith("2")]:
        del responses[status]
    responses |= {"4XX": _FAILED, "5XX": _FAILED}
    body = next((body for end, body in _BODIES.items() if path.endswith(end)), None)
    if body is not None and "200" in responses:
        responses["200"] = {**responses["200"], "content": body}
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "user" and path.endswith(_NEED_USER_IN_QUERY):
            parameter |= {"required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 255}}


def _close(schema: dict[str, Any]) -> None:
    """A body has no other fields than it names."""
    if "properties" in schema:
        schema["additionalProperties"] = False
        if "conversation_id" in schema["properties"]:
            schema["properties"]["conversation_id"] = _ID


def _any_of(part: Any) -> Any:
    """Unions of types may overlap, as integers and numbers do: any of them fits, and not one alone."""
    if isinstance(part, dict):
        return {("anyOf" if key == "oneOf" else key): _any_of(value) for key, value in part.items()}
    return [_any_of(item) for item in part] if isinstance(part, list) else part


def _bodies(operation: dict[str, Any]) -> list[str]:
    """The schemas of what an operation takes."""
    contents = operation.get("requestBody", {}).get("content", {}).values()
    return [content["schema"]["$ref"].rpartition("/")[2] for content in contents if "$ref" in content["schema"]]
