"""The store: the family's, with OpenSearch's dialect and client."""

from __future__ import annotations

from typing import ClassVar

from dify_kernel.contracts.vector import VectorCapabilities
from dify_kernel.families.search_engine_vectors import Dialect, Engine, SearchEngineStore
from dify_kernel.settings import shown_address

from dify_vdb_opensearch.client import connect
from dify_vdb_opensearch.dialect import OpenSearchDialect
from dify_vdb_opensearch.settings import OpenSearchSettings

__all__ = ["OpenSearchVectorStore"]


class OpenSearchVectorStore(SearchEngineStore):
    """Records in OpenSearch; scores are the server's cosines, in single precision."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, max_dimension=16_000)
    dialect: Dialect = OpenSearchDialect()
    setting = "OPENSEARCH_HOST"
    supported = ">=2.9"

    def __init__(self, settings: OpenSearchSettings) -> None:
        super().__init__()
        self._settings = settings
        signed = settings.auth_method == "aws_managed_iam"
        self.credentials = "OPENSEARCH_AUTH_METHOD" if signed else "OPENSEARCH_USER and OPENSEARCH_PASSWORD"
        self.engine = f"OpenSearch at {shown_address(settings.host)}:{settings.port}"

    async def connect(self) -> Engine:
        return await connect(self._settings, self.engine)
