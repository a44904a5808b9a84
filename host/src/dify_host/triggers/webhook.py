"""What a webhook takes and answers: a request is checked against its node, and its parts get their types. No I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from dify_host.triggers.errors import WebhookRefused
from dify_host.triggers.graph import Field, WebhookConfig

__all__ = [
    "BYTES",
    "FORM",
    "JSON",
    "MULTIPART",
    "TEXT",
    "CheckedCall",
    "Reply",
    "SentFile",
    "WebhookCall",
    "check",
    "reply",
]

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
BYTES: Final = "application/octet-stream"
TEXT: Final = "text/plain"

_NUMBER: Final = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")
_TRUE: Final = frozenset(("true", "1", "yes", "on"))
_FALSE: Final = frozenset(("false", "0", "no", "off"))
_DONE: Final = {"status": "success", "message": "Webhook processed successfully"}
#: Statuses whose answers have no body.
_EMPTY: Final = frozenset((204, 205, 304))


class SentFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a request."""

    filename: str
    mime_type: str
    data: bytes


class WebhookCall(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came. `fields` and `files` are those of a form, `data` is the body of anything else."""

    method: str
    headers: dict[str, str]
    query: dict[str, str]
    content_type: str
    data: bytes = b""
    fields: dict[str, str] = {}
    files: dict[str, SentFile] = {}


class CheckedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A request that fits: `query` and `body` have the declared types, `files` are not kept anywhere yet.

    The file of a body of bytes is named `raw`.
    """

    method: str
    headers: dict[str, str]
    query: dict[str, Any]
    body: Any
    files: dict[str, SentFile]
    whole_body_is_file: bool = False


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request that was taken; None has no body."""

    status: int
    body: Any


def check(config: WebhookConfig, call: WebhookCall) -> CheckedCall:
    """The parts of a request with their types; WebhookRefused says what does not fit."""
    wanted, given = config.method.upper(), call.method.upper()
    if wanted != given:
        raise WebhookRefused(f"HTTP method mismatch. Expected {wanted}, got {given}", field="method")
    kind = config.content_type.lower()
    if kind != call.content_type:
        raise WebhookRefused(f"Content-type mismatch. Expected {kind}, got {call.content_type}", field="content_type")
    known = {_plain(name) for name in call.headers}
    for header in config.headers or []:
        if header.required and _plain(header.name) not in known:
            raise WebhookRefused(f"Required header missing: {header.name}", field=header.name)
    query: dict[str, Any] = dict(call.query)
    for item in config.params or []:
        _convert(item, query, "query parameter", _from_text)
    body, files = _body(config.body or [], kind, call)
    whole = kind == BYTES
    return CheckedCall(
        method=given, headers=call.headers, query=query, body=body, files=files, whole_body_is_file=whole
    )


def reply(config: WebhookConfig) -> Reply:
    """What a request that was taken is answered, before its run has begun."""
    text = (config.response_body or "").strip()
    if config.status_code in _EMPTY:
        return Reply(status=config.status_code, body=None)
    if not text:
        return Reply(status=config.status_code, body=_DONE)
    if text[0] in "{[":
        try:
            return Reply(status=config.status_code, body=msgspec.json.decode(text))
        except msgspec.DecodeError:
            return Reply(status=config.status_code, body={"message": config.response_body})
    return Reply(status=config.status_code, body={"message": config.response_body})


# -- bodies --------------------------------------------------------------------------------------------------


def _body(fields: list[Field], kind: str, call: WebhookCall) -> tuple[Any, dict[str, SentFile]]:
    if kind == BYTES:
        if not call.data and any(item.required for item in fields):
            raise WebhookRefused("Required body content missing")
        name = call.headers.get("X-Filename") or "file.bin"
        return {}, {"raw": SentFile(filename=name, mime_type=BYTES, data=call.data)} if call.data else {}
    if kind in (FORM, MULTIPART):
        return _form(fields, call)
    if kind == JSON:
        return _json(fields, call), {}
    text = call.data.decode("utf-8", "replace").replace("\x00", "")
    if not text and any(item.required for item in fields):
        raise WebhookRefused("Required body content missing")
    return {"raw": text}, {}


def _form(fields: list[Field], call: WebhookCall) -> tuple[dict[str, Any], dict[str, SentFile]]:
    values: dict[str, Any] = dict(call.fields)
    for item in fields:
        if item.type == "file":
            if item.required and item.name not in call.files:
                raise WebhookRefused(f"Required file missing: {item.name}", field=item.name)
        else:
            _convert(item, values, "body parameter", _from_text)
    return values, call.files


def _json(fields: list[Field], call: WebhookCall) -> Any:
    try:
        body: Any = msgspec.json.decode(call.data) if call.data.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise WebhookRefused(f"Invalid JSON body: {exc}") from exc
    except RecursionError as exc:
        raise WebhookRefused("Invalid JSON body: it is nested too deeply") from exc
    if isinstance(body, dict):
        for item in fields:
            _convert(item, body, "body parameter", _as_is)
    elif any(item.required for item in fields):
        raise WebhookRefused("The JSON body must be an object: the webhook requires fields of it")
    return body


# -- types ---------------------------------------------------------------------------------------------------


def _convert(item: Field, values: dict[str, Any], what: str, read: Any) -> None:
    """Give one value its declared type, in place; WebhookRefused when it is missing or does not fit."""
    value = values.get(item.name)
    if value is None:
        if item.required:
            raise WebhookRefused(f"Required {what} missing: {item.name}", field=item.name)
        return
    value = read(value, item.type)
    if not _fits(value, item.type):
        raise WebhookRefused(
            f"The {what} '{item.name}' must be of type {item.type}, not {type(value).__name__}", field=item.name
        )
    values[item.name] = value


def _as_is(value: Any, _kind: str) -> Any:
    return value


def _from_text(text: str, kind: str) -> Any:
    """The value that a text of a query or form stands for; the text itself when it stands for none."""
    word = text.strip()
    if kind == "number":
        return _number(word, text)
    if kind == "boolean":
        return True if word.lower() in _TRUE else False if word.lower() in _FALSE else text
    if kind == "object" or kind.startswith("array"):
        try:
            return msgspec.json.decode(word)
        except (msgspec.DecodeError, RecursionError):
            return text
    return text


def _number(word: str, text: str) -> Any:
    if not _NUMBER.fullmatch(word):
        return text
    for parse in (int, float):
        try:
            return parse(word)
        except ValueError:
            continue
    return text


_ITEMS: Final[Mapping[str, str]] = {
    "array[string]": "string",
    "array[number]": "number",
    "array[boolean]": "boolean",
    "array[object]": "object",
}


def _fits(value: Any, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "object":
        return isinstance(value, dict)
    if kind in _ITEMS:
        return isinstance(value, list) and all(_fits(item, _ITEMS[kind]) for item in value)
    return kind != "file"


def _plain(name: str) -> str:
    """A header's name without what does not tell headers apart."""
    return name.lower().replace("_", "-")
