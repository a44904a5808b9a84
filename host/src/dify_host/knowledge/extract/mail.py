"""Reads e-mail of RFC 822 and of Outlook: subject, people and date, the body, and the names of attachments."""

from __future__ import annotations

import codecs
import io
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from dify_host.knowledge.errors import ExtractionFailed, UnsupportedFileType
from dify_host.knowledge.extract.html import html_text
from dify_host.knowledge.extract.text import Text, decode, with_newlines

__all__ = ["read_eml", "read_msg"]

_HEADERS = ("Subject", "From", "To", "Cc", "Date")
_MAX_NAMES = 100
#: The kinds of parts that are shown as the message itself.
_SHOWN = ("text/plain", "text/html")
#: Characters of a header; the time of reading one grows with their square.
_MAX_HEADER = 4000
_WINDOWS_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
#: The property of a message's fixed ones that says when it was sent: type FILETIME, id 0039.
_SENT = 0x00390040


def read_eml(data: bytes) -> list[Text]:
    """Read the message as one text: the parts that are shown, from HTML where there is no plain text of the same.

    Attachments are not read.
    """
    from email import headerregistry, message_from_bytes, policy

    headers = headerregistry.HeaderRegistry()
    bounded = policy.default.clone(header_factory=lambda name, value: headers(name, _spelled(value)[:_MAX_HEADER]))
    message = message_from_bytes(data.removeprefix(codecs.BOM_UTF8), policy=bounded)
    bodies, names = [], []
    for part in _leaves(message):
        shown = part.get_content_type() in _SHOWN or part.get_content_maintype() == "multipart"
        if shown and (part is message or not part.is_attachment()):
            bodies.append(_body(part))
        elif part is not message:
            names.append(part.get_filename() or part.get_content_type())
    if not any(bodies) and not any(message.get(name) for name in _HEADERS):
        raise ExtractionFailed("The eml file is no message: it has neither headers nor a text.")
    said = "\n\n".join(filter(None, map(str.strip, bodies)))
    return [_written({name: str(message.get(name) or "") for name in _HEADERS}, said, names)]


def _leaves(message: Any) -> Iterator[Any]:
    """The parts of a message in their order, one of alternatives, and of a page without what it is made of."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        if not part.is_multipart() or part.get_content_maintype() != "multipart":
            yield part
            continue
        parts = list(part.iter_parts())
        if part.get_content_subtype() == "alternative":
            parts = sorted(parts, key=_worth)[:1]
        elif part.get_content_subtype() == "related":
            parts = parts[:1]
        waiting += reversed(parts)


def _worth(part: Any) -> int:
    """The place of an alternative: plain text that says something, a page, what holds others, anything else."""
    kind = part.get_content_type()
    if kind == "text/plain":
        return 0 if _body(part).strip() else 4
    return 1 if kind == "text/html" else 2 if part.is_multipart() else 3


def _spelled(value: str) -> str:
    """A header whose bytes are no ASCII, in the encoding that they have."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # bytes that are not ASCII wait in it as half letters
        return decode(value.encode("utf-8", "surrogateescape"))
    return value


def _body(part: Any) -> str:
    text = decode(part.get_payload(decode=True) or b"", str(part.get_content_charset("")))
    return html_text(text) if part.get_content_type() == "text/html" else with_newlines(text)


def read_msg(data: bytes) -> list[Text]:
    """Read an Outlook message as one text; its body from its HTML when it has no plain one."""
    import olefile

    with olefile.OleFileIO(io.BytesIO(data)) as file:
        if not file.exists("__properties_version1.0"):
            raise UnsupportedFileType(
                "The file has the extension msg, and is no Outlook message.", hint="Upload the document itself."
            )
        sender = " ".join(filter(None, (_value(file, "0C1A"), _address(_value(file, "5D01") or _value(file, "0C1F")))))
        headers = {
            "Subject": _value(file, "0037"),
            "From": sender,
            "To": _value(file, "0E04"),
            "Cc": _value(file, "0E03"),
            "Date": _sent(file),
        }
        body = _value(file, "1000") or html_text(_stream(file, "10130102").rstrip(b"\0") or _value(file, "1013"))
        return [_written(headers, with_newlines(body), _attachments(file))]


def _attachments(file: Any) -> list[str]:
    folders = {path[0] for path in file.listdir() if path[0].startswith("__attach_version1.0_")}
    named = [_value(file, "3707", f"{name}/") or _value(file, "3704", f"{name}/") for name in sorted(folders)]
    return [name for name in named if name]


def _value(file: Any, property_id: str, folder: str = "") -> str:
    """A text property, in Unicode or in the sender's code page; "" without one."""
    text = _stream(file, f"{property_id}001F", folder)
    if text:
        return text.decode("utf-16-le", "replace").rstrip("\0")
    return decode(_stream(file, f"{property_id}001E", folder)).rstrip("\0")


def _stream(file: Any, name: str, folder: str = "") -> bytes:
    path = f"{folder}__substg1.0_{name}"
    content: bytes = file.openstream(path).read() if file.exists(path) else b""
    return content


def _address(text: str) -> str:
    return f"<{text}>" if "@" in text else ""


def _sent(file: Any) -> str:
    """When the message was sent, UTC; entries of 16 bytes follow a head of 32."""
    content = file.openstream("__properties_version1.0").read()
    for at in range(32, len(content) - 15, 16):
        if int.from_bytes(content[at : at + 4], "little") == _SENT:
            (ticks,) = struct.unpack_from("<Q", content, at + 8)
            try:
                return (_WINDOWS_EPOCH + timedelta(microseconds=ticks // 10)).isoformat(" ", "seconds")
            except OverflowError:
                return ""
    return ""


def _written(headers: dict[str, str], body: str, attachments: list[str]) -> Text:
    lines = [f"{name}: {' '.join(value.split())}" for name, value in headers.items() if value.strip()]
    parts = ["\n".join(lines), body.strip()]
    if attachments:
        parts.append("Attachments: " + ", ".join(attachments[:_MAX_NAMES]))
    metadata: dict[str, str | int] = {
        name.lower(): " ".join(value.split()) for name, value in headers.items() if value.strip()
    }
    return Text(text="\n\n".join(part for part in parts if part), metadata=metadata)
