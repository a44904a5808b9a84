"""The provider `notion_datasource`: one source, the documents of a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dify_kernel.contracts.datasource import Datasource, DatasourceProvider
from dify_kernel.contracts.datasource_http import checking

from dify_datasources_notion.api import NotionApi
from dify_datasources_notion.documents import NotionDocuments
from dify_datasources_notion.settings import NotionCredentials

__all__ = ["NotionSources"]


class NotionSources(DatasourceProvider):
    """Reads by an internal integration."""

    name = "notion_datasource"
    label = "Notion"
    Credentials = NotionCredentials

    def datasources(self) -> Sequence[Datasource]:
        """The documents."""
        return (NotionDocuments(self.http),)

    async def check(self, credentials: Any) -> None:
        """Ask Notion who the integration is."""
        with checking():
            await NotionApi(self.http, credentials).bot()
