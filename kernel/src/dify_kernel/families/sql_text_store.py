"""The store of every engine with the MySQL protocol: `SqlVectorStore` over pools of a client that plugins bring.

The client is a module with `create_pool`, and errors that hold a number and its message, and have `sqlstate`.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from dify_kernel.contracts.vector import Record, Space
from dify_kernel.errors import InvalidQuery, StoreUnavailable, VectorStoreError
from dify_kernel.families.sql_dialect import Condition
from dify_kernel.families.sql_faults import Fault
from dify_kernel.families.sql_settings import WAIT, DatabaseSettings
from dify_kernel.families.sql_text_dialect import TextDialect
from dify_kernel.families.sql_vectors import Pool, SqlVectorStore

__all__ = ["TextVectorStore"]

#: Numbers of errors that engines give with a state that says less: who is refused, what is not permitted, what passes.
_STATES = {1045: "28000", 1044: "42501", 1142: "42501", 1227: "42501", 1040: "53300", 1203: "53300", 1205: "40001"}
_PACKET = 16 * 1024 * 1024
#: Seconds that a statement may take: deleting a large knowledge base takes minutes.
_LONGEST = 600
#: Records whose words are read at a time.
_READ = 2_000


class TextVectorStore(SqlVectorStore):
    """Records in an engine without arrays; a plugin gives its name, the prefix of its settings, and the client."""

    name: ClassVar[str]
    prefix: ClassVar[str]
    #: What each new connection is told first. The mode of SQL decides how values are quoted.
    session: ClassVar[str] = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES'"
    #: The states of errors that the engine alone has, by their numbers.
    states: ClassVar[Mapping[int, str]] = MappingProxyType({})

    dialect: TextDialect

    def __init__(self, settings: DatabaseSettings) -> None:
        super().__init__()
        self._address = settings

    @abstractmethod
    def client(self) -> Any:
        """Import the client; called in a thread."""

    def options(self) -> dict[str, Any]:
        """What the client is told beside the address and the credentials."""
        return {}

    async def connect(self) -> Pool:
        client = await asyncio.to_thread(self.client)
        address = self._address
        # A host that is a path is the socket of a server on this machine.
        socket = {"unix_socket": address.host} if address.host.startswith("/") else {"host": address.host}
        opening = client.create_pool(
            minsize=address.min_connection,
            maxsize=max(address.min_connection, address.max_connection),
            **socket,
            port=address.port,
            user=address.user,
            password=address.password.reveal(),
            db=address.database,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=WAIT,
            read_timeout=_LONGEST,
            init_command=self.session,
            max_allowed_packet=_PACKET,
            program_name="dify",
            **self.options(),
        )
        try:  # the client's own limit ends with the connection: a server that does not speak first would be waited for
            return _Connections(await asyncio.wait_for(opening, WAIT))
        except TimeoutError as exc:
            raise self._silent() from exc

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        try:
            await super().upsert(space, partition, records)
        except (InvalidQuery, StoreUnavailable):
            raise
        except VectorStoreError as exc:  # these engines have no state of their own for a vector of another dimension
            dimension = await self._dimension(space)
            if dimension in (None, space.dimension):
                raise
            raise InvalidQuery(f"Space {space.name} exists with dimension {dimension}, not {space.dimension}.") from exc

    async def _sharing(self, table: str, key: str, where: Condition, words: list[Any]) -> list[tuple[Any, ...]]:
        # All words of some records at a time: a long list of records has more of them than should be in memory.
        lengths: dict[str, int] = dict(await self._rows(f"SELECT id, length FROM {table} WHERE {where[0]}", where[1]))  # noqa: S608
        ids, wanted, found = list(lengths), frozenset(words), list[tuple[Any, ...]]()
        text, bound = self.dialect.shared(words)
        for start in range(0, len(ids), _READ):
            among, some = self.dialect.among(ids[start : start + _READ])
            rows = await self._rows(
                f"SELECT id, {text} FROM {table} WHERE partition_id = %s AND {among}",  # noqa: S608
                [*bound, key, *some],
            )
            found += [(id, lengths[id], self.dialect.held(value, wanted)) for id, value in rows]
        return found

    def _silent(self) -> StoreUnavailable:
        address = self._address
        return StoreUnavailable(
            f"{self.name} at {address.host}:{address.port} does not answer: what listens there says nothing.",
            hint=f"Check {self.prefix}HOST and {self.prefix}PORT, and that it runs.",
            setting=f"{self.prefix}HOST",
        )

    def fault(self, exc: Exception) -> Fault | None:
        broken = isinstance(exc, OSError | EOFError)
        if not broken and not hasattr(exc, "sqlstate"):
            return None
        address = self._address
        server = f"{self.name} at {address.host}" + ("" if address.host.startswith("/") else f":{address.port}")
        number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else 0
        state = "" if broken else self.states.get(number) or _STATES.get(number) or getattr(exc, "sqlstate", "") or ""
        hint = f"Check {self.prefix}HOST and {self.prefix}PORT, and that it runs."
        if state.startswith(("28", "42")):
            names = ", ".join(self.prefix + name for name in ("USER", "PASSWORD"))
            hint = f"Check {names} and {self.prefix}DATABASE, and what the user may do."
        return Fault(state, str(exc.args[-1]) if exc.args else type(exc).__name__, server, hint)


class _Connections:
    """The client's pool as the family uses it."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def connection(self) -> _Lent:
        return _Lent(self._pool)

    async def close(self) -> None:
        self._pool.terminate()
        await self._pool.wait_closed()


class _Lent:
    """A connection of the pool; one that saw an error is closed, with all it held."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._raw: Any = None

    async def __aenter__(self) -> _Connection:
        try:
            self._raw = await self._pool.acquire()
        except RuntimeError as exc:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.") from exc
        return _Connection(self._raw)

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: object) -> None:
        if kind is not None:
            self._raw.close()
        await self._pool.release(self._raw)


class _Connection:
    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        cursor = self._raw.cursor()
        await cursor.execute(sql, tuple(values) or None)
        return cursor

    def cursor(self) -> Any:
        return self._raw.cursor()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        await self._raw.begin()
        yield
        await self._raw.commit()
