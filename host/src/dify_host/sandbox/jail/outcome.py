"""What a run gives back: its captured output, and how an error of user code is told to the user."""

from __future__ import annotations

import io
import os
import sys

from .room import PACKAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["SOURCE_NAME", "Failure", "Output", "describe"]

SOURCE_NAME = "main.py"
_OUTPUT_FD = 1
_ERROR_LIMIT = 32_000
_NO_PACKAGES = (
    "The sandbox has the standard library of Python{more} and no other package. Leave the import out: a request is the "
    "work of an HTTP request node, the text of a file that of a document extractor, anything else that of a tool or an "
    "API. Or have the operator install the package for SANDBOX_PACKAGES."
)


class Failure(Exception):
    """An error told to the user as it stands; `kind` is its public type."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class Output:
    """The stream that `print` writes to: UTF-8, at most `limit` bytes; the rest is dropped without an error."""

    def __init__(self, limit: int) -> None:
        self._raw = _Capped(limit)
        buffer = io.BufferedWriter(self._raw)
        self.text = io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", newline="\n")

    def close(self) -> None:
        """Write what is buffered; user code may have closed or detached the stream, which loses only its output."""
        try:
            self.text.flush()
        except (OSError, ValueError, MemoryError):
            return


class _Capped(io.RawIOBase):
    def __init__(self, limit: int) -> None:
        super().__init__()
        self._left = limit + 1  # the byte too many tells the reader that something was dropped

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        whole = memoryview(data).cast("B")
        view = whole[: self._left]
        self._left -= len(view)
        while view:
            view = view[os.write(_OUTPUT_FD, view) :]
        return len(whole)


def describe(error: BaseException, source: str) -> bytes:
    """Return the public type and text of an error as `type`, newline, text; works when memory is nearly used up."""
    try:
        if isinstance(error, Failure):
            kind, text = error.kind, error.text
        elif isinstance(error, MemoryError):
            kind, text = "MemoryError", "".join(_traceback(error, source)) + "The code used more memory than it may."
        elif isinstance(error, ModuleNotFoundError):
            kind, text = "ModuleNotFoundError", "".join(_traceback(error, source)) + _no_packages()
        else:
            kind, text = type(error).__name__, "".join(_traceback(error, source))
        if len(text) > _ERROR_LIMIT:
            text = f"{text[:1000]}\n[...]\n{text[1000 - _ERROR_LIMIT :]}"
        return f"{kind}\n{text.rstrip()}".encode("utf-8", "backslashreplace")
    except BaseException:
        return b"MemoryError\nThe code used more memory than it may."


def _no_packages() -> str:
    return _NO_PACKAGES.format(more=", what the operator installed" if PACKAGES in sys.path else "")


def _traceback(error: BaseException, source: str) -> list[str]:
    """Format like the interpreter, with the source's lines, from the first frame of the user's code on."""
    import linecache  # both only now: a run that goes well does without them, and so does the idle zygote
    import traceback

    linecache.cache[SOURCE_NAME] = (len(source), None, source.splitlines(keepends=True), SOURCE_NAME)
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename != SOURCE_NAME:
        frame = frame.tb_next
    return traceback.format_exception(type(error), error, frame)
