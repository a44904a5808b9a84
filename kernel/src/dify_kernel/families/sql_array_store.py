"""The store of every engine with the PostgreSQL protocol: `SqlVectorStore` over pools of a client that plugins bring.

The client has `AsyncConnection.connect` and errors with `sqlstate`; the module of its pools has `AsyncConnectionPool`.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any, ClassVar

from dify_kernel.families.sql_faults import Fault
from dify_kernel.families.sql_settings import WAIT, DatabaseSettings
from dify_kernel.families.sql_vectors import Pool, SqlVectorStore

__all__ = ["ArrayVectorStore"]


class ArrayVectorStore(SqlVectorStore):
    """Records in an engine with array columns; a plugin gives its name, the prefix of its settings, and the client."""

    name: ClassVar[str]
    prefix: ClassVar[str]
    #: What each new connection is told first.
    session: ClassVar[str] = ""

    def __init__(self, settings: DatabaseSettings) -> None:
        super().__init__()
        self._settings = settings

    @abstractmethod
    def client(self) -> tuple[Any, Any]:
        """Import the client, and the module of its pools; called in a thread."""

    async def connect(self) -> Pool:
        client, pools = await asyncio.to_thread(self.client)
        settings = self._settings
        options = {
            "host": settings.host,
            "port": settings.port,
            "user": settings.user,
            "password": settings.password.reveal() or None,
            "dbname": settings.database,
            "application_name": "dify",
            "connect_timeout": int(WAIT),
            "keepalives_idle": 60,
            "autocommit": True,
            # Planned anew each time: the plan depends on the partition, and a pooler knows no prepared names.
            "prepare_threshold": None,
        }
        await (await client.AsyncConnection.connect(**options)).close()
        pool: Any = pools.AsyncConnectionPool(
            kwargs=options,
            min_size=settings.min_connection,
            max_size=max(settings.min_connection, settings.max_connection),
            timeout=WAIT,
            configure=self._configure if self.session else None,
            open=False,
        )
        await pool.open()
        return pool  # type: ignore[no-any-return]

    async def _configure(self, connection: Any) -> None:
        await connection.execute(self.session)

    def fault(self, exc: Exception) -> Fault | None:
        if not hasattr(exc, "sqlstate"):
            return None
        state = exc.sqlstate or ""
        tried = getattr(exc, "pgconn", None)
        if not state and tried is not None and (tried.used_password or tried.needs_password):
            state = "28000"  # the client gives no code for a connection that was not made
        hint = f"Check {self.prefix}HOST and {self.prefix}PORT, and that it runs."
        if state.startswith(("28", "42")):
            names = ", ".join(self.prefix + name for name in ("USER", "PASSWORD"))
            hint = f"Check {names} and {self.prefix}DATABASE, and what the user may do."
        return Fault(state, str(exc), f"{self.name} at {self._settings.host}:{self._settings.port}", hint)
