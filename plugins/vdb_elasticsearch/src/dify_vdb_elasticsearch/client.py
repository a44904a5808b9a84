"""Carries requests by the transport of the vendor's client, on which the client itself stands.

The client above it speaks to servers of its own major version and not to older ones. What is asked here is the same in
all of them, as plain JSON.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any
from urllib.parse import urlencode

from dify_kernel.errors import SettingsError, StoreUnavailable
from dify_kernel.families.search_engine_vectors import Answer

from dify_vdb_elasticsearch.settings import ElasticsearchSettings

__all__ = ["ElasticsearchEngine", "address_of", "connect"]

LONGEST, MOST_RETRIES = 600, 3
CONNECTIONS = 10


class ElasticsearchEngine:
    """One transport with its pool of connections."""

    def __init__(self, vendor: Any, transport: Any, name: str) -> None:
        self._vendor = vendor
        self._transport = transport
        self._name = name

    async def request(self, method: str, path: str, params: dict[str, str], body: bytes | None) -> Answer:
        headers = {"accept": "application/json"}
        if body is not None:
            bulk = path.endswith("/_bulk")
            headers["content-type"] = "application/x-ndjson" if bulk else "application/json"
        target = f"{path}?{urlencode(params)}" if params else path
        try:
            answer = await self._transport.perform_request(method, target, body=body, headers=headers)
        except (self._vendor.TransportError, OSError) as exc:
            raise StoreUnavailable(
                f"{self._name} does not answer: {type(exc).__name__}, {' '.join(str(exc).split())[:300]}.",
                hint="Check ELASTICSEARCH_HOST, ELASTICSEARCH_PORT, the certificates, and that it runs.",
                setting="ELASTICSEARCH_HOST",
            ) from exc
        return answer.meta.status, answer.body

    async def close(self) -> None:
        await self._transport.close()


def address_of(settings: ElasticsearchSettings) -> str:
    """The address of the cluster, or its cloud id; SettingsError when the cloud's is wanted and missing."""
    if settings.use_cloud:
        if not settings.cloud_url or not settings.api_key:
            missing = "ELASTICSEARCH_API_KEY" if settings.cloud_url else "ELASTICSEARCH_CLOUD_URL"
            raise SettingsError(
                f"{missing} is not set.", hint="ELASTICSEARCH_USE_CLOUD needs an address and a key.", setting=missing
            )
        return settings.cloud_url
    host = settings.host.rstrip("/")
    return f"{host if '://' in host else f'http://{host}'}:{settings.port}"


async def connect(settings: ElasticsearchSettings, name: str) -> ElasticsearchEngine:
    """An engine for the settings; sends nothing yet."""
    vendor = await asyncio.to_thread(importlib.import_module, "elastic_transport")
    tools = await asyncio.to_thread(importlib.import_module, "elastic_transport.client_utils")
    await asyncio.to_thread(importlib.import_module, "aiohttp")
    address = address_of(settings)
    try:
        if "://" not in address:
            cloud = tools.parse_cloud_id(address)
            address = f"https://{cloud.es_address[0]}:{cloud.es_address[1]}"
        node = tools.url_to_node_config(address, use_default_ports_for_scheme=True)
    except ValueError as exc:
        setting = "ELASTICSEARCH_CLOUD_URL" if settings.use_cloud else "ELASTICSEARCH_HOST"
        raise SettingsError(f"{setting} is no address: {exc}.", setting=setting) from None
    options: dict[str, Any] = {
        "headers": _credentials(settings, tools),
        "request_timeout": float(min(settings.request_timeout, LONGEST)),
        "connections_per_node": CONNECTIONS,
    }
    if node.scheme == "https":
        options.update(verify_certs=settings.verify_certs, ca_certs=settings.ca_certs or None)
    transport = vendor.AsyncTransport(
        [node.replace(**options)],
        node_class="aiohttp",
        max_retries=min(settings.max_retries, MOST_RETRIES),
        retry_on_status=(502, 504),
        retry_on_timeout=settings.retry_on_timeout,
        meta_header=False,
    )
    return ElasticsearchEngine(vendor, transport, name)


def _credentials(settings: ElasticsearchSettings, tools: Any) -> dict[str, str]:
    if settings.api_key:
        return {"authorization": f"ApiKey {settings.api_key.reveal()}"}
    if settings.username:
        return {"authorization": tools.basic_auth_to_header((settings.username, settings.password.reveal()))}
    return {}
