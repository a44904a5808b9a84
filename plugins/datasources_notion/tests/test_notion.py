"""What the suite does not ask: waiting for a busy service, errors, ids from outside, and every kind of block."""

from __future__ import annotations

from typing import Any

import pytest
from dify_datasources_notion.blocks import Block, block_text, property_lines, title_of
from dify_datasources_notion.documents import NotionDocuments
from dify_datasources_notion.provider import NotionSources
from dify_datasources_notion.settings import NotionCredentials
from dify_kernel.contracts.datasource import DocumentRef, OnlineDocument
from dify_kernel.errors import DatasourceItemNotFound, DatasourceUnauthorized, DatasourceUnavailable
from dify_kernel.testing.loopback import Answer

from .notion_server import Notion, block, error, rich, uid

BEES = DocumentRef(workspace_id="workspace", page_id=uid(1))


def busy(seconds: str) -> Answer:
    """Told to come back after so many seconds."""
    return error(429, "rate_limited", "Slow down.", {"Retry-After": seconds})


@pytest.fixture
def documents(provider: NotionSources) -> OnlineDocument:
    (source,) = provider.datasources()
    assert isinstance(source, NotionDocuments)
    return source


async def test_a_busy_service_is_waited_for(
    documents: OnlineDocument, notion: Notion, credentials: NotionCredentials
) -> None:
    notion.server.queued += [busy("0")] * 3
    assert await documents.last_edited(BEES, credentials)
    assert len(notion.server.asked) == 4


async def test_a_service_that_stays_busy_is_told_as_something_for_later(
    documents: OnlineDocument, notion: Notion, credentials: NotionCredentials
) -> None:
    notion.server.answer = busy("3600")
    with pytest.raises(DatasourceUnavailable, match="status 429: Slow down"):
        await documents.read(BEES, credentials)
    assert len(notion.server.asked) == 1


async def test_a_service_that_is_down_is_no_refusal(
    provider: NotionSources, notion: Notion, credentials: NotionCredentials
) -> None:
    notion.server.answer = error(503, "service_unavailable", "Notion is unavailable.")
    with pytest.raises(DatasourceUnavailable):
        await provider.check(credentials)


async def test_a_refusal_while_reading_is_told(documents: OnlineDocument, wrong_credentials: NotionCredentials) -> None:
    with pytest.raises(DatasourceUnauthorized, match="API token is invalid"):
        await documents.read(BEES, wrong_credentials)


@pytest.mark.parametrize("page_id", ["../users/me", "", "x" * 40, "1/children"])
async def test_an_id_from_outside_cannot_change_the_path(
    documents: OnlineDocument, notion: Notion, credentials: NotionCredentials, page_id: str
) -> None:
    with pytest.raises(DatasourceItemNotFound):
        await documents.read(DocumentRef(workspace_id="w", page_id=page_id), credentials)
    assert notion.server.asked == []


def tree(*blocks: Any) -> str:
    return block_text([item if isinstance(item, Block) else Block(item) for item in blocks])


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ([block(1, "heading_2", "a"), block(2, "heading_3", "b")], "## a\n\n### b"),
        ([block(1, "numbered_list_item", "a"), block(2, "numbered_list_item", "b")], "1. a\n2. b"),
        ([block(1, "to_do", "a", checked=True), block(2, "to_do", "b")], "- [x] a\n\n- [ ] b"),
        ([block(1, "code", "a\n  b", language="python")], "```python\na\n  b\n```"),
        ([block(1, "quote", "a\nb")], "> a\n> b"),
        ([block(1, "divider"), block(2, "equation", expression="x")], "---\n\n$$x$$"),
        ([block(1, "bookmark", caption=rich("c"), url="https://a.test")], "c https://a.test"),
        ([block(1, "image", caption=rich("seen"), type="external")], "seen"),
        ([block(1, "paragraph", ""), block(2, "unsupported"), block(3, "paragraph", "x")], "x"),
        ([block(1, "paragraph", rich_text=rich("x", "https://a.test/"))], "[x](https://a.test/)"),
        ([block(1, "paragraph", rich_text=rich("x", "javascript:x"))], "x"),
        ([Block(block(1, "heading_1", "a"), [Block(block(2, "paragraph", "b"))])], "# a\nb"),
        (
            [Block(block(1, "column_list"), [Block(block(2, "column"), [Block(block(3, "paragraph", "in"))])])],
            "in",
        ),
        (
            [
                Block(
                    block(1, "table", has_column_header=True),
                    [
                        Block(block(2, "table_row", cells=[rich("A"), rich("B|C")])),
                        Block(block(3, "table_row", cells=[rich("1")])),
                    ],
                )
            ],
            "| A | B\\|C |\n| --- | --- |\n| 1 |  |",
        ),
        ([Block(block(1, "table"), [Block(block(2, "table_row", cells=[rich("1")]))])], "|  |\n| --- |\n| 1 |"),
    ],
)
def test_blocks_become_markdown(blocks: list[Any], text: str) -> None:
    assert tree(*blocks) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"type": "formula", "formula": {"type": "number", "number": 2}}, "P: 2"),
        ({"type": "rollup", "rollup": {"type": "array", "array": [{"type": "number", "number": 1.5}]}}, "P: 1.5"),
        ({"type": "unique_id", "unique_id": {"prefix": "B", "number": 7}}, "P: B-7"),
        ({"type": "date", "date": {"start": "2025-01-01", "end": "2025-01-02"}}, "P: 2025-01-01 to 2025-01-02"),
        ({"type": "people", "people": [{"name": "Ann"}, {"id": "x"}]}, "P: Ann"),
        ({"type": "status", "status": None}, None),
        ({"type": "relation", "relation": [{"id": "x"}]}, None),
        ({"type": "new_one", "new_one": {"a": 1}}, None),
    ],
)
def test_properties_become_lines(value: dict[str, Any], text: str | None) -> None:
    assert property_lines({"properties": {"P": value}}) == ([text] if text else [])


def test_a_page_without_a_title_has_a_name() -> None:
    assert title_of({"object": "page", "properties": {}}) == "Untitled"
