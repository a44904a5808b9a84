"""The store: the family's, with Lindorm's vectors and the client of OpenSearch."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any, ClassVar

from dify_kernel.contracts.vector import VectorCapabilities
from dify_kernel.errors import SettingsError, StoreUnavailable, VectorStoreError
from dify_kernel.families.search_engine_queries import Json
from dify_kernel.families.search_engine_vectors import Answer, Engine, SearchEngineStore
from dify_kernel.settings import shown_address

from dify_vdb_lindorm.settings import LindormSettings

__all__ = ["LindormVectorStore"]

#: Vectors can be kept apart by routing in an index of several shards only.
SHARDS = 4


class LindormDialect:
    """`knn_vector` of the vector engine. It runs no script: few records are read and compared here."""

    cosine_scores = False
    vectors_in_fields = False
    exact_up_to = 2_000

    def __init__(self, settings: LindormSettings) -> None:
        self._method = {"engine": "lvector", "name": settings.index_type, "space_type": settings.distance_type}
        routed = {"number_of_shards": SHARDS, "knn_routing": True} if settings.using_ugc else {}
        self.settings: Json = {"knn": True, **routed}

    def field(self, dimension: int) -> Json:
        return {"type": "knn_vector", "dimension": dimension, "method": self._method}

    def exact(self, vector: list[float], query: Json) -> None:
        return None

    def near(self, vector: list[float], top_k: int, query: Json) -> Json:
        near = {"vector": {"vector": vector, "k": top_k, "filter": query}}
        return {"query": {"knn": near}, "ext": {"lvector": {"filter_type": "pre_filter"}}}


class LindormEngine:
    """One client with its pool of connections."""

    def __init__(self, vendor: Any, client: Any, name: str, query_timeout: float) -> None:
        self._vendor = vendor
        self._client = client
        self._name = name
        self._query_timeout = query_timeout

    async def request(self, method: str, path: str, params: dict[str, str], body: bytes | None) -> Answer:
        headers = {}
        if body is not None:
            headers["content-type"] = "application/x-ndjson" if path.endswith("/_bulk") else "application/json"
        seconds = self._query_timeout if path.endswith("/_search") else None
        perform = self._client.transport.perform_request
        try:
            return 200, await perform(method, path, params=params, body=body, headers=headers, timeout=seconds)
        except self._vendor.SerializationError as exc:
            raise VectorStoreError(
                f"{self._name} answers what is no JSON: {' '.join(str(exc).split())[:100]}.",
                hint="Check LINDORM_URL: another server may listen there.",
                setting="LINDORM_URL",
            ) from exc
        except (self._vendor.TransportError, OSError) as exc:
            status = getattr(exc, "status_code", None)
            if isinstance(status, int):
                return status, exc.info  # type: ignore[union-attr]
            message = f"{self._name} does not answer: {type(exc).__name__}, {' '.join(str(exc).split())[:300]}."
            hint = "Check LINDORM_URL, LINDORM_QUERY_TIMEOUT, and that it runs."
            raise StoreUnavailable(message, hint=hint, setting="LINDORM_URL") from exc

    async def close(self) -> None:
        await self._client.close()


class LindormVectorStore(SearchEngineStore):
    """Records in Lindorm."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, max_dimension=4096)
    setting = "LINDORM_URL"
    credentials = "LINDORM_USERNAME and LINDORM_PASSWORD"

    def __init__(self, settings: LindormSettings) -> None:
        super().__init__()
        self._settings = settings
        self.dialect = LindormDialect(settings)
        self.engine = f"Lindorm at {shown_address(settings.url)}"

    async def connect(self) -> Engine:
        settings = self._settings
        if not settings.url:
            raise SettingsError("LINDORM_URL is not set.", hint="Address of the search engine.", setting="LINDORM_URL")
        vendor = await asyncio.to_thread(importlib.import_module, "opensearchpy")
        key = (settings.username, settings.password.reveal()) if settings.username else None
        retries = {"max_retries": 3, "retry_on_status": (502, 504), "retry_on_timeout": False}
        try:
            client = vendor.AsyncOpenSearch([settings.url], http_auth=key, timeout=60, maxsize=10, **retries)
        except (TypeError, ValueError) as exc:
            raise SettingsError(
                f"LINDORM_URL is no address: {shown_address(settings.url)}.",
                hint="Write it as http://HOST:PORT.",
                setting="LINDORM_URL",
            ) from exc
        return LindormEngine(vendor, client, self.engine, settings.query_timeout)
