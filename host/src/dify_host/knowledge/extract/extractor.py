"""Extracts documents off the event loop, each in a process of its own (`dify_kernel.child`)."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import msgspec
from dify_kernel.child import ChildFailed, ChildLimits, Children
from dify_kernel.errors import DifyError, TooLarge

from dify_host.knowledge.errors import ExtractionFailed, UnsupportedFileType
from dify_host.knowledge.extract.child import Answer
from dify_host.knowledge.extract.convert import CONVERTED, Converter, needs_converter
from dify_host.knowledge.extract.formats import EXTENSIONS, PLAIN, extension_of
from dify_host.knowledge.extract.markdown import with_pictures
from dify_host.knowledge.extract.pictures import LinkedPicture, Picture, Pictures
from dify_host.knowledge.extract.sniff import ARCHIVES, check_content
from dify_host.knowledge.extract.text import Text, encoding_of, with_newlines

__all__ = ["ExtractLimits", "Extractor", "Illustrated", "illustrated_text"]

_MIB = 1024 * 1024


class ExtractLimits(ChildLimits, frozen=True, kw_only=True):
    """Bounds of reading one document: those of its process, and bytes of input."""

    max_input: int = 512 * _MIB


class Illustrated(NamedTuple):
    """The texts of a document, its pictures, and those that it links to: their digests are in the texts."""

    texts: list[Text]
    pictures: list[Picture]
    linked: list[LinkedPicture]


def illustrated_text(text: str) -> Illustrated:
    """A text of Markdown that was read elsewhere, with its pictures."""
    pictures = Pictures()
    words = with_pictures(with_newlines(text), pictures)
    return Illustrated([Text(text=words)], list(pictures.found.values()), list(pictures.linked.values()))


class Extractor:
    """Reads documents; one per process, so that `parallel` holds."""

    def __init__(self, limits: ExtractLimits | None = None, *, converter: Converter | None = None) -> None:
        self.limits = limits or ExtractLimits()
        self._converter = converter or Converter()
        self._children = Children(self.limits, warm=True)

    @property
    def extensions(self) -> tuple[str, ...]:
        """What can be read here: all of `EXTENSIONS`, without those that need a converter when there is none."""
        return tuple(item for item in EXTENSIONS if item not in CONVERTED or self._converter.ready)

    def admit(self, filename: str) -> str:
        """The extension of a name that can be read here; UnsupportedFileType says why another one cannot."""
        extension = extension_of(filename)
        if extension in CONVERTED and not self._converter.ready:
            raise needs_converter(extension)
        return extension

    async def texts(self, data: bytes, extension: str) -> list[str]:
        """The texts of a document alone, for nodes (`DocumentsPort`); raises as `extract` does."""
        return [item.text for item in await self.extract(data, f"file.{extension}")]

    async def extract(self, data: bytes, filename: str) -> list[Text]:
        """Return the texts of a document in their order; the extension of the name says how to read it.

        Raises UnsupportedFileType, TooLarge or ExtractionFailed. Cancelling kills the reading process.
        """
        return (await self._answer(data, filename, [])).texts

    async def illustrated(self, data: bytes, filename: str) -> Illustrated:
        """The same with the pictures of the document, whose places in the texts their markers hold."""
        answer = await self._answer(data, filename, ["pictures"])
        return Illustrated(answer.texts, answer.pictures, answer.linked)

    async def _answer(self, data: bytes, filename: str, wanted: list[str]) -> Answer:
        extension = extension_of(filename)
        if len(data) > self.limits.max_input:
            raise TooLarge(f"The document has {len(data)} bytes, more than {self.limits.max_input}.", file=filename)
        if extension not in ARCHIVES and not data.startswith(b"PK"):  # an archive is opened by the process only
            check_content(data, extension)
        if extension in CONVERTED:
            try:
                data, extension = await self._converter.convert(data, extension)
            except DifyError as exc:
                exc.where.setdefault("file", filename)
                raise
        if extension in PLAIN and encoding_of(data) in ("", "utf-8-sig"):
            with contextlib.suppress(UnicodeDecodeError):  # another encoding: guessing it is for the process
                return Answer(texts=[Text(text=with_newlines(data.decode("utf-8-sig")))])
        try:
            arguments = [extension, *wanted]
            answer = _read(await self._children.run("dify_host.knowledge.extract.child", arguments, data))
        except ChildFailed as exc:
            raise ExtractionFailed(
                f"The document could not be read: {exc.message}", hint="Split it into smaller files.", file=filename
            ) from exc
        if answer.error:
            kind = UnsupportedFileType if answer.code == UnsupportedFileType.code else ExtractionFailed
            raise kind(answer.error, hint=answer.hint, file=filename)
        return answer


def _read(output: bytes) -> Answer:
    try:
        return msgspec.msgpack.decode(output, type=Answer)
    except msgspec.DecodeError as exc:
        raise ExtractionFailed("The document made its reader fail.", hint="It may be damaged.") from exc
