"""The process that reads one file: bytes on standard input, MessagePack on standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import msgspec
from dify_kernel.child import serve
from dify_kernel.errors import NodeFailed

from dify_nodes_document.formats import PLAIN

__all__ = ["PARSERS", "Answer", "answer", "reader_of"]

#: What reads files, loaded before the first one comes.
PARSERS = (
    *("charset_normalizer", "docx", "email.message", "email.policy", "lxml.etree", "olefile"),
    *("openpyxl", "pypdfium2", "xlrd", "yaml"),
)


class Answer(msgspec.Struct, omit_defaults=True):
    """What the process says: the text, or why there is none."""

    text: str = ""
    error: str = ""
    error_type: str = ""
    hint: str = ""


def answer(data: bytes, arguments: Sequence[str]) -> bytes:
    """Read the bytes as the format that is the only argument."""
    (kind,) = arguments
    return msgspec.msgpack.encode(_answer(data, kind))


def _answer(data: bytes, kind: str) -> Answer:
    try:
        return Answer(text=_well_formed(reader_of(kind)(data)))
    except NodeFailed as exc:
        return Answer(error=exc.message, error_type=exc.error_type, hint=exc.hint)
    except MemoryError:
        reason = "it needs too much memory to read"
    except RecursionError:
        reason = "it is nested too deeply"
    except Exception as exc:  # whatever a parser raises, the file is what is wrong
        reason = f"{type(exc).__name__}: {exc}"
    return Answer(error=f"Failed to extract text from {kind}: {reason}", error_type="TextExtractionError")


def reader_of(kind: str) -> Callable[[bytes], str]:
    """What reads a format; its parser is imported here and not before."""
    if kind == "pdf":
        from dify_nodes_document.pdf import read_pdf as read
    elif kind == "docx":
        from dify_nodes_document.docx import read_docx as read
    elif kind == "pptx":
        from dify_nodes_document.pptx import read_pptx as read
    elif kind == "epub":
        from dify_nodes_document.epub import read_epub as read
    elif kind in ("excel", "csv"):
        from dify_nodes_document import tables

        read = tables.read_csv if kind == "csv" else tables.read_excel
    elif kind in ("eml", "msg"):
        from dify_nodes_document import mail

        read = mail.read_eml if kind == "eml" else mail.read_msg
    else:
        from dify_nodes_document import text

        readers = {"json": text.read_json, "yaml": text.read_yaml, "properties": text.read_properties}
        read = text.decode if kind == PLAIN else readers[kind]
    return read


def _well_formed(text: str) -> str:
    """Join surrogate pairs that a parser left apart, and replace single ones."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


if __name__ == "__main__":
    sys.modules["numpy"] = None  # type: ignore[assignment]  # openpyxl would load it where it is, and needs it not
    serve(answer, preload=PARSERS)
