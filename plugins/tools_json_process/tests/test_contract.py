"""The JSON tools keep the tool contract, and do what they say."""

from __future__ import annotations

from typing import Any

import pytest
from dify_kernel.contracts.tool import TextMessage
from dify_kernel.errors import ToolError
from dify_kernel.testing.fakes import FakeHttp
from dify_kernel.testing.tool import ToolExample, ToolProviderSuite
from dify_tools_json_process.tools import JsonTools, NoCredentials

PETS = '{"pets": [{"name": "Mia", "age": 3}, {"name": "Bo", "age": null}], "größe": true}'


def example(tool: str, answer: str, content: str = PETS, **rest: Any) -> ToolExample:
    return ToolExample(tool=tool, parameters={"content": content, **rest}, messages=[TextMessage(answer)])


def wrong(tool: str, error: str, content: Any = PETS, **rest: Any) -> ToolExample:
    return ToolExample(tool=tool, parameters={"content": content, **rest}, error=error)


class TestContract(ToolProviderSuite):
    examples = [
        example("parse", "Mia", json_filter="$.pets[0].name"),
        example("parse", "True", json_filter="$.'größe'"),
        example("parse", "None", json_filter="pets[1].age"),
        example("parse", "", json_filter="nothing.here"),
        example("parse", '["Mia", "Bo"]', json_filter="$.pets[*].name"),
        example("parse", '{"a": "\\u00e9"}', content='{"x": {"a": "é"}}', json_filter="x"),
        example("parse", '{"a": "é"}', content='{"x": {"a": "é"}}', json_filter="x", ensure_ascii=False),
        example("json_delete", '{"b": 2}', content='{"a": 1, "b": 2}', query="$.a"),
        example("json_delete", '{"a": [{}, {}]}', content='{"a": [{"x": 1}, {"x": 2}]}', query="$.a[*].x"),
        example("json_insert", '{"a": [1, "2"]}', content='{"a": [1]}', query="$.a", new_value="2"),
        example("json_insert", '{"a": [2, 1]}', '{"a": [1]}', query="a", new_value="2", index=0, value_decode=True),
        example(
            "json_insert",
            '{"a": {"x": 1, "y": 2}}',
            '{"a": {"x": 1}}',
            query="a",
            new_value='{"y": 2}',
            value_decode=True,
        ),
        example("json_insert", '{"a": "2"}', content='{"a": 1}', query="a", new_value="2"),
        example("json_insert", '{"a": 1}', content='{"a": 1}', query="b.c", new_value="2", create_path="False"),
        example(
            "json_insert", '{"a": 1, "b": {"c": "2"}}', '{"a": 1}', query="$.b.c", new_value="2", create_path="True"
        ),
        example(
            "json_replace", '{"x": 1, "b": 2}', '{"a": 1, "b": 2}', query="a", replace_value="x", replace_model="key"
        ),
        example("json_replace", '{"a": "x"}', '{"a": 1}', query="a", replace_value="x", replace_model="value"),
        example(
            "json_replace",
            '{"a": [2]}',
            '{"a": 1}',
            query="a",
            replace_value="[2]",
            replace_model="value",
            value_decode=True,
        ),
        example(
            "json_replace",
            '{"a": "big dog"}',
            '{"a": "big cat"}',
            query="a",
            replace_pattern="cat",
            replace_value="dog",
        ),
        wrong("parse", "`content` is no JSON", content="{", json_filter="a"),
        wrong("parse", "`json_filter` is no JSONPath", json_filter="$.["),
        wrong("json_insert", "`new_value` is no JSON", query="a", new_value="{", value_decode=True),
        wrong("json_insert", "`new_value` is no object", content='{"a": {}}', query="a", new_value="1"),
        wrong("json_insert", "`index`", content='{"a": []}', query="a", new_value="1", index="first"),
        wrong("json_replace", "`replace_pattern`", query="pets", replace_value="x"),
        wrong("json_replace", "`replace_model`", query="pets", replace_value="x", replace_model="all"),
    ]

    @pytest.fixture
    def tools(self) -> JsonTools:
        return JsonTools(FakeHttp())

    @pytest.fixture
    def credentials(self) -> NoCredentials:
        return NoCredentials()


@pytest.mark.parametrize(("content", "path"), [("no JSON", "a"), ("{}", "$.[")])
async def test_what_cannot_be_read_is_an_error_and_no_answer(content: str, path: str) -> None:
    with pytest.raises(ToolError):
        await anext(JsonTools(FakeHttp()).invoke("parse", {"content": content, "json_filter": path}, NoCredentials()))
