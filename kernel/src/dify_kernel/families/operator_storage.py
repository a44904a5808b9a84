"""Storages over an asynchronous operator: one client with a door for each service, which the plugin imports.

The client is a module with `AsyncOperator(scheme, **options)`, `layers` and `exceptions`; nothing else of it is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from dify_kernel.contracts.storage import Entry, Storage, StorageCapabilities, check_key
from dify_kernel.errors import InvalidKey, ObjectNotFound, StorageError, StorageUnavailable
from dify_kernel.settings import shown_address

__all__ = ["OperatorStorage"]

#: A streamed object up to this size is written in one request, a larger one in parts of this size.
PART = 8 * 1024 * 1024
_REFUSALS = ("ConditionNotMatch", "Conflict", "RangeNotSatisfied", "IsSameFile")


Prepare = Callable[[dict[str, str]], dict[str, str]]


class OperatorStorage(Storage):
    """Objects in one service of the client. `options` are the service's own, as text.

    `client` imports the module. `settings` names the variables that a refused option is looked for in. A local service
    has no `network`: its faults last. `prepare` makes ready what the options name, in a thread, and may change them.
    `reserved` is the first part of keys that the service keeps for itself. On a network service, calls are repeated
    three times after temporary failures, with jitter.
    """

    def __init__(
        self,
        client: Callable[[], Any],
        scheme: str,
        options: Mapping[str, str],
        *,
        settings: str,
        capabilities: StorageCapabilities,
        network: bool = True,
        prepare: Prepare | None = None,
        reserved: str = "",
    ) -> None:
        self._client = client
        self._scheme = scheme
        self._options = dict(options)
        self._settings = settings
        self._network = network
        self._prepare = prepare
        self._reserved_part = reserved
        self._operator: Any = None
        self._errors: dict[type[Exception], type[StorageError]] = {}
        # The class attribute is what no service lacks; one that can do more says so on the object.
        self.capabilities = capabilities  # type: ignore[misc]

    capabilities: ClassVar[StorageCapabilities] = StorageCapabilities()

    # -- life ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        if self._operator is not None:
            return
        client = self._client()
        options = self._options
        if self._prepare is not None:
            try:
                options = await asyncio.to_thread(self._prepare, options)
            except OSError as exc:
                raise StorageError(
                    f"The place of the storage ({self._scheme}) cannot be used: {exc}.",
                    hint=f"Check {self._settings}: it must be a place that can be written.",
                    setting=self._settings,
                ) from exc
        self._errors = _error_classes(client.exceptions, network=self._network)
        try:
            operator = client.AsyncOperator(self._scheme, **options)
        except (client.exceptions.ConfigInvalid, client.exceptions.Unsupported) as exc:
            raise StorageError(
                f"The settings of the storage ({self._scheme}) were refused: {_first_line(exc)}.",
                hint=f"Check {self._settings}.",
                setting=self._settings,
            ) from exc
        if self._network:
            # The retry is the outer layer, so that each attempt has its own time limit.
            retry = client.layers.RetryLayer(max_times=3, factor=2.0, jitter=True, min_delay=0.2, max_delay=5.0)
            operator = operator.layer(client.layers.TimeoutLayer(timeout=60.0, io_timeout=60.0)).layer(retry)
        self._operator = operator

    async def close(self) -> None:
        if self._operator is not None:
            self._operator = None
            # The client's threads let go of an answer just after it arrived: a process that ends in between aborts.
            await asyncio.sleep(0.05)

    @property
    def _where(self) -> str:
        endpoint = self._options.get("endpoint", "")
        return f"{self._scheme} at {shown_address(endpoint)}" if endpoint else self._scheme

    @property
    def _dal(self) -> Any:
        if self._operator is None:
            raise StorageUnavailable("The storage is not open.", hint="Call open() first.")
        return self._operator

    # -- write --------------------------------------------------------------------------------------------------

    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        self._check(key)
        try:
            if isinstance(data, bytes):
                with self._translated(key):
                    await self._dal.write(key, data)
            else:
                await self._save_pieces(key, data)
        except ObjectNotFound as exc:
            if not self._network:
                raise
            message = (
                f"Storage ({self._where}) has no place for {key!r}: no such bucket or container, or no such service."
            )
            raise StorageError(message, hint=f"Check {self._settings}.", setting=self._settings, key=key) from exc

    async def _save_pieces(self, key: str, data: AsyncIterator[bytes]) -> None:
        """Write one request when it is small, else part by part; the object appears when the last one is in."""
        head = bytearray()
        file: Any = None
        async for piece in data:
            head += piece
            if len(head) < PART:
                continue
            with self._translated(key):
                file = file or await self._dal.open(key, "wb")
                await file.write(bytes(head))
            head.clear()
        with self._translated(key):
            if file is None:
                await self._dal.write(key, bytes(head))
                return
            if head:
                await file.write(bytes(head))
            # Only closing makes the object visible: after an error the file is dropped unclosed.
            await file.close()

    async def delete(self, key: str) -> None:
        self._check(key)
        # A folder under that name must stay, and services differ on deleting what is absent.
        if await self._size(key) is not None:
            with self._translated(key):
                await self._dal.delete(key)

    # -- read ---------------------------------------------------------------------------------------------------

    async def load(self, key: str) -> bytes:
        self._check(key)
        try:
            with self._translated(key):
                return bytes(await self._dal.read(key))
        except StorageError as exc:
            if isinstance(exc, ObjectNotFound) or await self._size(key) is not None:
                raise
            raise _absent(key) from exc  # a folder, or below an object

    async def stream(self, key: str, chunk_size: int = 64 * 1024) -> AsyncIterator[bytes]:
        self._check(key)
        if await self._size(key) is None:
            raise _absent(key)
        with self._translated(key):
            file = await self._dal.open(key, "rb")
        try:
            while True:
                with self._translated(key):
                    piece = await file.read(chunk_size)
                if not piece:
                    return
                yield piece
        finally:
            await file.close()

    async def exists(self, key: str) -> bool:
        self._check(key)
        return await self._size(key) is not None

    async def _size(self, key: str) -> int | None:
        """Bytes of exactly this object, None when there is none."""
        try:
            with self._translated(key):
                found = await self._dal.stat(key)
        except ObjectNotFound:
            return None
        return int(found.content_length) if found.is_file else None

    async def signed_url(self, key: str, expires: int = 300) -> str:
        self._check(key)
        with self._translated(key):
            return str((await self._dal.presign_read(key, expires)).url)

    # -- scan ---------------------------------------------------------------------------------------------------

    async def scan(self, prefix: str = "") -> AsyncIterator[Entry]:
        folder, _, _ = prefix.rpartition("/")
        if any(part in ("", ".", "..") for part in folder.split("/")) and folder:
            return  # no key has such a part
        if self._reserved(folder):
            return
        async for found in self._walk(folder + "/" if folder else "", prefix):
            yield found

    async def _walk(self, folder: str, prefix: str) -> AsyncIterator[Entry]:
        """A folder's objects in key order: names are compared with the slash of a folder, as whole keys are.

        Folder by folder on every service: S3-compatible servers do not agree on the order of a flat listing.
        """
        children = []
        with self._translated(folder):
            async for entry in await self._dal.list(folder):
                if entry.path != folder and entry.path != "/":
                    children.append((entry.path, entry.metadata.is_dir, entry.metadata.content_length))
        for path, is_folder, size in sorted(children):
            if not (path.startswith(prefix) or (is_folder and prefix.startswith(path))) or self._reserved(path):
                continue
            if not is_folder:
                yield Entry(path, size)
                continue
            async for found in self._walk(path, prefix):
                yield found

    # -- inside -------------------------------------------------------------------------------------------------

    def _check(self, key: str) -> None:
        check_key(key)
        if self._reserved(key):
            raise InvalidKey(f"Storage key {key!r} is reserved for what the storage writes there itself.", key=key)

    def _reserved(self, path: str) -> bool:
        return bool(self._reserved_part) and path.split("/", 1)[0] == self._reserved_part

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Turn the client's errors into the family of the contract."""
        try:
            yield
        except tuple(self._errors) as exc:
            kind = next(kind for known, kind in self._errors.items() if isinstance(exc, known))
            if kind is ObjectNotFound or "Not a directory" in str(exc):
                # A path below a file comes without a class of its own: the text is all the client gives.
                raise _absent(key) from exc
            hint = f"Check {self._settings}" + (", and that the service runs." if kind is StorageUnavailable else ".")
            message = f"Storage ({self._where}) failed on {key!r}: {_first_line(exc)}{_cause(exc)}."
            raise kind(message, hint=hint, setting=self._settings, key=key) from exc


