"""Described APIs, called on a real server: where parameters go, how calls are authorised, what answers become."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from dify_host.db.tenant import Tenant
from dify_host.net.client import GuardedClient
from dify_host.tools.api_providers import NewApiProvider
from dify_host.tools.errors import InvalidApiSchema, ToolParameterError, ToolProviderNotFound
from dify_host.tools.tables import tool_api_providers
from dify_kernel.contracts.tool import BlobMessage, JsonMessage, TextMessage
from dify_kernel.errors import BadInput, Conflict, OutboundRefused, ToolError
from dify_kernel.testing.loopback import Answer, Asked, Loopback, json_answer, loopback

from .tools_house import USER, ToolsHouse, said

STRING = {"type": "string"}


def answer(asked: Asked) -> Answer:
    if asked.path == "/plain":
        return 200, {"Content-Type": "text/plain; charset=utf-8"}, "grüß".encode()
    if asked.path == "/picture":
        disposition = 'attachment; filename="dot.png"'
        return 200, {"Content-Type": "image/png", "Content-Disposition": disposition}, b"\x89PNG\0"
    if asked.path == "/empty":
        return 204, {}, b""
    if asked.path == "/refused":
        return json_answer(422, {"detail": "no such pet"})
    return json_answer(200, {"path": asked.path})


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with loopback(answer) as server:
        yield server


def described(server: Loopback) -> str:
    def taking(*parameters: Any, body: Any = None) -> dict[str, Any]:
        given = [{"name": name, "in": place, "schema": schema or STRING} for name, place, schema in parameters]
        return {"parameters": given, **({"requestBody": {"content": body}} if body else {})}

    tags = {"type": "array", "items": STRING}
    pet = {"properties": {"name": STRING, "age": {"type": "integer"}, "tags": tags}, "required": ["name"]}
    upload = {"properties": {"note": STRING, "data": {"type": "string", "format": "binary"}}}
    paths: dict[str, Any] = {
        "/pets/{id}": {
            "get": taking(
                ("id", "path", None), ("tag", "query", tags), ("x-lang", "header", None), ("s", "cookie", None)
            ),
            "post": taking(("id", "path", None), body={"application/json": {"schema": pet}}),
            "put": taking(("id", "path", None), body={"application/x-www-form-urlencoded": {"schema": pet}}),
        },
        "/upload": {"post": taking(body={"multipart/form-data": {"schema": upload}})},
        "/raw": {"post": taking(body={"text/csv": {"schema": STRING}})},
    }
    paths |= {f"/{name}": {"get": {}} for name in ("plain", "picture", "empty", "refused")}
    for path, item in paths.items():
        for method, found in item.items():
            found["operationId"] = f"{method}_{path.split('/')[1]}"
    return json.dumps({"openapi": "3.0.0", "info": {}, "servers": [{"url": server.url}], "paths": paths})


@pytest.fixture
async def pets(house: ToolsHouse, tenant: Tenant, server: Loopback) -> str:
    """The id of a described API."""
    new = NewApiProvider(name="Pets", schema=described(server))
    return (await house.tools(tenant).apis.add(new, USER)).id


async def call(house: ToolsHouse, tenant: Tenant, server: Loopback, tool: str, **given: Any) -> Asked:
    await said(house.runtime(tenant), "api", "Pets", tool, **given)
    return server.asked[-1]


async def test_parameters_go_where_the_description_says(
    house: ToolsHouse, tenant: Tenant, server: Loopback, pets: str
) -> None:
    given: dict[str, Any] = {"id": "a/ü?", "tag": ["x", "y"], "x-lang": "de", "s": "1; b=2", "unknown": "z"}
    asked = await call(house, tenant, server, "get_pets", **given)
    assert asked.path == "/pets/a%2F%C3%BC%3F"
    assert asked.query == [("tag", "x"), ("tag", "y")]
    assert (asked.headers["x-lang"], asked.headers["cookie"]) == ("de", "s=1%3B%20b%3D2")

    asked = await call(house, tenant, server, "post_pets", id="1", name="Mia", age="3", tags=["a"])
    assert asked.headers["content-type"] == "application/json"
    assert asked.json() == {"name": "Mia", "age": 3, "tags": ["a"]}

    asked = await call(house, tenant, server, "put_pets", id="1", name="Mia & Co", tags=["a", "b"])
    assert asked.body == b"name=Mia+%26+Co&tags=a%2Cb"

    file = house.files.put(b"bytes", filename="a.bin", mime_type="application/x-a")
    asked = await call(house, tenant, server, "post_upload", note="n", data=file)
    assert asked.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'filename="a.bin"' in asked.body
    assert b"application/x-a\r\n\r\nbytes" in asked.body

    asked = await call(house, tenant, server, "post_raw", body="a,b")
    assert (asked.headers["content-type"], asked.body) == ("text/csv", b"a,b")


async def test_a_call_with_effects_carries_the_key_of_its_node(
    house: ToolsHouse, tenant: Tenant, server: Loopback, pets: str
) -> None:
    for tool, key in (("post_pets", "run:node"), ("get_pets", None)):
        given = {"id": "1", "name": "Mia"}
        async for _ in house.runtime(tenant).invoke("api", pets, tool, given, key="run:node"):
            pass
        assert server.asked[-1].headers.get("idempotency-key") == key


@pytest.mark.parametrize("given", [{}, {"id": None}, {"id": ".."}, {"id": ""}])
async def test_a_path_stays_the_path_that_was_described(
    house: ToolsHouse, tenant: Tenant, server: Loopback, pets: str, given: dict[str, Any]
) -> None:
    with pytest.raises(ToolParameterError) as caught:
        await call(house, tenant, server, "get_pets", **given)
    assert caught.value.where["field"] == "id"


async def test_answers_become_json_texts_and_files(house: ToolsHouse, tenant: Tenant, pets: str) -> None:
    runtime = house.runtime(tenant)
    assert await said(runtime, "api", pets, "get_pets", id="1") == [
        JsonMessage({"path": "/pets/1"}),
        TextMessage('{"path": "/pets/1"}'),
    ]
    assert await said(runtime, "api", pets, "get_plain") == [TextMessage("grüß")]
    assert await said(runtime, "api", pets, "get_picture") == [
        BlobMessage(data=b"\x89PNG\0", mime_type="image/png", filename="dot.png")
    ]
    (empty,) = await said(runtime, "api", pets, "get_empty")
    assert "Empty response" in str(empty)
    with pytest.raises(ToolError, match=r'status code 422 and \{"detail": "no such pet"\}'):
        await said(runtime, "api", pets, "get_refused")


@pytest.mark.parametrize(
    ("credentials", "header", "query"),
    [
        ({"auth_type": "none"}, None, []),
        ({"auth_type": "api_key_header", "api_key_header_prefix": "bearer"}, ("authorization", "Bearer k:1"), []),
        ({"auth_type": "api_key", "api_key_header_prefix": "basic"}, ("authorization", "Basic azox"), []),
        (
            {"auth_type": "api_key_header", "api_key_header": "X-Key", "api_key_header_prefix": "custom"},
            ("x-key", "k:1"),
            [],
        ),
        ({"auth_type": "api_key_query", "api_key_query_param": "token"}, None, [("token", "k:1")]),
    ],
)
async def test_calls_are_authorised(
    house: ToolsHouse,
    tenant: Tenant,
    server: Loopback,
    credentials: dict[str, Any],
    header: tuple[str, str] | None,
    query: list[tuple[str, str]],
) -> None:
    new = NewApiProvider(name="Pets", schema=described(server), credentials={**credentials, "api_key_value": "k:1"})
    await house.tools(tenant).apis.add(new, USER)
    asked = await call(house, tenant, server, "get_plain")
    assert asked.query == query
    if header is None:
        assert "authorization" not in asked.headers
    else:
        assert asked.headers[header[0]] == header[1]


async def test_a_described_api_is_kept_changed_and_forgotten(
    house: ToolsHouse, tenant: Tenant, server: Loopback
) -> None:
    apis = house.tools(tenant).apis
    secret = {"auth_type": "api_key_query", "api_key_value": "a-secret-of-ours"}
    added = await apis.add(NewApiProvider(name=" Pets ", schema=described(server), credentials=secret), USER)
    assert (added.name, added.schema_type) == ("Pets", "openapi")
    assert "a-secret" not in str(added)
    with pytest.raises(Conflict):
        await apis.add(NewApiProvider(name="Pets", schema=described(server)), USER)

    kept = {"auth_type": "api_key_query", "api_key_value": "[__HIDDEN__]"}
    changed = await apis.update(added.id, NewApiProvider(name="Animals", schema=described(server), credentials=kept))
    assert [item.name for item in await apis.list()] == ["Animals"]
    await said(house.runtime(tenant), "api", changed.id, "get_plain")
    assert server.asked[-1].query == [("key", "a-secret-of-ours")]

    stranger = house.tools(await house.tenant()).apis
    assert await stranger.list() == []
    for attempt in (stranger.get(added.id), stranger.remove("Animals")):
        with pytest.raises(ToolProviderNotFound):
            await attempt
    await apis.remove("Animals")
    assert await apis.list() == []


async def test_secrets_are_not_in_the_row(house: ToolsHouse, tenant: Tenant, server: Loopback) -> None:
    secret = {"auth_type": "api_key", "api_key_value": "a-secret-of-ours"}
    await house.tools(tenant).apis.add(NewApiProvider(name="Pets", schema=described(server), credentials=secret), USER)
    async with house.db.read() as conn:
        (row,) = (await conn.execute(tool_api_providers.select())).all()
    assert "a-secret-of-ours" not in str(tuple(row))


async def test_what_cannot_be_kept_is_refused(house: ToolsHouse, tenant: Tenant, server: Loopback) -> None:
    apis = house.tools(tenant).apis
    with pytest.raises(BadInput, match="name"):
        await apis.add(NewApiProvider(name=" ", schema=described(server)), USER)
    with pytest.raises(BadInput, match="api_key_value"):
        await apis.add(NewApiProvider(name="a", schema=described(server), credentials={"auth_type": "api_key"}), USER)
    with pytest.raises(InvalidApiSchema):
        await apis.add(NewApiProvider(name="a", schema="nothing"), USER)
    assert await apis.list() == []


async def test_a_description_is_fetched_and_private_addresses_are_not_called(
    house: ToolsHouse, tenant: Tenant, server: Loopback, pets: str
) -> None:
    apis = house.tools(tenant).apis
    assert await apis.fetch(f"{server.url}/plain") == "grüß"
    with pytest.raises(InvalidApiSchema, match="422"):
        await apis.fetch(f"{server.url}/refused")
    async with GuardedClient() as strict:
        guarded = ToolsHouse(house.db, house.registry, strict)
        count = len(server.asked)
        with pytest.raises(OutboundRefused):
            await said(guarded.runtime(tenant), "api", pets, "get_plain")
        assert len(server.asked) == count
