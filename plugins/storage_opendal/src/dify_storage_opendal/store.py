"""The storage contract over OpenDAL's async operator; imports the client when it opens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dify_kernel.contracts.storage import Entry, Storage, StorageCapabilities, check_key
from dify_kernel.errors import InvalidKey, ObjectNotFound, StorageError, StorageUnavailable

if TYPE_CHECKING:
    from opendal import AsyncOperator

__all__ = ["OpendalStorage"]

#: Where half-written objects of a folder live: inside the root, because a rename works only within one file system.
PARTIAL = ".partial"
#: Services that can sign a URL which a browser can open.
SIGNING = frozenset(("azblob", "cos", "gcs", "obs", "oss", "s3", "tos"))
#: A streamed object up to this size is written in one request, a larger one in parts of this size.
PART = 8 * 1024 * 1024
STALE_SECONDS = 24 * 3600


class OpendalStorage(Storage):
    """Objects in one OpenDAL service. `options` are the service's own, as text.

    On a network service, calls are repeated three times after temporary failures, with jitter.
    """

    def __init__(self, scheme: str, options: dict[str, str]) -> None:
        self._scheme = scheme
        self._options = dict(options)
        self._operator: AsyncOperator | None = None
        self._errors: dict[type[Exception], type[StorageError]] = {}
        # The class attribute is what the service cannot do; a scheme that can sign says so on the object.
        self.capabilities = StorageCapabilities(signed_url=scheme in SIGNING, persistent=scheme != "memory")  # type: ignore[misc]

    capabilities: ClassVar[StorageCapabilities] = StorageCapabilities()

    # -- life ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        if self._operator is not None:
            return
        import opendal
        from opendal.layers import RetryLayer, TimeoutLayer

        from dify_storage_opendal.faults import error_classes

        options = dict(self._options)
        if self._scheme == "fs":
            options = await asyncio.to_thread(_prepare_folder, options)
        network = self._scheme not in ("fs", "memory")
        self._errors = error_classes(network=network)
        try:
            operator = opendal.AsyncOperator(self._scheme, **options)
        except (opendal.exceptions.ConfigInvalid, opendal.exceptions.Unsupported) as exc:
            raise StorageError(
                f"OpenDAL refused its settings for the scheme {self._scheme!r}: {_first_line(exc)}.",
                hint=f"Check OPENDAL_SCHEME and the variables OPENDAL_{self._scheme.upper().replace('-', '_')}_….",
                setting="OPENDAL_SCHEME",
            ) from exc
        if network:
            # The retry is the outer layer, so that each attempt has its own time limit.
            operator = operator.layer(TimeoutLayer(timeout=60.0, io_timeout=60.0))
            operator = operator.layer(RetryLayer(max_times=3, factor=2.0, jitter=True, min_delay=0.2, max_delay=5.0))
        self._operator = operator

    async def close(self) -> None:
        if self._operator is not None:
            self._operator = None
            # The client's threads let go of an answer just after it arrived: a process that ends in between aborts.
            await asyncio.sleep(0.05)

    @property
    def _dal(self) -> AsyncOperator:
        if self._operator is None:
            raise StorageUnavailable("The storage is not open.", hint="Call open() first.")
        return self._operator

    # -- write --------------------------------------------------------------------------------------------------

    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        self._check(key)
        if isinstance(data, bytes):
            with self._translated(key):
                await self._dal.write(key, data)
        else:
            await self._save_pieces(key, data)

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
                return await self._dal.read(key)
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
        return found.content_length if found.is_file else None

    async def signed_url(self, key: str, expires: int = 300) -> str:
        self._check(key)
        with self._translated(key):
            return (await self._dal.presign_read(key, expires)).url

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
            raise InvalidKey(f"Storage key {key!r} is reserved for half-written objects.", key=key)

    def _reserved(self, path: str) -> bool:
        return self._scheme == "fs" and path.split("/", 1)[0] == PARTIAL

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
            hint = "Check that the service is up and reachable." if kind is StorageUnavailable else ""
            raise kind(f"Storage ({self._scheme}) failed on {key!r}: {_first_line(exc)}.", hint=hint, key=key) from exc


def _absent(key: str) -> ObjectNotFound:
    return ObjectNotFound(f"There is no object {key!r}.", key=key)


def _first_line(exc: Exception) -> str:
    """The client's sentence without its context, which may hold addresses with signatures."""
    return str(exc).split("\n", 1)[0].rstrip(". ")


def _prepare_folder(options: dict[str, str]) -> dict[str, str]:
    """The options of a folder, made if missing, without what interrupted writes left behind more than a day ago."""
    root = Path(options["root"]).absolute()
    partial = Path(options.get("atomic_write_dir", root / PARTIAL))
    partial.mkdir(parents=True, exist_ok=True)
    for path in partial.iterdir():
        if path.is_file() and time.time() - path.stat().st_mtime > STALE_SECONDS:
            path.unlink(missing_ok=True)
    return {**options, "root": str(root), "atomic_write_dir": str(partial)}
