"""Has old formats written anew by a program of the operator's choice, with limits and in a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from dify_kernel.errors import SettingsError

from dify_host.knowledge.errors import ExtractionFailed, UnsupportedFileType

__all__ = ["CONVERTED", "ConvertLimits", "Converter", "needs_converter"]

_MIB = 1024 * 1024
#: What a format becomes. A program that writes no such file says its text on standard output.
CONVERTED = {"doc": "docx", "ppt": "pptx"}


class ConvertLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one conversion: bytes of memory and of a file that it writes, seconds; and how many run at once."""

    max_memory: int = 4096 * _MIB
    max_output: int = 128 * _MIB
    seconds: int = 120
    parallel: int = 1


class Converter:
    """Runs a command in which {input}, {folder} and {format} stand for the file, its folder and the wanted extension.

    SettingsError when the command cannot be split into words. An empty command refuses every document.
    """

    def __init__(self, command: str = "", limits: ConvertLimits | None = None) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as exc:
            raise SettingsError(f"DOCUMENT_CONVERTER is no command: {exc}.") from exc
        self._limits = limits or ConvertLimits()
        self._slots = asyncio.Semaphore(self._limits.parallel)

    @property
    def ready(self) -> bool:
        """Whether there is a command."""
        return bool(self._words)

    async def convert(self, data: bytes, extension: str) -> tuple[bytes, str]:
        """The new document and its extension, `txt` for the text that a program says.

        UnsupportedFileType without a command, ExtractionFailed when it fails. Cancelling kills the program.
        """
        wanted = CONVERTED[extension]
        if not self._words:
            raise needs_converter(extension)
        async with self._slots:
            with tempfile.TemporaryDirectory(prefix="dify-convert-", ignore_cleanup_errors=True) as folder:
                source = Path(folder) / f"document.{extension}"
                await asyncio.to_thread(source.write_bytes, data)
                places = {"{input}": str(source), "{folder}": folder, "{format}": wanted}
                said = await self._run([_filled(word, places) for word in self._words], folder)
                target = source.with_suffix(f".{wanted}")
                if target.is_file() and not target.is_symlink():
                    return await asyncio.to_thread(target.read_bytes), wanted
        if not said.strip():
            raise ExtractionFailed(
                f"The converter gave nothing for the {extension} file.", hint=f"Save it as {wanted}."
            )
        return said, "txt"

    async def _run(self, command: Sequence[str], folder: str) -> bytes:
        limits = self._limits
        bounds = (str(limits.max_memory), str(limits.seconds), str(limits.max_output))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "dify_host.knowledge.extract.limited", *bounds, *command),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={"HOME": folder, "TMPDIR": folder, "PATH": os.defpath, "LANG": "C.UTF-8"}, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            async with asyncio.timeout(limits.seconds):
                output = await _read(process.stdout, limits.max_output)
                code = await process.wait()
        except TimeoutError as exc:
            raise ExtractionFailed(f"The converter took more than {limits.seconds} s.") from exc
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # also what it started and left behind
            await asyncio.shield(process.wait())
        if code:
            raise ExtractionFailed(
                f"The converter {command[0]} failed (exit code {code}).",
                hint="The document may be damaged or have a password; else look at DOCUMENT_CONVERTER.",
            )
        return output


async def _read(stdout: asyncio.StreamReader, limit: int) -> bytes:
    output = bytearray()
    while piece := await stdout.read(_MIB):
        output += piece
        if len(output) > limit:
            raise ExtractionFailed(f"The converter said more than {limit} bytes.", hint="Split the document.")
    return bytes(output)


def _filled(word: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        word = word.replace(name, value)
    return word


def needs_converter(extension: str) -> UnsupportedFileType:
    """Why a format of `CONVERTED` cannot be read where no command is set."""
    return UnsupportedFileType(
        f"Files of type {extension} need a converter, and none is set.",
        hint=f"Save the file as {CONVERTED[extension]}, or have DOCUMENT_CONVERTER name an installed one.",
    )
