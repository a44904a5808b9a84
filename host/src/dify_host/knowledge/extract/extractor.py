"""Extracts documents off the event loop, each in a process of its own.

Parsers of PDF and Office files are large and meet hostile input, and a thread cannot be stopped. A process a document
can be killed at its deadline without harm to another document, is bounded in memory by the system, inherits no
secret, and answers in MessagePack: unlike the pickles of a process pool, an answer cannot run code here.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import msgspec
from dify_kernel.errors import TooLarge

from dify_host.knowledge.errors import ExtractionFailed, UnsupportedFileType
from dify_host.knowledge.extract.child import Answer
from dify_host.knowledge.extract.formats import PLAIN, extension_of
from dify_host.knowledge.extract.sniff import OFFICE, check_content
from dify_host.knowledge.extract.text import Text

__all__ = ["ExtractLimits", "Extractor"]

_MIB = 1024 * 1024


class ExtractLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of reading one document: bytes of input, memory and text, seconds, and how many at once."""

    max_input: int = 512 * _MIB
    max_memory: int = 1024 * _MIB
    max_output: int = 128 * _MIB
    seconds: int = 120
    parallel: int = 2


class Extractor:
    """Reads documents; one per process, so that `parallel` holds."""

    def __init__(self, limits: ExtractLimits | None = None) -> None:
        self.limits = limits or ExtractLimits()
        self._slots = asyncio.Semaphore(self.limits.parallel)

    async def extract(self, data: bytes, filename: str) -> list[Text]:
        """Return the texts of a document in their order; the extension of the name says how to read it.

        Raises UnsupportedFileType, TooLarge or ExtractionFailed. Cancelling kills the reading process.
        """
        extension = extension_of(filename)
        if len(data) > self.limits.max_input:
            raise TooLarge(f"The document has {len(data)} bytes, more than {self.limits.max_input}.", file=filename)
        if extension not in OFFICE:  # an archive is opened by the process only
            check_content(data, extension)
        if extension in PLAIN:
            with contextlib.suppress(UnicodeDecodeError):  # another encoding: guessing it is for the process
                return [Text(text=data.decode("utf-8-sig").replace("\r\n", "\n"))]
        async with self._slots:
            answer = await self._ask(data, extension)
        if answer.error:
            kind = UnsupportedFileType if answer.code == UnsupportedFileType.code else ExtractionFailed
            raise kind(answer.error, hint=answer.hint, file=filename)
        return answer.texts

    async def _ask(self, data: bytes, extension: str) -> Answer:
        limits = self.limits
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "dify_host.knowledge.extract.child"),
            *(extension, str(limits.max_memory), str(limits.seconds)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            cwd="/",
        )
        try:
            async with asyncio.timeout(limits.seconds):
                _, output = await asyncio.gather(_feed(process, data), _collect(process, limits.max_output))
                await process.wait()
        except TimeoutError as exc:
            raise ExtractionFailed(
                f"Reading the document took more than {limits.seconds} s.", hint="Split it into smaller files."
            ) from exc
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await asyncio.shield(process.wait())
        return _read(output, process.returncode)


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    """Write the document; a process that has died tells by its exit code."""
    stdin = process.stdin
    assert stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(data)
        await stdin.drain()
    stdin.close()


async def _collect(process: asyncio.subprocess.Process, limit: int) -> bytes:
    """Read the answer, and no more than the limit."""
    stdout = process.stdout
    assert stdout is not None
    pieces, size = [], 0
    while piece := await stdout.read(_MIB):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise TooLarge(f"The document holds more than {limit} bytes of text.", hint="Split it into smaller files.")
    return b"".join(pieces)


def _read(output: bytes, returncode: int | None) -> Answer:
    try:
        return msgspec.msgpack.decode(output, type=Answer)
    except msgspec.DecodeError as exc:
        raise ExtractionFailed(
            f"The document made its reader fail (exit code {returncode}).",
            hint="It may be damaged, or need more memory or time than allowed.",
        ) from exc
