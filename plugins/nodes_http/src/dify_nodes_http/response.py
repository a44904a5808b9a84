"""Reads an answer: text or file, and under which name. Pure."""

from __future__ import annotations

import codecs
import mimetypes
import re
from urllib.parse import unquote, urlsplit

from dify_kernel.contracts.http import HttpResponse

__all__ = ["file_name", "is_file", "joined_headers", "mime_type"]

_TEXT_WORDS = ("json", "xml", "javascript", "x-www-form-urlencoded", "yaml", "graphql")
_TEXT_MARKS = ("{", "[", "<", "function", "var ", "const ", "let ")
_DISPOSITION_NAME = re.compile(r"""filename(\*)?\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))""", re.IGNORECASE)


def mime_type(response: HttpResponse) -> str:
    """The media type in lower case without parameters; empty when the answer names none."""
    return (response.header("content-type") or "").partition(";")[0].strip().lower()


def is_file(response: HttpResponse) -> bool:
    """Whether the body is to be kept as a file instead of shown as text."""
    if not response.content:
        return False
    disposition = response.header("content-disposition") or ""
    if disposition.strip().lower().startswith("attachment") or _disposition_name(disposition):
        return True
    main, _, sub = mime_type(response).partition("/")
    if main == "text":
        return sub == "csv"
    if main == "application":
        return not any(word in sub for word in _TEXT_WORDS) and not _looks_like_text(response.content[:1024])
    return main not in ("", "multipart", "message")


def _looks_like_text(sample: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return any(mark in text for mark in _TEXT_MARKS)


def file_name(response: HttpResponse) -> str:
    """The name in Content-Disposition, else the last part of the address, else `response`; never with a folder."""
    name = _disposition_name(response.header("content-disposition") or "")
    name = name or unquote(urlsplit(response.url).path.rpartition("/")[2])
    name = re.sub(r"[\x00-\x1f]", "", name.replace("\\", "/").rpartition("/")[2]).strip(". ") or "response"
    if "." not in name:
        name += mimetypes.guess_extension(mime_type(response)) or ""
    return name


def _disposition_name(disposition: str) -> str:
    found = {bool(star): quoted or bare for star, quoted, bare in _DISPOSITION_NAME.findall(disposition)}
    if found.get(True):  # RFC 6266: the extended form goes before the plain one
        charset, _, value = found[True].partition("'")
        try:
            return unquote(value.partition("'")[2], encoding=charset.strip() or "utf-8").strip()
        except LookupError:
            return ""
    return re.sub(r"\\(.)", r"\1", found.get(False, "")).strip()


def joined_headers(response: HttpResponse) -> dict[str, str]:
    """The headers by lower-case name; repeated ones are joined by a comma."""
    headers: dict[str, str] = {}
    for name, value in response.headers:
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