def _absent(key: str) -> ObjectNotFound:
    return ObjectNotFound(f"There is no object {key!r}.", key=key)


def _first_line(exc: Exception) -> str:
    """The client's sentence without its context, which may hold addresses with signatures."""
    return str(exc).split("\n", 1)[0].rstrip(". ")


def _cause(exc: Exception) -> str:
    """Why a connection failed, as far as the client tells: the end of its source, which holds no address."""
    _, found, source = str(exc).partition("\nSource:\n")
    said = source.strip().split("\n", 1)[0]
    return f" ({said.rpartition('client error ')[2].strip()})" if found and "client error" in said else ""


def _error_classes(known: Any, *, network: bool) -> dict[type[Exception], type[StorageError]]:
    """The client's classes, first match wins. Its `Unexpected` is a broken connection or a server error on a network
    service, and a lasting fault of the file system otherwise."""
    unexpected: type[StorageError] = StorageUnavailable if network else StorageError
    lasting = ("PermissionDenied", "ConfigInvalid", "Unsupported", "IsADirectory", "AlreadyExists")
    return {
        known.NotFound: ObjectNotFound,
        known.NotADirectory: ObjectNotFound,
        known.RateLimited: StorageUnavailable,
        **{getattr(known, name): StorageError for name in (*lasting, *_REFUSALS)},
        known.Unexpected: unexpected,
        known.Error: unexpected,
        OSError: unexpected,  # what an open file raises, whatever happened
    }
