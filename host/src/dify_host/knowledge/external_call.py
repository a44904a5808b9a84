"""The one call of the external knowledge API: POST <endpoint>/retrieval, its records, and what its errors say."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
from dify_kernel.contracts.http import (
    HttpClient,
    HttpConnectionError,
    HttpRequest,
    HttpResponse,
    HttpTooLarge,
    Timeout,
)
from dify_kernel.errors import OutboundRefused

from dify_host.knowledge.errors import ExternalKnowledgeFailed
from dify_host.knowledge.metadata import Conditions

__all__ = ["ExternalHit", "ExternalQuestion", "ask_external", "check_external"]

_TIMEOUT: Final = Timeout(connect=10, read=60, write=10, total=90)
_MAX_BYTES: Final = 10 * 1024 * 1024
_SAID: Final = 300
#: What the documented codes of an error body ask for.
_HINTS: Final = {
    1001: "The API key must be sent as a bearer token: check the form of the key.",
    1002: "The API does not accept the key: check it in the settings of the external knowledge API.",
    2001: "Check the external knowledge id of the knowledge base.",
}


class ExternalQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """One question to one external knowledge base."""

    query: str
    knowledge_id: str
    top_k: int = 4
    score_threshold: float = 0.0
    conditions: Conditions | None = None

    def body(self) -> bytes:
        """The body of the request."""
        return msgspec.json.encode(
            {
                "retrieval_setting": {"top_k": self.top_k, "score_threshold": self.score_threshold},
                "query": self.query,
                "knowledge_id": self.knowledge_id,
                "metadata_condition": msgspec.to_builtins(self.conditions) if self.conditions else None,
            }
        )


class ExternalHit(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the answer."""

    content: str
    title: str
    score: float
    metadata: dict[str, Any]


class _Given(msgspec.Struct, frozen=True, kw_only=True):
    """A record as APIs send it: more often than not something is null."""

    content: str | None = None
    title: str | None = None
    score: float | None = None
    metadata: dict[str, Any] | None = None


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    records: list[_Given]


async def check_external(http: HttpClient, endpoint: str, key: str) -> None:
    """See whether an API of that kind answers there: anything but no answer, 502, 404 and 403 will do.

    ExternalKnowledgeFailed otherwise.
    """
    answer = await _send(http, endpoint, key, b"{}")
    reasons = {502: "failed to connect to the endpoint", 404: "the endpoint is not found", 403: "the key is refused"}
    if answer.status in reasons:
        raise ExternalKnowledgeFailed(
            f"The external knowledge API at {endpoint} answers {answer.status}: {reasons[answer.status]}.",
            hint="The address is the part before /retrieval.",
        )


async def ask_external(http: HttpClient, endpoint: str, key: str, question: ExternalQuestion) -> list[ExternalHit]:
    """The records of the answer in its order; ExternalKnowledgeFailed says what the API said."""
    answer = await _send(http, endpoint, key, question.body())
    if answer.status != 200:
        raise _refusal(endpoint, answer)
    try:
        records = msgspec.json.decode(answer.content, type=_Answer).records
    except msgspec.DecodeError as exc:
        raise ExternalKnowledgeFailed(
            f"The external knowledge API at {endpoint} gave no list of records: {exc}.",
            hint="It must answer {records: [{content, score, title, metadata}]}.",
        ) from exc
    hits = [
        ExternalHit(content=item.content, title=item.title or "", score=item.score or 0.0, metadata=item.metadata or {})
        for item in records
        if item.content
    ]
    return [hit for hit in hits if math.isfinite(hit.score)]


async def _send(http: HttpClient, endpoint: str, key: str, body: bytes) -> HttpResponse:
    headers = (("Content-Type", "application/json"), ("Authorization", f"Bearer {key}"))
    request = HttpRequest(
        method="POST",
        url=f"{endpoint.rstrip('/')}/retrieval",
        headers=headers,
        content=body,
        timeout=_TIMEOUT,
        max_bytes=_MAX_BYTES,
    )
    try:
        return await http.send(request)
    except (HttpConnectionError, HttpTooLarge, OutboundRefused) as exc:
        raise ExternalKnowledgeFailed(
            f"The external knowledge API at {endpoint} cannot be asked: {exc}",
            hint="Check its address; inner addresses must be in SSRF_ALLOWED_HOSTS.",
        ) from exc


def _refusal(endpoint: str, answer: HttpResponse) -> ExternalKnowledgeFailed:
    """The error body in words: {error_code, error_msg}, or its beginning when it is something else."""
    try:
        body = answer.json()
    except msgspec.DecodeError:
        body = None
    code, said = None, answer.text[:_SAID]
    if isinstance(body, dict):
        code = body.get("error_code")
        said = str(body.get("error_msg") or said)[:_SAID]
    known = f"{answer.status}, error code {code}" if code is not None else str(answer.status)
    return ExternalKnowledgeFailed(
        f"The external knowledge API at {endpoint} answered {known}: {said}",
        hint=_HINTS.get(code, "") if isinstance(code, int) else "",
        status=answer.status,
    )
