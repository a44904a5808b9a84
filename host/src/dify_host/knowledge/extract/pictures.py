"""The pictures of a document, as its reader finds them: so many, so large, of kinds that a browser shows."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import re
from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = ["LARGEST", "LEAST_SIDE", "LinkedPicture", "Picture", "Pictures", "kind_of", "marker", "placed"]

_MIB = 1024 * 1024
#: Pixels of a side that a picture has at least: less is an ornament.
LEAST_SIDE: Final = 32
#: Bytes of one picture.
LARGEST: Final = 2 * _MIB
#: Bounds of one document; what is over them stays out of the text.
_MOST, _ALL = 200, 32 * _MIB
#: Addresses of pictures that a document links to: so many, so long; what is over them stays a link.
_MOST_LINKED, _LONGEST = 50, 2000
_ADDRESS = re.compile(r"https?://[^\s<>]+", re.IGNORECASE)
_DATA = re.compile(r"data:image/[\w.+-]{1,40};base64,", re.IGNORECASE)
_BRACKETS = str.maketrans("[]", "()")
_PLACE = re.compile("picture:([0-9a-f]{64})")
_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"GIF87a": "gif", b"GIF89a": "gif"}


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One picture; `digest` is the SHA-256 of its bytes, by which its places in the text name it."""

    digest: str
    extension: str
    data: bytes


class LinkedPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture that the document only links to; `digest` is the SHA-256 of its address, and stands in the text."""

    digest: str
    address: str


class Pictures:
    """Takes pictures in; one that stands in several places is kept once."""

    def __init__(self) -> None:
        self.found: dict[str, Picture] = {}
        self.linked: dict[str, LinkedPicture] = {}
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether no other picture is taken."""
        return len(self.found) >= _MOST or self._size >= _ALL

    def add(self, data: bytes, title: str = "") -> str:
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
        return marker(digest, title)

    def link(self, address: str) -> str:
        """What stands in the text for the address of a picture: the address where it is not to be fetched."""
        digest = hashlib.sha256(address.encode("utf-8", "replace")).hexdigest()
        if digest not in self.linked:
            wanted = len(self.linked) < _MOST_LINKED and len(address) <= _LONGEST and _ADDRESS.fullmatch(address)
            if not wanted:
                return address
            self.linked[digest] = LinkedPicture(digest=digest, address=address)
        return _name(digest)

    def shown(self, address: str, title: str = "") -> str:
        """What stands for a picture by its address, which may be the picture written out; "" for any other."""
        if _ADDRESS.match(address):
            return _image(title, self.link(address))
        written = _DATA.match(address)
        if written:
            with contextlib.suppress(binascii.Error, ValueError):
                return self.add(base64.b64decode(address[written.end() :]), title)
        return ""


def kind_of(data: bytes) -> str:
    """The extension that the first bytes say; "" for what is no picture that is shown."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((kind for mark, kind in _KINDS.items() if data.startswith(mark)), "")


def marker(digest: str, title: str = "") -> str:
    """What stands in the text until the picture is stored and has an address."""
    return _image(title, _name(digest))


def placed(text: str, addresses: Mapping[str, str]) -> str:
    """A text with addresses, by the digests of pictures, in their places."""
    return _PLACE.sub(lambda found: addresses.get(found[1], found[0]), text)


def _image(title: str, address: str) -> str:
    return f"![{' '.join(title.translate(_BRACKETS).split()) or 'image'}]({address})"


def _name(digest: str) -> str:
    return f"picture:{digest}"
