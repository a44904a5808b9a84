"""Reads e-mail: the body of a message, of RFC 822 and of Outlook."""

from __future__ import annotations

import io
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from dify_nodes_document.formats import extraction_failed, unsupported
from dify_nodes_document.text import decode, html_text

__all__ = ["read_eml", "read_msg"]

#: MAPI properties: the body as text, in Unicode and in the sender's code page, and as HTML.
_UNICODE, _ANSI, _HTML, _HTML_TEXT = "1000001F", "1000001E", "10130102", "1013001F"


def read_eml(data: bytes) -> str:
    """The text of a message, from its HTML when it has no plain one; attachments are left out."""
    message = message_from_bytes(data, policy=policy.default)
    body = message.get_body(("plain", "html"))
    if body is None:
        return ""
    content = _content(body)
    return html_text(content) if body.get_content_type() == "text/html" else content


def _content(part: EmailMessage | Any) -> str:
    payload: Any = part.get_payload(decode=True) or b""
    try:
        return str(payload.decode(part.get_content_charset("utf-8")))
    except (LookupError, UnicodeDecodeError):  # a charset that does not exist, or that is not true
        return decode(payload)


def read_msg(data: bytes) -> str:
    """The text of an Outlook message, from its HTML when it has no plain one."""
    try:
        import olefile
    except ImportError as exc:
        raise unsupported(
            "Outlook messages need the library olefile, which is not installed.",
            hint="Install it (pip install 'dify-nodes-document[msg]'), or save the message as eml.",
        ) from exc
    with olefile.OleFileIO(io.BytesIO(data)) as file:
        if not file.exists("__properties_version1.0"):
            raise extraction_failed("MSG", "it is no Outlook message", hint="Give it the extension of what it is.")
        texts = {name: _stream(file, name) for name in (_UNICODE, _ANSI, _HTML, _HTML_TEXT)}
    if texts[_UNICODE]:
        return texts[_UNICODE].decode("utf-16-le", "replace")
    if texts[_ANSI]:
        return decode(texts[_ANSI])
    if texts[_HTML_TEXT]:
        return html_text(texts[_HTML_TEXT].decode("utf-16-le", "replace"))
    return html_text(texts[_HTML])


def _stream(file: Any, name: str) -> bytes:
    path = f"__substg1.0_{name}"
    content: bytes = file.openstream(path).read() if file.exists(path) else b""
    return content
