"""The provider `jinareader`: one source, the Reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from dify_kernel.contracts.datasource import Datasource, DatasourceProvider
from dify_kernel.contracts.datasource_http import checking

from dify_datasources_jina.api import JinaApi
from dify_datasources_jina.reader import JinaReader
from dify_datasources_jina.settings import JinaCredentials

__all__ = ["JinaSources"]

_SOMEWHERE: Final = "https://example.com"


class JinaSources(DatasourceProvider):
    """Reads with a key of Jina AI."""

    name = "jinareader"
    label = "Jina Reader"
    Credentials = JinaCredentials
    #: Seconds between two questions about a crawl.
    pause: ClassVar[float] = 2.0

    def datasources(self) -> Sequence[Datasource]:
        """The Reader."""
        return (JinaReader(self.http, self.pause),)

    async def check(self, credentials: Any) -> None:
        """Read a page that is small: nothing else says whether a key is good."""
        with checking():
            await JinaApi(self.http, credentials).check(_SOMEWHERE)
