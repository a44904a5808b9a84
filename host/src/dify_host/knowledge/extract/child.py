"""The process that reads one document: bytes on standard input, MessagePack on standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec
from dify_kernel.child import serve
from dify_kernel.errors import DifyError

from dify_host.knowledge.extract.formats import read
from dify_host.knowledge.extract.pictures import LinkedPicture, Picture, Pictures
from dify_host.knowledge.extract.sniff import check_content
from dify_host.knowledge.extract.text import Text

__all__ = ["PARSERS", "Answer", "main"]

#: What reads documents, loaded before the first one comes.
PARSERS = (
    *("charset_normalizer", "docx", "email.message", "email.policy", "lxml.etree", "olefile"),
    *("openpyxl", "pypdfium2", "striprtf.striprtf", "xlrd"),
)


class Answer(msgspec.Struct, omit_defaults=True):
    """What the process says: the texts with the pictures that their markers name, or why there are none.

    `linked` are those that are elsewhere: the process has no network.
    """

    texts: list[Text] = []
    pictures: list[Picture] = []
    linked: list[LinkedPicture] = []
    error: str = ""
    hint: str = ""
    code: str = ""


def main(data: bytes, arguments: Sequence[str]) -> bytes:
    """Read the bytes as a document of the extension that is the first argument; the second is `pictures` or absent."""
    extension, *wanted = arguments
    return msgspec.msgpack.encode(_answer(data, extension, Pictures() if wanted == ["pictures"] else None))


def _answer(data: bytes, extension: str, pictures: Pictures | None) -> Answer:
    try:
        check_content(data, extension)
        texts = [Text(text=_well_formed(item.text), metadata=item.metadata) for item in read(data, extension, pictures)]
        if pictures is None:
            return Answer(texts=texts)
        return Answer(texts=texts, pictures=list(pictures.found.values()), linked=list(pictures.linked.values()))
    except DifyError as exc:
        return Answer(error=exc.message, hint=exc.hint, code=exc.code)
    except MemoryError:
        return Answer(error="The document needs too much memory to read.", hint="Split it into smaller files.")
    except RecursionError:
        return Answer(error="The document is nested too deeply to read.")
    except Exception as exc:  # whatever a parser raises, the document is what is wrong
        return Answer(error=f"The {extension} file cannot be read: {type(exc).__name__}: {exc}.", hint="Save it again.")


def _well_formed(text: str) -> str:
    """Join surrogate pairs that a parser left apart, and replace single ones."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


if __name__ == "__main__":
    sys.modules["numpy"] = None  # type: ignore[assignment]  # openpyxl would load it where it is, and needs it not
    serve(main, preload=PARSERS)
