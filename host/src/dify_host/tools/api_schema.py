"""The schemas inside an API description: references followed, and what a tool's parameter makes of a schema. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from dify_kernel.contracts.tool import ToolParameter

from dify_host.tools.errors import InvalidApiSchema

__all__ = ["SchemaReader", "parameter_of"]

#: Levels of a schema that a model gets to see; deeper ones are any object.
_MAX_DEPTH: Final = 8
#: Schemas that one description may expand to.
_MAX_SCHEMAS: Final = 20_000
_MAX_LINKS: Final = 32
_NUMBERS: Final = ("integer", "number")
_KEPT: Final = (
    "type",
    "format",
    "description",
    "enum",
    "default",
    "required",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
)


class SchemaReader:
    """Reads the schemas of one document; InvalidApiSchema names a reference that leads nowhere or out of it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._read = 0

    def follow(self, item: Any) -> dict[str, Any]:
        """The object itself, or the one that its `$ref` leads to."""
        for _ in range(_MAX_LINKS):
            if not isinstance(item, dict):
                return {}
            ref = item.get("$ref")
            if not isinstance(ref, str):
                return item
            item = self._target(ref)
        raise InvalidApiSchema("A $ref of the description leads in a circle.", hint="Let it name an object.")

    def expand(self, schema: Any, depth: int = 0) -> dict[str, Any]:
        """A schema without references, `allOf` merged; what is deeper than 8 levels is any value."""
        self._read += 1
        if self._read > _MAX_SCHEMAS:
            raise InvalidApiSchema(
                f"The description holds more than {_MAX_SCHEMAS} schemas once its references are followed.",
                hint="Split it into several.",
            )
        found = self.follow(schema)
        if depth >= _MAX_DEPTH:
            return {"type": kind} if (kind := _type(found)) else {}
        out: dict[str, Any] = {key: found[key] for key in _KEPT if found.get(key) is not None}
        if kind := _type(found):
            out["type"] = kind
        properties = found.get("properties")
        if isinstance(properties, dict):
            out["properties"] = {str(name): self.expand(item, depth + 1) for name, item in properties.items()}
        if isinstance(found.get("items"), dict):
            out["items"] = self.expand(found["items"], depth + 1)
        for part in _list(found.get("allOf")):
            _merge(out, self.expand(part, depth + 1), required=True)
        options = _list(found.get("oneOf")) or _list(found.get("anyOf"))
        real = [option for option in options if _type(self.follow(option)) != "null"]
        for option in real:
            _merge(out, self.expand(option, depth + 1), required=len(real) == 1)
        return out

    def _target(self, ref: str) -> Any:
        if not ref.startswith("#"):
            raise InvalidApiSchema(
                f"The description refers to {ref!r}, which is outside of it.", hint="Put it into the one document."
            )
        target: Any = self._document
        for part in ref[1:].strip("/").split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            target = target.get(name) if isinstance(target, dict) else None
        if target is None:
            raise InvalidApiSchema(f"The description refers to {ref!r}, which it does not have.")
        return target


def parameter_of(
    name: str, schema: Mapping[str, Any], *, description: str = "", required: bool = False
) -> ToolParameter:
    """The parameter that an expanded schema asks for; a model fills it."""
    kind = _parameter_type(schema)
    whole = dict(schema) if kind in ("object", "array", "any") or "enum" in schema else None
    return ToolParameter(
        name=name,
        type=kind,
        form="llm",
        required=required,
        default=schema.get("default"),
        label=name,
        description=description or str(schema.get("description") or ""),
        options=[str(option) for option in schema["enum"]] if kind == "select" else [],
        json_schema=whole,
    )


def _parameter_type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if kind in _NUMBERS:
        return "number"
    if kind in ("boolean", "object"):
        return str(kind)
    if kind == "array":
        items = schema.get("items")
        return "files" if isinstance(items, dict) and items.get("format") == "binary" else "array"
    if kind == "string" or kind is None:
        if schema.get("format") == "binary":
            return "file"
        enum = schema.get("enum")
        if isinstance(enum, list) and enum and all(isinstance(option, str) for option in enum):
            return "select"
        return "object" if "properties" in schema else "string"
    return "any"


def _type(schema: Mapping[str, Any]) -> str:
    """The type of a schema; of several (OpenAPI 3.1) the first that is not null."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), None)
    return kind if isinstance(kind, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _merge(out: dict[str, Any], part: Mapping[str, Any], *, required: bool) -> None:
    """Add what a part says; of alternatives, nothing is required and a type that differs is no type."""
    for key, value in part.items():
        if key == "properties":
            out["properties"] = {**value, **out.get("properties", {})}
        elif key == "required":
            if required:
                known = out.get("required") or []
                out["required"] = [*known, *(name for name in _list(value) if name not in known)]
        else:
            out.setdefault(key, value)
