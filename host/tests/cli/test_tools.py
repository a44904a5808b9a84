"""`dify tools` lists, adds and calls tools on a data folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dify_kernel.testing.loopback import json_answer, loopback

from ..tools.mcp_server import McpServer
from .conftest import Dify


def answer_json(asked):
    return json_answer(200, {"path": asked.path, "key": asked.query})


def test_installed_tools_are_listed_shown_and_called(dify: Dify) -> None:
    listed = {item["id"]: item for item in dify("tools", "list", "--json").result["providers"]}
    assert (listed["time"]["type"], listed["time"]["status"]) == ("builtin", "ready")
    shown = dify("tools", "show", "time", "--json").result
    assert "current_time" in [tool["name"] for tool in shown["tools"]]
    assert "strftime" in dify("tools", "show", "builtin:langgenius/time/time").out
    (plugin,) = dify("plugins", "show", "tools:time", "--json").result["plugins"]
    assert plugin["credentials"] == []
    done = dify("tools", "call", "time/weekday", "-p", "year=2024", "-p", "month=2", "-p", "day=29", "--json")
    assert done.result == {"messages": [{"type": "text", "text": "Thursday"}]}
    assert dify("tools", "call", "time/weekday", "-p", "year=2024", "-p", "month=2", "-p", "day=29").out == "Thursday\n"


@pytest.mark.parametrize(
    ("name", "code"),
    [("time", "invalid_param"), ("gone/x", "tool_provider_not_found"), ("time/dance", "tool_not_found")],
)
def test_a_tool_that_does_not_exist_is_told(dify: Dify, name: str, code: str) -> None:
    done = dify("tools", "call", name, "--json")
    assert (done.status, done.result["code"]) == (1, code)


def test_an_api_and_an_mcp_server_are_added_and_called(
    dify: Dify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSRF_ALLOWED_HOSTS", "127.0.0.1")
    with loopback(answer_json) as server, loopback(McpServer(key="k")) as sums:
        described = {
            "openapi": "3.0.0",
            "info": {"title": "Pets"},
            "servers": [{"url": server.url}],
            "paths": {"/pets/{id}": {"get": {"operationId": "pet", "parameters": [{"name": "id", "in": "path"}]}}},
        }
        file = tmp_path / "pets.json"
        file.write_text(json.dumps(described))
        key = ("-c", "auth_type=api_key_query", "-c", "api_key_value=secret")
        added = dify("tools", "add", "api", str(file), *key, "--json").result
        assert (added["name"], added["tools"]) == ("Pets", ["pet"])
        answer = json.dumps({"path": "/pets/7", "key": [["key", "secret"]]})
        messages = dify("tools", "call", "Pets/pet", "-p", "id=7", "--json").result["messages"]
        assert messages == [{"type": "json", "data": json.loads(answer)}, {"type": "text", "text": answer}]

        refused = dify("tools", "add", "mcp", sums.url, "--id", "sums", "--json")
        assert (refused.status, refused.result["code"]) == (1, "tool_error")
        header = ("-H", "Authorization=Bearer k")
        assert "add" in dify("tools", "add", "mcp", sums.url, "--id", "sums", *header, "--json").result["tools"]
        assert dify("tools", "call", "mcp:sums/add", "-p", "a=1", "-p", "b=2").out == "It is 3.\n"
    assert {item["type"] for item in dify("tools", "list", "--json").result["providers"]} == {"builtin", "api", "mcp"}
