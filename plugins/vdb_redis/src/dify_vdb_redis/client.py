"""Carries commands by the vendor's client, and says in the contract's words what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dify_kernel.errors import StoreUnauthorized, StoreUnavailable, VectorStoreError

from dify_vdb_redis.scripts import DROP, REPLACE
from dify_vdb_redis.settings import RedisSettings

__all__ = ["Client", "Command"]

SECONDS, CONNECT_SECONDS, ATTEMPTS = 60, 10, 3
CONNECTIONS = 32
Command = Sequence[Any]


class Client:
    """One pool of connections to one database of a server. Replies are bytes, as the second protocol gives them."""

    def __init__(self, settings: RedisSettings) -> None:
        from redis import asyncio as vendor
        from redis import exceptions
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        tls: dict[str, Any] = {}
        if settings.use_ssl:
            tls = {"connection_class": vendor.SSLConnection, "ssl_ca_certs": settings.ssl_ca_certs or None}
        pool = vendor.ConnectionPool(
            host=settings.host,
            port=settings.port,
            db=settings.db,
            username=settings.username or None,
            password=settings.password.reveal() or None,
            protocol=2,
            max_connections=CONNECTIONS,
            socket_timeout=SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            **tls,
        )
        self._where = f"Redis at {settings.host}:{settings.port}"
        self._faults: Any = exceptions
        self._client: Any = vendor.Redis.from_pool(pool)
        self._client.response_callbacks.clear()  # replies as the server gives them
        self._replace = self._client.register_script(REPLACE)
        self._drop = self._client.register_script(DROP)
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._closed = False

    async def close(self) -> None:
        """Close the connections; what is under way fails with StoreUnavailable."""
        self._closed = True
        await self._client.aclose()

    async def check(self) -> None:
        """Fail unless the server answers and has vector sets."""
        try:
            await self.one("COMMAND GETKEYS", "VSIM", "key", "VALUES", "1", "1")
        except VectorStoreError as exc:
            if type(exc) is not VectorStoreError:
                raise
            raise VectorStoreError(
                f"{self._where} has no vector sets.",
                hint="Redis 8 or newer has them; Redis 7 and Valkey do not.",
                setting="REDIS_VECTOR_HOST",
            ) from exc

    async def one(self, *command: Any) -> Any:
        """The reply to a command."""
        return await self._repeated(lambda: self._client.execute_command(*command))

    async def many(self, commands: Sequence[Command], *, together: bool = True) -> list[Any]:
        """The replies to some commands; `together` keeps everybody else's from coming between them."""

        async def send() -> list[Any]:
            async with self._client.pipeline(transaction=together) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return list(await pipe.execute())

        return list(await self._repeated(send)) if commands else []

    async def replace(self, keys: list[bytes], arguments: list[Any]) -> list[bytes] | None:
        """Run the script that writes and deletes."""
        changed: list[bytes] | None = await self._repeated(lambda: self._replace(keys=keys, args=arguments))
        return changed

    async def drop(self, keys: list[bytes]) -> None:
        """Run the script that removes a space."""
        await self._repeated(lambda: self._drop(keys=keys))

    async def _repeated(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Ask again when the connection broke: each command and script may be repeated."""
        for attempt in range(ATTEMPTS):
            try:
                async with self._slots:
                    return await call()
            except (self._faults.RedisError, OSError, RuntimeError, AttributeError) as exc:
                # The last two come from a client that is closed under a call.
                if isinstance(exc, RuntimeError | AttributeError) and not self._closed:
                    raise
                refused = isinstance(exc, self._faults.AuthenticationError | self._faults.TimeoutError)
                broken = isinstance(exc, self._faults.ConnectionError | OSError) and not refused
                if self._closed or not broken or attempt == ATTEMPTS - 1:
                    raise self._fault(exc) from exc
                await asyncio.sleep(0.1 * (attempt + 1))
        raise AssertionError("the last attempt returned or raised")

    def _fault(self, exc: Exception) -> Exception:
        faults = self._faults
        reason = f"{type(exc).__name__}, {' '.join(str(exc).split())[:300]}"
        if isinstance(exc, faults.AuthenticationError | faults.NoPermissionError | faults.AuthorizationError):
            return StoreUnauthorized(
                f"{self._where} refuses: {type(exc).__name__}.",
                hint="Check REDIS_VECTOR_USERNAME and REDIS_VECTOR_PASSWORD, and what the user may do.",
                setting="REDIS_VECTOR_PASSWORD",
            )
        passing = faults.ConnectionError, faults.TimeoutError, faults.ReadOnlyError, faults.MasterDownError, OSError
        if self._closed or isinstance(exc, passing):
            return StoreUnavailable(
                f"{self._where} does not answer: {reason}.",
                hint="Check REDIS_VECTOR_HOST, REDIS_VECTOR_PORT and REDIS_VECTOR_USE_SSL, and that it runs.",
                setting="REDIS_VECTOR_HOST",
            )
        if isinstance(exc, faults.OutOfMemoryError):
            return StoreUnavailable(f"{self._where} is full.", hint="Give it more memory (maxmemory).")
        return VectorStoreError(f"{self._where} answers: {reason}.")
