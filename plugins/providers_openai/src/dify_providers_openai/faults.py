"""Which error of the model contract each answer and each failure of HTTP becomes."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.http import HttpConnectionError, HttpTooLarge, OutboundRefused
from dify_kernel.errors import (
    InvokeAuthorizationError,
    InvokeBadRequestError,
    InvokeConnectionError,
    InvokeError,
    InvokeRateLimitError,
    InvokeServerUnavailableError,
)

from dify_providers_openai.settings import OpenAICredentials

__all__ = ["Translated", "refusal", "words"]

MAX_WORDS = 1000


def refusal(status: int, body: bytes, credentials: OpenAICredentials, *, wait: str | None = None) -> InvokeError:
    """The error for an answer that is not a success; the server's words are kept, without the key.

    `wait` is its Retry-After header: where it names seconds, they are the error's `retry_after`.
    """
    said, code = words(body)
    key = credentials.openai_api_key.reveal()
    if key:
        said = said.replace(key, "***")
    message = f"{credentials.base} answered {status}: {said or 'no reason given'}"
    if code == "insufficient_quota":
        return InvokeAuthorizationError(message, hint="The account has no quota left: check its plan.", status=status)
    if status in (401, 403):
        return InvokeAuthorizationError(message, hint="Check the API key and the organization.", status=status)
    if status == 429:
        return InvokeRateLimitError(message, hint="Try again later.", status=status, retry_after=_seconds(wait))
    if status >= 500 or status == 408:
        return InvokeServerUnavailableError(message, hint="Try again later.", status=status, retry_after=_seconds(wait))
    if status < 400:
        return InvokeBadRequestError(message, hint="Check the API base: it redirects or is no API.", status=status)
    return InvokeBadRequestError(message, status=status, code=code or None)


def _seconds(wait: str | None) -> float | None:
    """The seconds of a Retry-After header; None for a date, or for what is none."""
    try:
        seconds = float(wait or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def words(body: bytes | Any) -> tuple[str, str]:
    """The message and the code in an error body, whichever of the usual shapes it has."""
    try:
        said = msgspec.json.decode(body) if isinstance(body, bytes) else body
    except msgspec.DecodeError:
        return " ".join(body.decode("utf-8", "replace").split())[:MAX_WORDS], ""
    if isinstance(said, dict):
        inner = said.get("error") or said.get("detail") or said.get("message") or said
        if isinstance(inner, dict):
            return str(inner.get("message") or inner)[:MAX_WORDS], str(inner.get("code") or "")
        said = inner
    return str(said)[:MAX_WORDS], ""


class Translated:
    """Turns failures of HTTP in its block into the family of the contract.

    A class with slots, as thousands of calls wait in such a block.
    """

    __slots__ = ("_credentials",)

    def __init__(self, credentials: OpenAICredentials) -> None:
        self._credentials = credentials

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: object) -> None:
        told = _told(exc, self._credentials.base) if exc is not None else None
        if told is not None:
            raise told from exc


def _told(exc: BaseException, base: str) -> InvokeError | None:
    if isinstance(exc, HttpConnectionError):
        return InvokeConnectionError(
            f"{base} cannot be reached: {exc.message}", hint="Check the API base and the network."
        )
    if isinstance(exc, OutboundRefused):
        return InvokeBadRequestError(f"{base} may not be reached: {exc.message}", hint=exc.hint)
    if isinstance(exc, HttpTooLarge):
        return InvokeBadRequestError(f"{base} answered too much: {exc.message}")
    if isinstance(exc, msgspec.DecodeError):  # a ValidationError is one
        return InvokeServerUnavailableError(
            f"{base} answered something that is not of this API: {exc}.", hint="Check the API base."
        )
    return None
