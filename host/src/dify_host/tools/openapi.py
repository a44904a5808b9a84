"""Reads the description of an API (OpenAPI 3 or Swagger 2, JSON or YAML) into operations that can be called. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from dify_kernel.contracts.tool import ToolInfo, ToolParameter
from dify_kernel.errors import BadInput

from dify_host.apps.yaml_text import read_yaml
from dify_host.tools.api_schema import SchemaReader, parameter_of
from dify_host.tools.errors import InvalidApiSchema
from dify_host.tools.swagger2 import as_openapi3

__all__ = ["ApiDescription", "ApiField", "ApiOperation", "read_description"]

_METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options")
_BODIES: Final = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
_MAX_OPERATIONS: Final = 500
_WHOLE: Final = "body"

Place = Literal["path", "query", "header", "cookie", "body", "whole"]


class ApiField(msgspec.Struct, frozen=True, kw_only=True):
    """Where the value of a parameter goes. `whole` is the body itself, `body` one field of it."""

    name: str
    place: Place
    explode: bool = True
    deep: bool = False


class ApiOperation(msgspec.Struct, frozen=True, kw_only=True):
    """One tool of an API: an address with `{placeholders}`, and where each parameter goes."""

    name: str
    description: str = ""
    method: str
    url: str
    content_type: str = ""
    fields: list[ApiField] = []
    parameters: list[ToolParameter] = []

    @property
    def info(self) -> ToolInfo:
        """The operation as a tool."""
        return ToolInfo(name=self.name, label=self.name, description=self.description, parameters=self.parameters)


class ApiDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What a document describes; `schema_type` is `openapi` or `swagger`."""

    title: str
    description: str
    schema_type: str
    operations: list[ApiOperation]


def read_description(text: str) -> ApiDescription:
    """The operations of a document; InvalidApiSchema says what is missing or wrong, and where."""
    document = _decoded(text)
    swagger = str(document.get("swagger") or "").startswith("2")
    if not swagger and not str(document.get("openapi") or "").startswith("3"):
        raise InvalidApiSchema(
            "The description is neither OpenAPI 3 nor Swagger 2.", hint="Its first line says openapi or swagger."
        )
    if swagger:
        document = as_openapi3(document)
    operations = list(_operations(document))
    if not operations:
        raise InvalidApiSchema("The description has no operation under `paths`.", hint="Describe at least one.")
    names = [operation.name for operation in operations]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidApiSchema(
            f"The operationId {twice!r} stands twice in the description.", hint="Each operation needs its own."
        )
    info = _mapping(document.get("info"))
    return ApiDescription(
        title=str(info.get("title") or ""),
        description=str(info.get("description") or ""),
        schema_type="swagger" if swagger else "openapi",
        operations=operations,
    )


def _decoded(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text) if text.lstrip()[:1] == "{" else read_yaml(text)
    except msgspec.DecodeError as exc:
        raise InvalidApiSchema(f"The description cannot be read as JSON: {exc}.") from exc
    except BadInput as exc:
        raise InvalidApiSchema(f"The description cannot be read: {exc.message}") from exc
    if not isinstance(found, dict):
        raise InvalidApiSchema("The description is no object.", hint="Give an OpenAPI document in JSON or YAML.")
    return found


def _operations(document: Mapping[str, Any]) -> Iterator[ApiOperation]:
    reader, count = SchemaReader(document), 0
    for path, item in _mapping(document.get("paths")).items():
        shared = reader.follow(item)
        for method in _METHODS:
            if not isinstance(shared.get(method), dict):
                continue
            count += 1
            if count > _MAX_OPERATIONS:
                raise InvalidApiSchema(f"The description has more than {_MAX_OPERATIONS} operations.")
            yield _operation(reader, document, str(path), method, shared)


