"""Descriptions of APIs become operations; what cannot be read is refused with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dify_host.tools.errors import InvalidApiSchema
from dify_host.tools.openapi import ApiOperation, read_description
from dify_kernel.contracts.tool import PARAMETER_TYPES
from dify_kernel.errors import DifyError
from hypothesis import given
from hypothesis import strategies as st

SERVER = [{"url": "https://api.test/v1"}]


def document(paths: dict[str, Any], **rest: Any) -> str:
    return json.dumps({"openapi": "3.0.3", "info": {"title": "T"}, "servers": SERVER, "paths": paths, **rest})


def operation(paths: dict[str, Any], **rest: Any) -> ApiOperation:
    (found,) = read_description(document(paths, **rest)).operations
    return found


def shown(found: ApiOperation) -> dict[str, tuple[str, bool]]:
    return {item.name: (item.type, item.required) for item in found.parameters}


def test_yaml_is_read_as_json_is() -> None:
    text = """
    openapi: 3.1.0
    info: {title: Pets, description: All about pets}
    servers: [{url: "https://{region}.pets.test/", variables: {region: {default: eu}}}]
    paths:
      /pets/{id}:
        parameters:
          - {name: id, in: path, required: true, schema: {type: integer}}
        get:
          operationId: showPet
          summary: Show a pet
          parameters:
            - {name: verbose, in: query, schema: {type: [boolean, "null"], default: false}, description: More of it}
    """
    found = read_description(text)
    assert (found.title, found.description, found.schema_type) == ("Pets", "All about pets", "openapi")
    (pet,) = found.operations
    assert (pet.name, pet.method, pet.url) == ("showPet", "GET", "https://eu.pets.test/pets/{id}")
    assert pet.info.description == "Show a pet"
    assert shown(pet) == {"verbose": ("boolean", False), "id": ("number", True)}
    assert pet.parameters[0].default is False


def test_an_operation_without_a_name_is_called_by_its_path_and_method() -> None:
    assert operation({"/difyforgitee/make-It 2": {"post": {}}}).name == "difyforgiteemake-It2_post"


def test_references_and_compositions_are_followed() -> None:
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/New~1Pet"}}}}
    schemas = {
        "New/Pet": {
            "allOf": [{"$ref": "#/components/schemas/Named"}, {"properties": {"kind": {"enum": ["cat", "dog"]}}}]
        },
        "Named": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}, "parent": {"$ref": "#/components/schemas/Named"}},
        },
    }
    found = operation({"/pets": {"post": {"requestBody": body}}}, components={"schemas": schemas})
    assert shown(found) == {"kind": ("select", False), "name": ("string", True), "parent": ("object", False)}
    assert found.parameters[0].options == ["cat", "dog"]
    parent = found.parameters[2].json_schema
    assert parent is not None
    assert parent["properties"]["name"] == {"type": "string"}
    assert "$ref" not in json.dumps(parent)


@pytest.mark.parametrize(
    ("content", "kind", "parameters"),
    [
        ({"text/plain": {"schema": {"type": "string"}}}, "text/plain", {"body": ("string", False)}),
        (
            {"application/json": {"schema": {"type": "array", "items": {"type": "string"}}}},
            "application/json",
            {"body": ("array", False)},
        ),
        (
            {"multipart/form-data": {"schema": {"properties": {"f": {"type": "string", "format": "binary"}}}}},
            "multipart/form-data",
            {"f": ("file", False)},
        ),
        (
            {"application/xml": {}, "application/vnd.a+json": {"schema": {"properties": {"a": {"type": "number"}}}}},
            "application/vnd.a+json",
            {"a": ("number", False)},
        ),
    ],
)
def test_bodies(content: dict[str, Any], kind: str, parameters: dict[str, Any]) -> None:
    found = operation({"/x": {"post": {"requestBody": {"content": content}}}})
    assert (found.content_type, shown(found)) == (kind, parameters)


def test_swagger_2_is_read_too() -> None:
    found = read_description(
        json.dumps(
            {
                "swagger": "2.0",
                "host": "old.test",
                "basePath": "/api/",
                "schemes": ["http", "https"],
                "parameters": {"Lang": {"name": "lang", "in": "header", "type": "string"}},
                "definitions": {"Item": {"properties": {"n": {"type": "integer"}}, "required": ["n"]}},
                "paths": {
                    "/items": {
                        "parameters": [{"$ref": "#/parameters/Lang"}],
                        "post": {
                            "operationId": "add",
                            "parameters": [{"name": "item", "in": "body", "schema": {"$ref": "#/definitions/Item"}}],
                        },
                        "put": {
                            "operationId": "send",
                            "parameters": [{"name": "f", "in": "formData", "type": "file", "required": True}],
                        },
                    }
                },
            }
        )
    )
    by_name = {item.name: item for item in found.operations}
    assert found.schema_type == "swagger"
    assert by_name["add"].url == "https://old.test/api/items"
    assert shown(by_name["add"]) == {"lang": ("string", False), "n": ("number", True)}
    assert by_name["send"].content_type == "multipart/form-data"
    assert shown(by_name["send"]) == {"lang": ("string", False), "f": ("file", True)}


CIRCLE = {"$ref": "#/components/schemas/A"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no object"),
        ("{", "JSON"),
        ("a: [", "cannot be read"),
        ("[1]", "no object"),
        ('{"info": {}}', "neither OpenAPI 3 nor Swagger 2"),
        (document({}), "no operation"),
        (json.dumps({"openapi": "3.0.0", "paths": {"/a": {"get": {}}}}), "names no server"),
        (document({"/a": {"get": {}}}).replace("https://api.test", "/relative"), "no full address"),
        (document({"/a": {"get": {"operationId": "x"}, "put": {"operationId": "x"}}}), "'x' stands twice"),
        (document({"/a": {"get": {"parameters": [{"$ref": "other.yaml#/a"}]}}}), "other.yaml"),
        (document({"/a": {"get": {"parameters": [{"$ref": "#/components/no"}]}}}), "#/components/no"),
        (document({"/a": {"get": {"parameters": [CIRCLE]}}}, components={"schemas": {"A": CIRCLE}}), "circle"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    with pytest.raises(InvalidApiSchema, match=words):
        read_description(text)


def test_a_schema_that_holds_itself_in_many_places_is_refused_or_cut() -> None:
    wide = {f"p{number}": {"$ref": "#/components/schemas/A"} for number in range(20)}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}}
    text = document({"/a": {"post": {"requestBody": body}}}, components={"schemas": {"A": {"properties": wide}}})
    with pytest.raises(InvalidApiSchema, match="more than"):
        read_description(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_SCHEMA = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("type", "properties", "items", "allOf", "oneOf", "enum", "required", "$ref"), _JSON),
)


@given(schema=_SCHEMA, parameters=_JSON, extra=_JSON)
def test_any_document_is_read_or_refused(schema: Any, parameters: Any, extra: Any) -> None:
    body = {"content": {"application/json": {"schema": schema}}}
    text = document({"/a": {"post": {"requestBody": body, "parameters": parameters}, "get": extra}}, components=extra)
    try:
        found = read_description(text)
    except DifyError:
        return
    for item in found.operations:
        assert all(parameter.type in PARAMETER_TYPES for parameter in item.parameters)


@given(text=st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(DifyError):
        read_description(text)
