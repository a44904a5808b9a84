"""The store: the family's, with this service's vectors and the transport of Elasticsearch's client."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any, ClassVar
from urllib.parse import urlencode

import msgspec
from dify_kernel.contracts.vector import EngineVersion, VectorCapabilities
from dify_kernel.errors import SettingsError, StoreUnavailable
from dify_kernel.families.search_engine_queries import Json
from dify_kernel.families.search_engine_vectors import Answer, Dialect, Engine, SearchEngineStore

from dify_vdb_huawei_cloud.settings import HuaweiCloudSettings

__all__ = ["HuaweiCloudVectorStore"]


class HuaweiCloudDialect:
    """A `vector` field with a graph. What its scores mean is not documented: they come from the stored vectors."""

    settings: Json = {"vector": True}
    cosine_scores = False
    vectors_in_fields = False
    exact_up_to = 10_000

    def field(self, dimension: int) -> Json:
        graph = {"indexing": True, "algorithm": "GRAPH", "metric": "cosine", "neighbors": 32, "efc": 128}
        return {"type": "vector", "dimension": dimension, **graph}

    def exact(self, vector: list[float], query: Json) -> Json:
        params = {"field": "vector", "vector": vector, "metric": "cosine"}
        script = {"source": "vector_score", "lang": "vector", "params": params}
        return {"query": {"script_score": {"query": query, "script": script}}}

    def near(self, vector: list[float], top_k: int, query: Json) -> Json:
        return {"query": {"vector": {"vector": {"vector": vector, "topk": top_k, "filter": query}}}}


class HuaweiCloudEngine:
    """One transport with its pools of connections. Nodes show certificates that nobody can check."""

    def __init__(self, vendor: Any, transport: Any, name: str) -> None:
        self._vendor = vendor
        self._transport = transport
        self._name = name

    async def request(self, method: str, path: str, params: dict[str, str], body: bytes | None) -> Answer:
        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/x-ndjson" if path.endswith("/_bulk") else "application/json"
        target = f"{path}?{urlencode(params)}" if params else path
        try:
            answer = await self._transport.perform_request(method, target, body=body, headers=headers)
        except (self._vendor.TransportError, OSError) as exc:
            message = f"{self._name} does not answer: {type(exc).__name__}, {' '.join(str(exc).split())[:300]}."
            hint = "Check HUAWEI_CLOUD_HOSTS and that it runs."
            raise StoreUnavailable(message, hint=hint, setting="HUAWEI_CLOUD_HOSTS") from exc
        return answer.meta.status, answer.body

    async def close(self) -> None:
        await self._transport.close()


class HuaweiCloudVectorStore(SearchEngineStore):
    """Records in the Cloud Search Service."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, max_dimension=4096)
    dialect: Dialect = HuaweiCloudDialect()
    setting = "HUAWEI_CLOUD_HOSTS"
    credentials = "HUAWEI_CLOUD_USER and HUAWEI_CLOUD_PASSWORD"
    #: A vector query takes a filter from this Elasticsearch on, and in clusters of OpenSearch from that one on.
    supported = ">=7.10.2,<8"
    supported_opensearch: ClassVar[str] = ">=2.19,<4"

    def __init__(self, settings: HuaweiCloudSettings) -> None:
        super().__init__()
        self._settings = settings
        hosts = [host.strip() for host in (settings.hosts or "http://localhost:9200").split(",")]
        self._hosts = [host if "://" in host else f"http://{host}" for host in hosts]
        self.engine = f"Huawei Cloud at {', '.join(host.rpartition('@')[2] for host in self._hosts)}"

    async def version(self) -> EngineVersion | None:
        engine = await super().version()
        if engine is None:
            return None
        fork = engine.release.partition(".")[0] in ("1", "2", "3")
        supported = self.supported_opensearch if fork else self.supported
        return msgspec.structs.replace(engine, name="Huawei Cloud", supported=supported)

    async def connect(self) -> Engine:
        vendor = await asyncio.to_thread(importlib.import_module, "elastic_transport")
        tools = await asyncio.to_thread(importlib.import_module, "elastic_transport.client_utils")
        settings = self._settings
        options: dict[str, Any] = {"request_timeout": 60.0, "connections_per_node": 10}
        if settings.user:
            key = tools.basic_auth_to_header((settings.user, settings.password.reveal()))
            options["headers"] = {"authorization": key}
        nodes = []
        for host in self._hosts:
            try:
                node = tools.url_to_node_config(host, use_default_ports_for_scheme=True)
            except ValueError as exc:
                raise SettingsError(f"HUAWEI_CLOUD_HOSTS is no address: {exc}.", setting=self.setting) from None
            unchecked = {"verify_certs": False, "ssl_show_warn": False} if node.scheme == "https" else {}
            nodes.append(node.replace(**options, **unchecked))
        retries: dict[str, Any] = {"max_retries": 3, "retry_on_status": (502, 504), "retry_on_timeout": True}
        transport = vendor.AsyncTransport(nodes, node_class="aiohttp", meta_header=False, **retries)
        return HuaweiCloudEngine(vendor, transport, self.engine)