def _operation(
    reader: SchemaReader, document: Mapping[str, Any], path: str, method: str, shared: Mapping[str, Any]
) -> ApiOperation:
    own = shared[method]
    fields: list[ApiField] = []
    parameters: dict[str, ToolParameter] = {}
    given = [reader.follow(one) for one in [*_list(own.get("parameters")), *_list(shared.get("parameters"))]]
    for one in given:
        name, place = str(one.get("name") or ""), one.get("in")
        if not name or place not in ("path", "query", "header", "cookie"):
            continue
        if any(field.name == name and field.place == place for field in fields):
            continue  # the operation's own comes before the one of its path
        schema = reader.expand(one.get("schema") or _first_schema(one.get("content")))
        fields.append(ApiField(name=name, place=place, explode=_explodes(one), deep=one.get("style") == "deepObject"))
        parameters.setdefault(
            name,
            parameter_of(
                name,
                schema,
                description=str(one.get("description") or ""),
                required=bool(one.get("required")) or place == "path",
            ),
        )
    content_type = _add_body(reader, reader.follow(own.get("requestBody")), fields, parameters)
    return ApiOperation(
        name=_name(own, path, method),
        description=str(own.get("description") or own.get("summary") or f"{method.upper()} {path}"),
        method=method.upper(),
        url=_server(document, shared, own, f"{method.upper()} {path}") + path,
        content_type=content_type,
        fields=fields,
        parameters=list(parameters.values()),
    )


def _add_body(
    reader: SchemaReader, body: Mapping[str, Any], fields: list[ApiField], parameters: dict[str, ToolParameter]
) -> str:
    """Add the parameters of a body; its content type, empty without one."""
    content = _mapping(body.get("content"))
    if not content:
        return ""
    kind = next((kind for kind in content if _is_json(kind)), None)
    kind = kind or next((kind for kind in _BODIES if kind in content), None) or next(iter(content))
    schema = reader.expand(_mapping(content[kind]).get("schema") or {})
    properties = schema.get("properties") if _is_json(kind) or kind in _BODIES else None
    if properties:
        needed = _list(schema.get("required"))
        for name, item in properties.items():
            fields.append(ApiField(name=name, place="body"))
            parameters.setdefault(name, parameter_of(name, item, required=name in needed))
        return str(kind)
    fields.append(ApiField(name=_WHOLE, place="whole"))
    described = str(body.get("description") or schema.get("description") or "The body of the request.")
    parameters[_WHOLE] = parameter_of(_WHOLE, schema, description=described, required=bool(body.get("required")))
    return str(kind)


def _name(operation: Mapping[str, Any], path: str, method: str) -> str:
    given = operation.get("operationId")
    if isinstance(given, str) and given.strip():
        return given.strip()
    return re.sub(r"[^a-zA-Z0-9_-]", "", path) + f"_{method}"


def _server(document: Mapping[str, Any], path: Mapping[str, Any], operation: Mapping[str, Any], place: str) -> str:
    for holder in (operation, path, document):
        for server in _list(holder.get("servers"))[:1]:
            variables = _mapping(_mapping(server).get("variables"))
            url = str(_mapping(server).get("url") or "")
            for name, variable in variables.items():
                url = url.replace(f"{{{name}}}", str(_mapping(variable).get("default") or ""))
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise InvalidApiSchema(
                    f"The server {url!r} of {place} is no full address.", hint="Start it with https://."
                )
            return url.rstrip("/")
    raise InvalidApiSchema("The description names no server.", hint="Add `servers` with one `url`.")


def _explodes(one: Mapping[str, Any]) -> bool:
    explode = one.get("explode")
    return bool(explode) if explode is not None else one.get("style") not in ("spaceDelimited", "pipeDelimited")


def _first_schema(content: Any) -> Any:
    return next((_mapping(item).get("schema") for item in _mapping(content).values()), None) or {}


def _is_json(kind: str) -> bool:
    bare = kind.partition(";")[0].strip().lower()
    return bare == "application/json" or bare.endswith("+json")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
