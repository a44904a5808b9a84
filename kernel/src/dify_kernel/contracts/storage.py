"""The storage contract: objects under POSIX-like keys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import ClassVar

import msgspec

from dify_kernel.errors import InvalidKey

__all__ = ["MAX_KEY_BYTES", "MAX_PART_BYTES", "Entry", "Storage", "StorageCapabilities", "check_key"]

MAX_KEY_BYTES = 896
MAX_PART_BYTES = 240


class StorageCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a storage can do beyond the required methods."""

    signed_url: bool = False
    persistent: bool = True


class Entry(msgspec.Struct, frozen=True):
    """One object of a scan: its key and its size in bytes."""

    key: str
    size: int


def check_key(key: str) -> str:
    """Return the key when it is a relative POSIX path inside the root; InvalidKey otherwise.

    Refused: empty, over 896 bytes, a part over 240 bytes, absolute, a backslash or control character, an empty, `.` or
    `..` part. So a key fits behind a prefix in an object store (1024 bytes) and each part is a file's name (255 bytes).
    """
    parts = key.split("/")
    if (
        not key
        or len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES
        or "\\" in key
        or any(ord(char) < 32 or ord(char) == 127 or 0xD800 <= ord(char) <= 0xDFFF for char in key)
        or any(part in ("", ".", "..") or len(part.encode()) > MAX_PART_BYTES for part in parts)
    ):
        raise InvalidKey(f"Storage key {key!r} is not a relative path inside its root.", key=key)
    return key


class Storage(ABC):
    """One opened object storage. Every method checks its key with `check_key` first.

    A key below an object (`a/b` when `a` is one), or an object where a folder is, may be refused with StorageError, as
    file systems do; nothing is lost then. An error names its key in `where`. What a write did is visible to every later
    call, through any object. A server that went away and came back is used again without `open`, after at most a few
    calls that raised StorageUnavailable. No error holds a secret, nor does its cause.

    Errors: ObjectNotFound, InvalidKey, StorageUnavailable (also before `open` and after `close`), StorageError (also
    for credentials that are refused).
    """

    capabilities: ClassVar[StorageCapabilities] = StorageCapabilities()

    @abstractmethod
    async def open(self) -> None:
        """Connect; this is where the vendor's client is imported. Opening twice is harmless, and so is
        opening again after `close`."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Closing twice is harmless."""

    @abstractmethod
    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        """Write a whole object, replacing what is there. A reader sees the old or the new object, never a part.

        An iterator is read as it is written, never held whole. When it raises, or the call is cancelled, what was there
        before stays, and nothing of the new object is seen.
        """

    @abstractmethod
    async def load(self, key: str) -> bytes:
        """The whole object; ObjectNotFound when absent."""

    @abstractmethod
    def stream(self, key: str, chunk_size: int = 64 * 1024) -> AsyncIterator[bytes]:
        """The object in pieces of at most `chunk_size`; ObjectNotFound at the first piece when absent."""

    @abstractmethod
    async def exists(self, key: str) -> bool:
        """Whether exactly this key holds an object (a prefix of other keys does not count)."""

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Remove the object; an absent one is harmless."""

    @abstractmethod
    def scan(self, prefix: str = "") -> AsyncIterator[Entry]:
        """Every object whose key starts with `prefix` (a plain string prefix), in code-point order of the keys."""

    async def signed_url(self, key: str, expires: int = 300) -> str:
        """A URL that serves the object for `expires` seconds; called only with the `signed_url` capability."""
        raise NotImplementedError
