"""Rewrites a Swagger 2 description as OpenAPI 3, as far as calls need it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["as_openapi3"]

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
#: What a parameter of Swagger 2 says beside its schema.
_BESIDE: Final = frozenset(("name", "in", "description", "required", "collectionFormat", "schema"))
_FORMS: Final = ("multipart/form-data", "application/x-www-form-urlencoded")


def as_openapi3(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same API in OpenAPI 3; definitions stay where they are, so that references to them hold."""
    converted = {**document, "openapi": "3.0.3", "servers": _servers(document)}
    paths = document.get("paths")
    shared = _mapping(document.get("parameters"))
    consumes = document.get("consumes")
    converted["paths"] = {
        path: _path(item, shared, consumes) for path, item in _mapping(paths).items() if isinstance(item, dict)
    }
    return converted


def _servers(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    host = document.get("host")
    if not host:
        return []
    schemes = document.get("schemes") or ["https"]
    scheme = "https" if "https" in schemes else str(schemes[0])
    return [{"url": f"{scheme}://{host}{str(document.get('basePath') or '').rstrip('/')}"}]


def _path(item: Mapping[str, Any], shared: Mapping[str, Any], consumes: Any) -> dict[str, Any]:
    common = [_followed(one, shared) for one in item.get("parameters") or []]
    converted: dict[str, Any] = {}
    for method in _METHODS:
        operation = item.get(method)
        if isinstance(operation, dict):
            own = [_followed(one, shared) for one in operation.get("parameters") or []]
            converted[method] = _operation(operation, [*common, *own], operation.get("consumes") or consumes)
    return converted


def _operation(operation: Mapping[str, Any], parameters: list[dict[str, Any]], consumes: Any) -> dict[str, Any]:
    converted = {key: value for key, value in operation.items() if key not in ("parameters", "consumes", "produces")}
    converted["parameters"] = [_parameter(one) for one in parameters if one.get("in") not in ("body", "formData")]
    bodies = [one for one in parameters if one.get("in") == "body"]
    fields = [one for one in parameters if one.get("in") == "formData"]
    if bodies:
        kinds = [kind for kind in consumes or [] if kind not in _FORMS] or ["application/json"]
        content = {str(kinds[0]): {"schema": bodies[0].get("schema") or {}}}
        converted["requestBody"] = {"content": content, "required": bool(bodies[0].get("required"))}
    elif fields:
        multipart = any(one.get("type") == "file" for one in fields) or _FORMS[0] in (consumes or [])
        schema = {
            "type": "object",
            "properties": {str(one.get("name")): _schema(one) for one in fields},
            "required": [str(one.get("name")) for one in fields if one.get("required")],
        }
        converted["requestBody"] = {"content": {_FORMS[0] if multipart else _FORMS[1]: {"schema": schema}}}
    return converted


def _parameter(one: Mapping[str, Any]) -> dict[str, Any]:
    converted = {key: one[key] for key in ("name", "in", "description", "required") if key in one}
    return {**converted, "schema": _schema(one), "explode": one.get("collectionFormat") == "multi"}


def _schema(one: Mapping[str, Any]) -> dict[str, Any]:
    schema = {key: value for key, value in one.items() if key not in _BESIDE}
    if schema.get("type") == "file":
        return {"type": "string", "format": "binary"}
    if "description" in one:
        schema["description"] = one["description"]
    return schema


def _followed(one: Any, shared: Mapping[str, Any]) -> dict[str, Any]:
    ref = one.get("$ref") if isinstance(one, dict) else None
    if isinstance(ref, str) and ref.startswith("#/parameters/"):
        return _mapping(shared.get(ref.rpartition("/")[2]))
    return _mapping(one)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
