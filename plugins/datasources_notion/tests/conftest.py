"""A workspace of Notion on loopback, and the provider over a real HTTP client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from dify_datasources_notion.provider import NotionSources
from dify_datasources_notion.settings import NotionCredentials
from dify_kernel.settings import Secret
from dify_kernel.testing.plain_http import PlainHttpClient

from .notion_server import KEY, Notion, block, notion_server, page, rich, uid

EDITED = "2025-03-01T10:00:00.000Z"


@pytest.fixture
def notion() -> Iterator[Notion]:
    """Three pages and a database; one more page is in the trash."""
    made = Notion()
    stock = {"type": "database_id", "database_id": uid(4)}
    hive = {
        "Weight": {"type": "number", "number": 3.0},
        "Kind": {"type": "select", "select": {"name": "brood"}},
        "Seen": {"type": "date", "date": {"start": "2025-01-01", "end": None}},
        "Done": {"type": "checkbox", "checkbox": True},
        "Tags": {"type": "multi_select", "multi_select": [{"name": "a"}, {"name": "b"}]},
        "Empty": {"type": "url", "url": None},
    }
    database = {
        "object": "database",
        "id": uid(4),
        "title": rich("Hives"),
        "last_edited_time": EDITED,
        "archived": False,
        "parent": {"type": "page_id", "page_id": uid(1)},
    }
    rows = [page(5, "North", EDITED, stock, **hive), page(6, "South", EDITED, stock), page(7, "West", EDITED, stock)]
    made.shared = [
        page(1, "Bees", EDITED),
        page(2, "Ants", "2025-03-02T10:00:00.000Z", {"type": "page_id", "page_id": uid(1)}),
        database,
        {**page(3, "Wasps", EDITED), "in_trash": True},
    ]
    made.rows[uid(4)] = rows
    made.put(
        1,
        block(11, "heading_1", "All of them"),
        block(12, "paragraph", "Bees dance."),
        {**block(13, "bulleted_list_item", "queen"), "has_children": True},
        block(14, "bulleted_list_item", "worker"),
        block(15, "child_page", title="Ants") | {"has_children": True},
    )
    made.put(13, block(16, "paragraph", "lays eggs"))
    made.put(2, block(21, "paragraph", "Ants march."))
    with notion_server(made):
        yield made


@pytest.fixture
async def provider(notion: Notion) -> AsyncIterator[NotionSources]:
    async with PlainHttpClient() as http:
        yield NotionSources(http)


@pytest.fixture
def credentials(notion: Notion) -> NotionCredentials:
    return NotionCredentials(integration_secret=Secret(KEY), base_url=notion.server.url)


@pytest.fixture
def wrong_credentials(notion: Notion) -> NotionCredentials:
    return NotionCredentials(integration_secret=Secret("secret_wrong"), base_url=notion.server.url)
