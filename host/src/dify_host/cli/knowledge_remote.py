"""A knowledge base of another server, asked over its Service API: what `dify kb eval --server` scores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
from dify_kernel.errors import BadInput, DifyError, NotFound

__all__ = ["MAX_QUERY", "RemoteBase", "ServerError", "remote_base"]

T = TypeVar("T")

#: The longest question that the API takes, in characters.
MAX_QUERY: Final = 250
_SECONDS: Final = 120.0
_PAGE: Final = 100
_MOST_WORDS: Final = 300
#: What a `retrieval_model` must say, whatever else it says.
_SAID: Final = {"reranking_enable": False, "score_threshold_enabled": False}
_SHARES: Final = (0.7, 0.3)


class ServerError(DifyError):
    """The other server cannot be asked, or refuses."""

    code = "server_error"


class _Dataset(msgspec.Struct, frozen=True):
    id: str
    name: str
    embedding_model: str | None = None
    embedding_model_provider: str | None = None


class _Page(msgspec.Struct, frozen=True):
    data: list[_Dataset]


class _Document(msgspec.Struct, frozen=True):
    name: str


class _Segment(msgspec.Struct, frozen=True):
    document: _Document


class _Record(msgspec.Struct, frozen=True):
    segment: _Segment


class _Answer(msgspec.Struct, frozen=True):
    records: list[_Record]


class _Refusal(msgspec.Struct, frozen=True):
    message: str = ""
    code: str = ""


class RemoteBase:
    """One knowledge base behind a Service API."""

    def __init__(self, web: httpx.AsyncClient, dataset: _Dataset) -> None:
        self._web, self._dataset = web, dataset
        self.id, self.name = dataset.id, dataset.name

    async def ask(self, query: str, settings: Sequence[dict[str, Any] | None]) -> list[list[str]]:
        """The names of the documents that each setting finds, best first, one a segment; None is the base's own."""
        return [await self._ask(query, model) for model in settings]

    async def _ask(self, query: str, model: dict[str, Any] | None) -> list[str]:
        body: dict[str, Any] = {"query": query}
        if model is not None:
            body["retrieval_model"] = self._complete(model)
        answer = await _call(self._web, "POST", f"datasets/{self.id}/retrieve", _Answer, json=body)
        return [record.segment.document.name for record in answer.records]

    def _complete(self, model: dict[str, Any]) -> dict[str, Any]:
        """A setting with what the API wants said; weights name the embedding model, which the server knows best."""
        found = {**_SAID, **model}
        if found.get("reranking_mode") == "weighted_score" and "weights" not in found:
            vector, keyword = _SHARES
            of_vector = {
                "vector_weight": vector,
                "embedding_provider_name": self._dataset.embedding_model_provider or "",
                "embedding_model_name": self._dataset.embedding_model or "",
            }
            found["weights"] = {"vector_setting": of_vector, "keyword_setting": {"keyword_weight": keyword}}
        return found


@asynccontextmanager
async def remote_base(server: str, key: str, base: str) -> AsyncIterator[RemoteBase]:
    """Open the knowledge base of that name, else of that id.

    BadInput for an address that is none, NotFound, ServerError in the server's own words.
    """
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=_root(server), headers=headers, timeout=_SECONDS) as web:
        yield RemoteBase(web, await _find(web, base))


async def _find(web: httpx.AsyncClient, base: str) -> _Dataset:
    page = await _call(web, "GET", "datasets", _Page, params={"keyword": base, "limit": _PAGE})
    for item in page.data:
        if base in (item.name, item.id):
            return item
    try:
        return await _call(web, "GET", f"datasets/{base}", _Dataset)
    except NotFound as exc:
        raise NotFound(
            f"{web.base_url.host} has no knowledge base {base!r}.", hint="Check the name, and what the key may see."
        ) from exc


def _root(server: str) -> str:
    """The address of the API: that of a server, with the API's own path or without."""
    parts = urlsplit(server.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(f"{server!r} is not the address of a server.", hint="Write one with http:// or https://.")
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}/"


async def _call(
    web: httpx.AsyncClient,
    method: str,
    path: str,
    kind: type[T],
    *,
    params: Mapping[str, Any] | None = None,
    json: Mapping[str, Any] | None = None,
) -> T:
    """The answer of a route; NotFound for status 404, ServerError for anything else that is no answer."""
    where = f"{method} {web.base_url}{path}"
    try:
        response = await web.request(method, path, params=params, json=json)
    except httpx.HTTPError as exc:
        raise ServerError(f"{where} failed: {exc or type(exc).__name__}.", hint="Check the address.") from exc
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise NotFound(f"{where} was not found: {_words(response)}", hint="Is it the address of a Service API?")
    if not response.is_success:
        raise ServerError(
            f"{where} answered with status {response.status_code}: {_words(response)}",
            hint="The key must be one of knowledge (dataset-…), and the setting one that this server knows.",
        )
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.DecodeError as exc:
        raise ServerError(f"{where} did not answer as a Service API does: {exc}.", hint="Check the address.") from exc


def _words(response: httpx.Response) -> str:
    """What the server says of its refusal."""
    try:
        said = msgspec.json.decode(response.content, type=_Refusal)
    except msgspec.DecodeError:
        return " ".join(response.text.split())[:_MOST_WORDS]
    return f"{said.message[:_MOST_WORDS]} ({said.code})" if said.code else said.message[:_MOST_WORDS]
