"""Notion's pages and databases as online documents."""

from __future__ import annotations

from typing import Any, Final

from dify_kernel.contracts.datasource import (
    DocumentContent,
    DocumentInfo,
    DocumentRef,
    DocumentWorkspace,
    OnlineDocument,
)
from dify_kernel.contracts.http import HttpClient
from dify_kernel.errors import DatasourceError, DatasourceItemNotFound

from dify_datasources_notion.api import NotionApi
from dify_datasources_notion.blocks import Block, block_text, property_lines, title_of

__all__ = ["NotionDocuments"]

_DEEPEST: Final = 20
_MOST_BLOCKS: Final = 20_000
_PARENTS: Final = ("page_id", "database_id", "block_id")
#: Pages inside a page are documents of their own.
_OTHERS: Final = ("child_page", "child_database")


class NotionDocuments(OnlineDocument):
    """What people share with the integration."""

    name = "notion_datasource"
    label = "Notion"
    description = "Pages and databases of Notion that are shared with the integration."

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def workspaces(self, parameters: Any, credentials: Any) -> list[DocumentWorkspace]:
        """The one workspace of the integration, with everything that search finds."""
        api = NotionApi(self._http, credentials)
        bot = (await api.bot()).get("bot") or {}
        pages = {item.page_id: item async for found in api.found() if (item := _info(found))}
        return [
            DocumentWorkspace(
                workspace_id=str(bot.get("workspace_id") or "workspace"),
                workspace_name=str(bot.get("workspace_name") or ""),
                pages=list(pages.values()),
            )
        ]

    async def read(self, ref: DocumentRef, credentials: Any) -> DocumentContent:
        """A page: its blocks. A database: its rows as `name: value` lines, each a paragraph."""
        api = NotionApi(self._http, credentials)
        found = await self._item(api, ref)
        if ref.type == "database":
            rows = [
                "\n".join(property_lines(row)) async for row in api.rows(ref.page_id) if row.get("object") == "page"
            ]
            content = "\n\n".join(row for row in rows if row)
        else:
            content = block_text(await _Tree(api).below(ref.page_id))
        return DocumentContent(
            page_id=ref.page_id,
            content=content,
            title=title_of(found),
            last_edited_time=str(found.get("last_edited_time") or ""),
        )

    async def last_edited(self, ref: DocumentRef, credentials: Any) -> str:
        """What Notion says of the page; of a database, its own time and not that of its rows."""
        found = await self._item(NotionApi(self._http, credentials), ref)
        return str(found.get("last_edited_time") or "")

    async def _item(self, api: NotionApi, ref: DocumentRef) -> dict[str, Any]:
        found = await (api.database(ref.page_id) if ref.type == "database" else api.page(ref.page_id))
        if found.get("archived") or found.get("in_trash"):
            raise DatasourceItemNotFound(f"The {ref.type} is in Notion's trash.", hint="Restore it.", page=ref.page_id)
        return found


class _Tree:
    """The blocks of one page, read level by level."""

    def __init__(self, api: NotionApi) -> None:
        self._api, self._read = api, 0

    async def below(self, block_id: str, depth: int = 0) -> list[Block]:
        """The blocks below one; of those deeper than 20 levels none. DatasourceError for over 20,000."""
        blocks = []
        async for data in self._api.children(block_id):
            self._read += 1
            if self._read > _MOST_BLOCKS:
                raise DatasourceError(f"The page has over {_MOST_BLOCKS} blocks.", hint="Split it.")
            nested = data.get("has_children") and data.get("type") not in _OTHERS and depth < _DEEPEST
            children = await self.below(str(data.get("id")), depth + 1) if nested else []
            blocks.append(Block(data, children))
        return blocks


def _info(found: dict[str, Any]) -> DocumentInfo | None:
    """A page or database of the search; None for anything else and for what is in the trash."""
    kind = found.get("object")
    if kind not in ("page", "database") or found.get("archived") or found.get("in_trash"):
        return None
    parent = found.get("parent") or {}
    parent_id = next((str(parent[name]) for name in _PARENTS if parent.get(name)), "root")
    icon = found.get("icon")
    return DocumentInfo(
        page_id=str(found.get("id")),
        page_name=title_of(found),
        type="database" if kind == "database" else "page",
        last_edited_time=str(found.get("last_edited_time") or ""),
        parent_id=parent_id,
        page_icon=icon if isinstance(icon, dict) else None,
    )
