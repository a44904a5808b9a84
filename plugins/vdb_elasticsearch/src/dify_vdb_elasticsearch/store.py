"""The store: the family's, with Elasticsearch's dialect and transport."""

from __future__ import annotations

from typing import ClassVar

from dify_kernel.contracts.vector import VectorCapabilities
from dify_kernel.families.search_engine_vectors import Dialect, Engine, SearchEngineStore

from dify_vdb_elasticsearch.client import address_of, connect
from dify_vdb_elasticsearch.dialect import ElasticsearchDialect
from dify_vdb_elasticsearch.settings import ElasticsearchSettings

__all__ = ["ElasticsearchVectorStore"]


class ElasticsearchVectorStore(SearchEngineStore):
    """Records in Elasticsearch; scores are the server's cosines, in single precision."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, max_dimension=4096)
    dialect: Dialect = ElasticsearchDialect()
    supported = ">=8.0"

    def __init__(self, settings: ElasticsearchSettings) -> None:
        super().__init__()
        self._settings = settings
        cloud = settings.use_cloud
        self.setting = "ELASTICSEARCH_CLOUD_URL" if cloud else "ELASTICSEARCH_HOST"
        keyed = "ELASTICSEARCH_API_KEY"
        self.credentials = keyed if settings.api_key else "ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD"
        at = address_of(settings).rpartition("@")[2]  # without credentials
        self.engine = "Elasticsearch in the cloud" if cloud else f"Elasticsearch at {at}"

    async def connect(self) -> Engine:
        return await connect(self._settings, self.engine)
