"""Carries requests by the vendor's client, signed for AWS where that is wanted."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from dify_kernel.errors import SettingsError, StoreUnavailable, VectorStoreError
from dify_kernel.families.search_engine_vectors import Answer

from dify_vdb_opensearch.settings import OpenSearchSettings

__all__ = ["OpenSearchEngine", "connect"]

SECONDS, RETRIES = 60, 3
CONNECTIONS = 10


class OpenSearchEngine:
    """One client with its pool of connections."""

    def __init__(self, vendor: Any, client: Any, name: str) -> None:
        self._vendor = vendor
        self._client = client
        self._name = name

    async def request(self, method: str, path: str, params: dict[str, str], body: bytes | None) -> Answer:
        headers = {}
        if body is not None:
            headers["content-type"] = "application/x-ndjson" if path.endswith("/_bulk") else "application/json"
        perform = self._client.transport.perform_request
        try:
            return 200, await perform(method, path, params=params, body=body, headers=headers)
        except self._vendor.SerializationError as exc:
            raise VectorStoreError(
                f"{self._name} answers what is no JSON: {' '.join(str(exc).split())[:100]}.",
                hint="Check OPENSEARCH_HOST and OPENSEARCH_PORT: another server may listen there.",
                setting="OPENSEARCH_HOST",
            ) from exc
        except (self._vendor.TransportError, OSError) as exc:
            status = getattr(exc, "status_code", None)
            if isinstance(status, int):
                return status, exc.info  # type: ignore[union-attr]
            raise StoreUnavailable(
                f"{self._name} does not answer: {type(exc).__name__}, {' '.join(str(exc).split())[:300]}.",
                hint="Check OPENSEARCH_HOST, OPENSEARCH_PORT, OPENSEARCH_SECURE, and that it runs.",
                setting="OPENSEARCH_HOST",
            ) from exc

    async def close(self) -> None:
        await self._client.close()


async def connect(settings: OpenSearchSettings, name: str) -> OpenSearchEngine:
    """An engine for the settings; sends nothing yet."""
    if not settings.host:
        raise SettingsError("OPENSEARCH_HOST is not set.", hint="Host of the server.", setting="OPENSEARCH_HOST")
    vendor = await asyncio.to_thread(importlib.import_module, "opensearchpy")
    options: dict[str, Any] = {}
    if settings.auth_method == "aws_managed_iam":
        options["http_auth"] = await _signer(settings, vendor)
        options["connection_class"] = vendor.AsyncHttpConnection
    elif settings.user:
        options["http_auth"] = (settings.user, settings.password.reveal())
    if settings.secure:
        options["verify_certs"] = settings.verify_certs
    client = vendor.AsyncOpenSearch(
        hosts=[{"host": settings.host, "port": settings.port}],
        use_ssl=settings.secure,
        timeout=SECONDS,
        max_retries=RETRIES,
        retry_on_timeout=True,
        retry_on_status=(502, 504),
        maxsize=CONNECTIONS,
        pool_maxsize=CONNECTIONS,
        **options,
    )
    return OpenSearchEngine(vendor, client, name)


async def _signer(settings: OpenSearchSettings, vendor: Any) -> Any:
    """What signs a request with the credentials that AWS's own library finds on this machine."""
    for variable, value in (("REGION", settings.aws_region), ("SERVICE", settings.aws_service)):
        if not value:
            raise SettingsError(
                f"OPENSEARCH_AWS_{variable} is not set.",
                hint="OPENSEARCH_AUTH_METHOD=aws_managed_iam needs a region and a service.",
                setting=f"OPENSEARCH_AWS_{variable}",
            )
    if settings.aws_service == "aoss":
        raise SettingsError(
            "OPENSEARCH_AWS_SERVICE is aoss: a serverless collection takes no ids and shows no write at once.",
            hint="Use a domain of Amazon OpenSearch Service (es), or another vector store.",
            setting="OPENSEARCH_AWS_SERVICE",
        )
    try:
        aws = await asyncio.to_thread(importlib.import_module, "botocore.session")
    except ImportError as exc:
        raise SettingsError(
            "OPENSEARCH_AUTH_METHOD=aws_managed_iam needs the library of AWS.",
            hint="pip install 'dify-vdb-opensearch[aws]'",
            setting="OPENSEARCH_AUTH_METHOD",
        ) from exc
    credentials = await asyncio.to_thread(lambda: aws.get_session().get_credentials())
    if credentials is None:
        raise SettingsError(
            "No credentials of AWS were found.",
            hint="Give this machine a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            setting="OPENSEARCH_AUTH_METHOD",
        )
    return vendor.AWSV4SignerAsyncAuth(credentials, settings.aws_region, settings.aws_service)
