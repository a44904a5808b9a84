"""The pictures of a document, as its reader finds them: so many, so large, of kinds that a browser shows."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

__all__ = ["LARGEST", "Picture", "Pictures", "kind_of", "marker"]

_MIB = 1024 * 1024
#: Bytes of one picture.
LARGEST: Final = 2 * _MIB
#: Bounds of one document; what is over them stays out of the text.
_MOST, _ALL = 200, 32 * _MIB
_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"GIF87a": "gif", b"GIF89a": "gif"}


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One picture; `digest` is the SHA-256 of its bytes, by which its places in the text name it."""

    digest: str
    extension: str
    data: bytes


class Pictures:
    """Takes pictures in; one that stands in several places is kept once."""

    def __init__(self) -> None:
        self.found: dict[str, Picture] = {}
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether no other picture is taken."""
        return len(self.found) >= _MOST or self._size >= _ALL

    def add(self, data: bytes) -> str:
        """What stands for the picture in the text; "" for one that is not kept."""
        extension = kind_of(data)
        if not extension or len(data) > LARGEST:
            return ""
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self.found:
            if len(self.found) >= _MOST or self._size + len(data) > _ALL:
                return ""
            self.found[digest] = Picture(digest=digest, extension=extension, data=data)
            self._size += len(data)
        return marker(digest)


def kind_of(data: bytes) -> str:
    """The extension that the first bytes say; "" for what is no picture that is shown."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((kind for mark, kind in _KINDS.items() if data.startswith(mark)), "")


def marker(digest: str) -> str:
    """What stands in the text until the picture is stored and has an address."""
    return f"![image](picture:{digest})"
