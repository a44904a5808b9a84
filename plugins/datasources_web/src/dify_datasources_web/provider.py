"""The provider `web`: one source, the crawler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from dify_kernel.contracts.datasource import Datasource, DatasourceProvider

from dify_datasources_web.crawler import Crawler

__all__ = ["NoCredentials", "WebSources"]


class NoCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing to fill in."""


class WebSources(DatasourceProvider):
    """Reads websites through the host's guarded client."""

    name = "web"
    label = "Web"
    Credentials = NoCredentials

    def datasources(self) -> Sequence[Datasource]:
        """The crawler."""
        return (Crawler(self.http),)

    async def check(self, credentials: Any) -> None:
        """There is nothing to check."""
