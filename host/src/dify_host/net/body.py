"""The body of an answer while it arrives: bounded decompression and cheap splitting into lines."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

from dify_kernel.contracts.http import HttpConnectionError, HttpTooLarge

__all__ = ["Inflater", "LineSplitter", "SizeCap", "charset_of", "decoded", "inflaters"]

PIECE = 64 * 1024  # most bytes that one step of decompression yields
MAX_CODINGS = 2

_GZIP, _ZLIB, _RAW = 31, 15, -15  # the window sizes by which zlib tells its formats


class SizeCap:
    """Counts bytes and raises HttpTooLarge when there are more than `limit`."""

    def __init__(self, limit: int, url: str) -> None:
        self.limit = limit
        self.url = url
        self._seen = 0

    def add(self, count: int) -> None:
        self._seen += count
        if self._seen > self.limit:
            raise too_large(self.limit, self.url)


class Inflater:
    """Undoes one gzip or deflate coding in bounded pieces, so a small bomb never becomes a large buffer."""

    def __init__(self, window: int, cap: SizeCap) -> None:
        self._window = window
        self._cap = cap
        self._engine = zlib.decompressobj(window)
        self._fed = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The plain bytes of the next piece of the wire; raises HttpConnectionError when it is not well formed."""
        piece = b""
        while data or len(piece) == PIECE:  # a full piece may have left output inside the engine
            if self._engine.eof:  # several gzip members may follow each other
                if self._window != _GZIP or not data.strip(b"\0"):
                    return
                self._engine = zlib.decompressobj(self._window)
            piece = self._step(data)
            self._fed = True
            data = self._engine.unused_data if self._engine.eof else self._engine.unconsumed_tail
            if piece:
                self._cap.add(len(piece))
                yield piece

    def finish(self) -> None:
        """Raise HttpConnectionError when the coding stopped in the middle."""
        if self._fed and not self._engine.eof:
            raise _broken(self._cap.url, "the compressed answer ended in the middle")

    def _step(self, data: bytes) -> bytes:
        try:
            return self._engine.decompress(data, PIECE)
        except zlib.error as exc:
            if self._window == _ZLIB and not self._fed:  # "deflate" without its wrapper: common, and against the RFC
                self._window = _RAW
                self._engine = zlib.decompressobj(_RAW)
                return self._step(data)
            raise _broken(self._cap.url, f"its compression is broken ({exc})") from exc


def inflaters(content_encoding: str, limit: int, url: str) -> list[Inflater]:
    """What undoes a Content-Encoding, in order of use; empty when the bytes are handed on as they are.

    A coding that was not asked for and is not known leaves the body alone.
    """
    listed = content_encoding.lower().replace(" ", "").split(",")
    names = [name for name in listed if name not in ("", "identity")]
    if len(names) > MAX_CODINGS:
        raise _broken(url, f"it is compressed {len(names)} times over")
    windows = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
    if not all(name in windows for name in names):
        return []
    return [Inflater(windows[name], SizeCap(limit, url)) for name in reversed(names)]


async def decoded(wire: AsyncIterator[bytes], chain: Sequence[Inflater]) -> AsyncGenerator[bytes, None]:
    """The body without its codings, what each gives held to the limit."""
    async for piece in wire:
        for plain in _through(chain, piece):
            yield plain
    for inflater in chain:
        inflater.finish()


def _through(chain: Sequence[Inflater], data: bytes) -> Iterator[bytes]:
    if len(chain) == 1:
        yield from chain[0].feed(data)
        return
    for piece in chain[0].feed(data):
        yield from _through(chain[1:], piece)


class LineSplitter:
    """Splits a body into lines at LF, CR or CRLF, wherever the pieces were cut; a leading BOM is dropped.

    It splits bytes and decodes whole lines: a line end is never part of a longer character, so none is cut.
    """

    def __init__(self, charset: str = "utf-8") -> None:
        self._charset = charset
        self._pending: list[bytes] = []
        self._after_cr = False
        self._first = True

    def feed(self, piece: bytes) -> list[str]:
        """The lines that this piece completes."""
        if self._after_cr:
            self._after_cr = False
            if piece[:1] == b"\n":
                piece = piece[1:]
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        parts = piece.split(b"\n")
        if len(parts) > 1 and self._pending:
            self._pending.append(parts[0])
            parts[0] = b"".join(self._pending)
            self._pending = []
        if rest := parts.pop():
            self._pending.append(rest)
        return self._text(parts) if parts else []

    def finish(self) -> list[str]:
        """The last line when the body did not end with a line end."""
        rest, self._pending = b"".join(self._pending), []
        return self._text([rest]) if rest else []

    def _text(self, parts: list[bytes]) -> list[str]:
        if self._first:
            self._first = False
            parts[0] = parts[0].removeprefix(codecs.BOM_UTF8)
        charset = self._charset
        return [part.decode(charset, "replace") for part in parts]


def charset_of(content_type: str) -> str:
    """The charset of a Content-Type if lines can be split in it; UTF-8 otherwise."""
    for part in content_type.split(";")[1:]:
        key, _, value = part.strip().partition("=")
        if key.lower() == "charset":
            try:
                name = codecs.lookup(value.strip("\"' ")).name
                if "\n".encode(name) == b"\n":
                    return name
            except (LookupError, UnicodeError):
                continue
    return "utf-8"


def too_large(limit: int, url: str) -> HttpTooLarge:
    return HttpTooLarge(f"The answer of {url} is larger than {limit} bytes.", url=url, limit=limit)


def _broken(url: str, what: str) -> HttpConnectionError:
    return HttpConnectionError(f"The answer of {url} cannot be read: {what}.", url=url)
