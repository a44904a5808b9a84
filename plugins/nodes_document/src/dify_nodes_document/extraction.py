"""Gives the text of one file: what is plain at once, everything else by a process of its own."""

from __future__ import annotations

import contextlib
import functools

import msgspec
from dify_kernel.child import ChildFailed, ChildLimits, Children
from dify_kernel.contracts.ports import DocumentsPort
from dify_kernel.errors import BadInput, NodeFailed, TooLarge
from dify_kernel.graph.values import File

from dify_nodes_document.content import check_content
from dify_nodes_document.formats import BY_PLATFORM, PLAIN, extraction_failed, format_of, unsupported
from dify_nodes_document.reader import Answer

__all__ = ["extract_text"]

_MIB = 1024 * 1024
#: The most bytes of a file that is read.
MAX_INPUT = 128 * _MIB


async def extract_text(file: File, data: bytes, documents: DocumentsPort) -> str:
    """The text of a file; NodeFailed with one of Dify's error types."""
    kind = format_of(file)
    if len(data) > MAX_INPUT:
        raise extraction_failed(_name(file), f"it has {len(data)} bytes, more than {MAX_INPUT}")
    if kind in BY_PLATFORM:
        return await _by_platform(data, kind, documents)
    check_content(data, kind)
    if kind == PLAIN:
        with contextlib.suppress(UnicodeDecodeError):  # another encoding: guessing it is for the process
            return data.decode("utf-8-sig")
    try:
        output = await _children().run("dify_nodes_document.reader", [kind], data)
    except (ChildFailed, TooLarge) as exc:
        raise extraction_failed(_name(file), exc.message, hint=exc.hint) from exc
    answer = msgspec.msgpack.decode(output, type=Answer)
    if answer.error:
        raise NodeFailed(answer.error, hint=answer.hint, error_type=answer.error_type)
    return answer.text


async def _by_platform(data: bytes, kind: str, documents: DocumentsPort) -> str:
    """The texts one below the other; rows of a sheet on lines of their own."""
    try:
        texts = await documents.texts(data, kind)
    except BadInput as exc:
        if exc.code == "unsupported_file_type":
            raise unsupported(exc.message, hint=exc.hint) from exc
        raise extraction_failed(kind, exc.message, hint=exc.hint) from exc
    return ("\n" if kind == "ods" else "\n\n").join(texts)


@functools.cache
def _children() -> Children:
    """One for the process, so that its bound on how many run at once holds for all nodes."""
    return Children(ChildLimits(max_output=64 * _MIB), warm=True)


def _name(file: File) -> str:
    return file.filename or "the file"
