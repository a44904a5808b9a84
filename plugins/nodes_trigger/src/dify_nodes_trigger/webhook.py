"""The webhook trigger: a request to the app's address starts the run, its parts are the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec
from dify_kernel.contracts.node import NodeConfig
from dify_kernel.graph.values import Value, ValueType, cast

from dify_nodes_trigger.root import TriggerNode

__all__ = ["FieldType", "WebhookHeader", "WebhookParameter", "WebhookTriggerConfig", "WebhookTriggerNode"]

#: Under this name the request lies in the pool; under the other it is an output.
REQUEST: Final = "webhook_data"
RAW: Final = "_webhook_raw"
_METHODS: Final = frozenset(("get", "post", "put", "patch", "delete", "head", "options"))
_TEXT: Final = "text/plain"
_BYTES: Final = "application/octet-stream"
_CONTENT_TYPES: Final = frozenset(
    ("application/json", "multipart/form-data", "application/x-www-form-urlencoded", _TEXT, _BYTES)
)


class FieldType(StrEnum):
    """Types of parameters and of fields of the body."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    OBJECT = "object"
    FILE = "file"
    ARRAY_STRING = "array[string]"
    ARRAY_NUMBER = "array[number]"
    ARRAY_BOOLEAN = "array[boolean]"
    ARRAY_OBJECT = "array[object]"


class WebhookHeader(msgspec.Struct, frozen=True, kw_only=True):
    """One header that is taken out of the request."""

    name: str
    required: bool = False


class WebhookParameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of the query, or one field of the body."""

    name: str
    type: FieldType = FieldType.STRING
    required: bool = False


class WebhookTriggerConfig(NodeConfig, kw_only=True):
    """Which requests are taken, what is taken out of them, and how they are answered."""

    method: str = "get"
    content_type: str = "application/json"
    headers: list[WebhookHeader] | None = None
    params: list[WebhookParameter] | None = None
    body: list[WebhookParameter] | None = None
    status_code: int = 200
    response_body: str | None = ""
    async_mode: bool = True
    timeout: int = 30
    webhook_url: str | None = ""
    webhook_debug_url: str | None = ""


class WebhookTriggerNode(TriggerNode):
    """Gives headers (a hyphen becomes an underscore), parameters, fields and files by name, and the whole request.

    The request was checked against the config before the run; what it does not have is null.
    """

    type = "trigger-webhook"
    Config = WebhookTriggerConfig
    config: WebhookTriggerConfig

    def problems(self) -> list[str]:
        """Methods, content types and status codes that do not exist; names that are missing or used twice."""
        config, found = self.config, []
        if config.method.lower() not in _METHODS:
            found.append(f"`method` is {config.method!r}; use one of {', '.join(sorted(_METHODS))}.")
        if config.content_type.lower() not in _CONTENT_TYPES:
            found.append(f"`content_type` is {config.content_type!r}; use one of {', '.join(sorted(_CONTENT_TYPES))}.")
        if not 200 <= config.status_code <= 599:
            found.append(f"`status_code` is {config.status_code}; an answer has one from 200 to 599.")
        for part, names in (("headers", config.headers), ("params", config.params), ("body", config.body)):
            listed = [item.name for item in names or []]
            found += [f"An item of `{part}` has no `name`."] if "" in listed else []
            twice = [name for name in dict.fromkeys(listed) if name and listed.count(name) > 1]
            found += [f"`{part}` has {name!r} twice." for name in twice]
        if config.content_type.lower() in (_TEXT, _BYTES) and len(config.body or []) > 1:
            found.append(f"A body of {config.content_type} is one value; `body` has {len(config.body or [])} fields.")
        return found

    def outputs(self, given: Any) -> dict[str, Any]:
        """The declared parts of the request and the request."""
        stored: Value | None = given.get(REQUEST)
        request: dict[str, Any] = stored.data if stored is not None and isinstance(stored.data, dict) else {}
        values: dict[str, Any] = self._body(request)
        query = _mapping(request, "query_params")
        values |= {item.name: _typed(query.get(item.name), item.type) for item in self.config.params or []}
        headers = {_plain(name): value for name, value in _mapping(request, "headers").items()}
        values |= {item.name.replace("-", "_"): headers.get(_plain(item.name)) for item in self.config.headers or []}
        return {**values, RAW: request}

    def _body(self, request: Mapping[str, Any]) -> dict[str, Any]:
        body, files = _mapping(request, "body"), _mapping(request, "files")
        kind, fields = self.config.content_type.lower(), self.config.body or []
        if kind in (_TEXT, _BYTES):
            return {item.name: body.get("raw") for item in fields}
        return {
            item.name: files.get(item.name) if item.type is FieldType.FILE else _typed(body.get(item.name), item.type)
            for item in fields
        }


def _mapping(request: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = request.get(name)
    return found if isinstance(found, Mapping) else {}


def _plain(name: str) -> str:
    """A header's name without what does not tell headers apart."""
    return name.lower().replace("_", "-")


def _typed(data: Any, kind: FieldType) -> Any:
    """A list under its declared type, as an empty one does not tell it; anything else as it is."""
    if isinstance(data, list) and kind.startswith("array"):
        try:
            return cast(data, ValueType(kind))
        except ValueError:
            return data
    return data
