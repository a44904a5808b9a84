"""Speaks to a server: its REST interface for collections and tenants, its gRPC one for everything within."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from typing import Any

import msgspec
from dify_kernel.contracts.vector import MAX_METADATA_BYTES, MAX_TEXT_BYTES
from dify_kernel.errors import InvalidQuery, StoreUnavailable

from dify_vdb_weaviate.faults import of_code, of_status, silent
from dify_vdb_weaviate.messages import METHODS, load
from dify_vdb_weaviate.settings import WeaviateSettings

__all__ = ["Client"]

SECONDS = 60.0
ATTEMPTS = 3
MESSAGE = 10 * 1024 * 1024
"""The longest message of a server that does not say it."""
SPARE = 64 * 1024
"""Room in a message for all that is not counted."""
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class Client:
    """The connections to one server. Make it in the event loop that uses it."""

    def __init__(self, settings: WeaviateSettings) -> None:
        httpx, grpc = importlib.import_module("httpx"), importlib.import_module("grpc")
        self._places = settings.places()
        self._grpc: Any = grpc
        self._httpx: Any = httpx
        key = settings.api_key.reveal()
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._rest = httpx.AsyncClient(
            base_url=f"{self._places.rest}/v1/", headers=headers, timeout=SECONDS, trust_env=False
        )
        self._channel: Any = (
            grpc.aio.secure_channel(self._places.grpc, grpc.ssl_channel_credentials(), options=OPTIONS)
            if self._places.secure
            else grpc.aio.insecure_channel(self._places.grpc, options=OPTIONS)
        )
        self._messages: Mapping[str, Any] = load()
        self._calls = {name: self._method(name, *messages) for name, messages in METHODS.items()}
        self._closed = False
        self.message = MESSAGE - SPARE

    async def greet(self) -> str:
        """The server's version, when it answers and takes the key; how long a message may be is known from then on."""
        meta = await self._asked("GET", "meta") or {}
        longest = meta.get("grpcMaxMessageSize")
        if isinstance(longest, int) and longest > 2 * SPARE:
            self.message = longest - SPARE
        return str(meta.get("version", ""))

    async def close(self) -> None:
        """Close the connections; what is under way fails with StoreUnavailable."""
        self._closed = True
        await self._channel.close()
        await self._rest.aclose()

    def rows(self, *, dimension: int = 0, text: bool = True) -> int:
        """How many records of the longest kind fit into an answer, with or without texts and vectors."""
        longest = MAX_METADATA_BYTES + 4 * dimension + 1024 + (MAX_TEXT_BYTES if text else 0)
        return max(1, self.message // longest)

    # -- collections and tenants -----------------------------------------------------------------------------------

    async def create(self, body: dict[str, Any]) -> bool:
        """Make a collection; False when the server refused, as it does for one that exists."""
        return await self._asked("POST", "schema", body, absent=(422,)) is not None

    async def find(self, name: str) -> dict[str, Any] | None:
        """A collection by name."""
        return await self._asked("GET", f"schema/{name}", absent=(404,))

    async def drop(self, name: str) -> None:
        """Remove a collection with its tenants; a missing one is harmless."""
        refused = await self._asked("DELETE", f"schema/{name}", absent=(400, 404)) is None
        if refused and await self.find(name) is not None:
            raise InvalidQuery(f"Weaviate at {self._places.rest} does not remove collection {name}.")

    async def has(self, name: str, tenant: str) -> bool:
        """Whether a collection and its tenant are there."""
        return await self._asked("GET", f"schema/{name}/tenants/{tenant}", absent=(404, 422)) is not None

    async def forget(self, name: str, tenant: str) -> None:
        """Remove a tenant with its records; a missing one is harmless, and so is a missing collection."""
        refused = await self._asked("DELETE", f"schema/{name}/tenants", [tenant], absent=(404, 422)) is None
        if refused and await self.has(name, tenant):
            raise InvalidQuery(f"Weaviate at {self._places.rest} does not remove tenant {tenant} of {name}.")

    async def _asked(
        self, method: str, path: str, body: Any = None, *, absent: tuple[int, ...] = ()
    ) -> dict[str, Any] | None:
        """Send a request and repeat it when the connection broke: each may be. None for a status in `absent`."""
        content = None if body is None else msgspec.json.encode(body)
        for attempt in range(ATTEMPTS):
            try:
                response = await self._rest.request(
                    method, path, content=content, headers={"Content-Type": "application/json"}
                )
                break
            except (self._httpx.TransportError, RuntimeError) as exc:  # RuntimeError: the client was closed
                broken = isinstance(exc, self._httpx.NetworkError | self._httpx.RemoteProtocolError)
                if not broken or self._closed or attempt == ATTEMPTS - 1:
                    raise silent(
                        self._places.rest, "WEAVIATE_ENDPOINT", f"{type(exc).__name__} {exc}".rstrip()
                    ) from exc
                await asyncio.sleep(0.1 * (attempt + 1))
        if response.status_code in absent:
            return None
        if response.status_code >= 300:
            raise of_status(self._places.rest, response.status_code, response.text)
        try:
            answer = msgspec.json.decode(response.content) if response.content else {}
        except msgspec.DecodeError as exc:
            raise of_status(self._places.rest, response.status_code, response.text) from exc
        return answer if isinstance(answer, dict) else {}

    # -- what is within --------------------------------------------------------------------------------------------

    def message_of(self, name: str, fields: dict[str, Any]) -> Any:
        """A message to send, which knows how long it is."""
        return self._messages[name](**fields)

    async def call(self, method: str, fields: dict[str, Any]) -> Any:
        """Call the service and repeat it when the connection broke: each of its calls may be."""
        request = self.message_of(METHODS[method][0], fields)
        for attempt in range(ATTEMPTS):
            try:
                return await self._calls[method](request, metadata=self._metadata, timeout=SECONDS)
            except self._grpc.aio.UsageError as exc:  # the channel was closed
                raise silent(self._places.grpc, "WEAVIATE_GRPC_ENDPOINT", "the store was closed") from exc
            except self._grpc.RpcError as exc:
                code = exc.code()
                broken = code is self._grpc.StatusCode.UNAVAILABLE
                if not broken or self._closed or attempt == ATTEMPTS - 1:
                    raise of_code(self._places.grpc, code.name, exc.details() or "") from exc
            except asyncio.CancelledError:  # by whoever called, or by the channel that was closed under the call
                task = asyncio.current_task()
                if not self._closed or (task is not None and task.cancelling()):
                    raise
                raise silent(self._places.grpc, "WEAVIATE_GRPC_ENDPOINT", "the store was closed") from None
            await asyncio.sleep(0.2 * (attempt + 1))
        raise StoreUnavailable("Weaviate was not called.")  # not reached

    def _method(self, name: str, sent: str, answered: str) -> Any:
        return self._channel.unary_unary(
            f"/weaviate.v1.Weaviate/{name}",
            request_serializer=self._messages[sent].SerializeToString,
            response_deserializer=self._messages[answered].FromString,
        )
