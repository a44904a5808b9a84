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
    "schema": {"description": "Server-sent events: one `data:` line of JSON each; `event: ping` while nothing comes."}
}
_OBJECT: Final[dict[str, Any]] = {"schema": {"type": "object"}}
#: Whom a call is for, where a route cannot do without.
_USER: Final[dict[str, Any]] = {
    "description": "The end user, as the caller names it.",
    "oneOf": [{"type": "string", "minLength": 1, "maxLength": 255}, {"type": "number"}, {"type": "boolean"}],
}
#: Bodies that need a `user`; the routes miss it in Dify's words, so their structs let it be absent.
_NEED_USER: Final = frozenset(("RunBody", "CompletionBody", "ChatBody", "StopBody", "FeedbackBody"))
#: What texts of these names look like.
_FORMATS: Final = {
    **dict.fromkeys(("conversation_id", "workflow_id"), "uuid"),
    **dict.fromkeys(("created_at__before", "created_at__after"), "date-time"),
}
#: What routes answer that is not JSON alone, by the end of their path.
_BODIES: Final[dict[str, dict[str, Any]]] = {
    "/chat-messages": {"application/json": _OBJECT, "text/event-stream": _EVENTS},
    "/completion-messages": {"application/json": _OBJECT, "text/event-stream": _EVENTS},
    "/workflows/run": {"application/json": _OBJECT, "text/event-stream": _EVENTS},
    "/workflows/{workflow_id}/run": {"application/json": _OBJECT, "text/event-stream": _EVENTS},
    "/text-to-audio": {"audio/mpeg": _ANY_BYTES, "application/json": {"schema": {"type": "null"}}},
    "/preview": {"*/*": _ANY_BYTES},
}


def described(app: Litestar) -> dict[str, Any]:
    """The document; every operation names its errors by one shape."""
    document = app.openapi_schema.to_schema()
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Error"] = _ERROR
    for path, operations in document.get("paths", {}).items():
        for operation in operations.values():
            if isinstance(operation, dict) and "responses" in operation:
                _describe(path, operation)
                for name in _names_in(operation.get("requestBody")):
                    _close(schemas, name)
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
        if parameter["name"] == "user" and path.endswith("/suggested"):
            parameter |= {"required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 255}}
        if parameter["in"] == "query":
            _format(parameter["name"], parameter.get("schema", {}))


def _close(schemas: dict[str, Any], name: str) -> None:
    """A body has no other fields than it names; nor have the objects in it."""
    schema = schemas[name]
    if schema.get("additionalProperties") is False or "properties" not in schema:
        return
    schema["additionalProperties"] = False
    for field, inner in schema["properties"].items():
        _format(field, inner)
        for part in _names_in(inner):
            _close(schemas, part)


def _format(name: str, schema: dict[str, Any]) -> None:
    for kind in schema.get("oneOf", (schema,)):
        if name in _FORMATS and kind.get("type") == "string":
            kind["format"] = _FORMATS[name]


def _names_in(part: Any) -> set[str]:
    """The schemas that a part of the document refers to."""
    if isinstance(part, dict):
        own = {part["$ref"].rpartition("/")[2]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(_names_in, part.values()))
    return set().union(*map(_names_in, part)) if isinstance(part, list) else set()
