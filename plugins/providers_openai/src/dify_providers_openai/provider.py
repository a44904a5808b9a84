"""The provider: one method a kind of model, all of them HTTP requests through the host's client."""

from __future__ import annotations

import asyncio
import re
from array import array
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Any, ClassVar, Literal, TypeVar

import msgspec
from dify_kernel.contracts.http import FormPart, HttpRequest, HttpStream, Timeout
from dify_kernel.contracts.model import (
    Embeddings,
    LLMDelta,
    LLMRequest,
    ModelInfo,
    ModelProvider,
    ModelType,
    ProviderPorts,
    RerankHit,
    Usage,
    price,
)
from dify_kernel.errors import (
    CredentialsValidateFailedError,
    InvokeBadRequestError,
    InvokeConnectionError,
    InvokeError,
    InvokeServerUnavailableError,
)

from dify_providers_openai import catalog
from dify_providers_openai.bodies import chat_body, completion_body
from dify_providers_openai.chat import DeltaReader
from dify_providers_openai.faults import Translated, refusal, words
from dify_providers_openai.settings import OpenAICredentials
from dify_providers_openai.wire import Chunk, Embedded, EventSplitter, Heard, Moderated, Ranked

__all__ = ["OpenAIProvider"]

#: How long a server may take to close an answer after it said that it is done.
_TAIL_SECONDS = 0.25

T = TypeVar("T")

#: A reasoning model may think for minutes before its first token.
GENERATING = Timeout(connect=10, read=600, write=60)
WAITING = Timeout(connect=10, read=120, write=120)
CHECKING = Timeout(connect=10, read=30, write=10)
MAX_BYTES = 64 * 1024 * 1024
SPEECH_CHARACTERS = 4000
MODERATED_CHARACTERS = 2000

_decode_chunk = msgspec.json.Decoder(Chunk).decode


class OpenAIProvider(ModelProvider):
    """OpenAI, and every server that speaks its API at the address in the credentials."""

    name: ClassVar[str] = "openai"
    label: ClassVar[str] = "OpenAI"
    description: ClassVar[str] = "Models of OpenAI, or of any server that speaks its API."
    Credentials: ClassVar[type[msgspec.Struct]] = OpenAICredentials
    model_types: ClassVar[frozenset[ModelType]] = frozenset(ModelType)
    customizable: ClassVar[bool] = True

    def __init__(self, ports: ProviderPorts) -> None:
        super().__init__(ports)
        #: (server, field) pairs that a server refused: it is not asked again.
        self._refused: set[tuple[str, str]] = set()

    def models(self) -> Sequence[ModelInfo]:
        return catalog.listed()

    def describe(self, model: str, model_type: ModelType) -> ModelInfo:
        return catalog.describe(model, model_type)

    # -- credentials --------------------------------------------------------------------------------------------

    async def validate(self, credentials: OpenAICredentials) -> None:
        try:
            if not await self._lists_models(credentials):
                await self._answers(credentials)
        except InvokeError as exc:
            raise CredentialsValidateFailedError(exc.message, hint=exc.hint) from exc

    async def _lists_models(self, credentials: OpenAICredentials) -> bool:
        """Whether the server lists its models; False when it has no such route."""
        request = HttpRequest(
            method="GET", url=f"{credentials.base}/models", headers=_headers(credentials), timeout=CHECKING
        )
        with Translated(credentials):
            answer = await self.ports.http.send(request)
        if answer.status in (404, 405, 501):
            return False
        if answer.status != 200:
            raise refusal(answer.status, answer.content, credentials, wait=answer.header("retry-after"))
        return True

    async def _answers(self, credentials: OpenAICredentials) -> None:
        """Ask for one token. An unknown model is no fault of the credentials."""
        model = credentials.validate_model or "gpt-4o-mini"
        body = {"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "ping"}]}
        try:
            await self._post(credentials, "/chat/completions", body, Chunk, timeout=CHECKING)
        except InvokeBadRequestError as exc:
            if credentials.validate_model or "model" not in exc.message:
                raise

    # -- chat and completion ------------------------------------------------------------------------------------

    async def llm(self, request: LLMRequest, credentials: OpenAICredentials) -> AsyncIterator[LLMDelta]:
        info = catalog.describe(request.model, ModelType.LLM)
        completion = "completion" in (request.mode, info.mode)
        body = completion_body(request) if completion else chat_body(request)
        path = "/completions" if completion else "/chat/completions"
        body["stream"] = True
        counted = (credentials.base, "stream_options")
        if counted not in self._refused:
            body["stream_options"] = {"include_usage": True}
        reader = DeltaReader(request, info.pricing)
        # One generator from here to the client: every layer costs each piece its time and each call its memory.
        while True:
            try:
                with Translated(credentials):
                    call = _request(credentials, path, body, timeout=GENERATING)
                    async with self.ports.http.stream(call) as answer:
                        await _succeeded(answer, credentials)
                        async with aclosing(_payloads(answer)) as payloads:
                            async for data in payloads:
                                delta = reader.read(_chunk(data, credentials))
                                if delta is not None:
                                    yield delta
                break
            except InvokeBadRequestError as exc:
                if "stream_options" not in exc.message or "stream_options" not in body:
                    raise
                self._refused.add(counted)
                del body["stream_options"]
        if not reader.finished:
            raise InvokeConnectionError(
                f"{credentials.base} broke off in the middle of an answer.", hint="Try again.", model=body["model"]
            )
        if (rest := reader.rest()) is not None:
            yield rest
        yield reader.last()

    # -- embeddings and rerank ----------------------------------------------------------------------------------

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        credentials: OpenAICredentials,
        *,
        input_type: Literal["document", "query"] = "document",
    ) -> Embeddings:
        if not texts:
            return Embeddings(vectors=[], usage=Usage())
        # The API refuses an empty text; a blank has the vector of nothing as well.
        body: dict[str, Any] = {"model": model, "input": [text or " " for text in texts]}
        packed = (credentials.base, "encoding_format")
        if packed not in self._refused:
            body["encoding_format"] = "base64"  # a third of the bytes, and no decimal parsing
        try:
            found = await self._post(credentials, "/embeddings", body, Embedded)
        except InvokeBadRequestError as exc:
            if "encoding_format" not in exc.message or packed in self._refused:
                raise
            self._refused.add(packed)
            del body["encoding_format"]
            found = await self._post(credentials, "/embeddings", body, Embedded)
        if len(found.data) != len(texts):
            raise InvokeServerUnavailableError(
                f"{credentials.base} gave {len(found.data)} vectors for {len(texts)} texts.", model=model
            )
        items = sorted(enumerate(found.data), key=lambda pair: pair[0] if pair[1].index is None else pair[1].index)
        tokens = found.usage.prompt_tokens if found.usage else 0
        usage = Usage(prompt_tokens=tokens or max(1, sum(map(len, texts)) // 4))
        pricing = catalog.describe(model, ModelType.TEXT_EMBEDDING).pricing
        return Embeddings(vectors=[_vector(item.embedding) for _, item in items], usage=price(usage, pricing))

    async def rerank(
        self,
        model: str,
        query: str,
        documents: Sequence[str],
        credentials: OpenAICredentials,
        *,
        top_n: int | None = None,
    ) -> list[RerankHit]:
        if not documents:
            return []
        body = {"model": model, "query": query, "documents": list(documents), "top_n": top_n or len(documents)}
        found = await self._post(credentials, "/rerank", body, Ranked)
        hits = [
            RerankHit(
                index=item.index,
                score=item.relevance_score if item.relevance_score is not None else item.score or 0.0,
                text=documents[item.index],
            )
            for item in found.results
            if 0 <= item.index < len(documents)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.index))[:top_n]

    # -- speech and moderation ----------------------------------------------------------------------------------

    async def speech_to_text(self, model: str, audio: bytes, filename: str, credentials: OpenAICredentials) -> str:
        request = HttpRequest(
            method="POST",
            url=f"{credentials.base}/audio/transcriptions",
            headers=_headers(credentials),
            files=[
                FormPart(name="model", content=model.encode()),
                FormPart(name="file", content=audio, filename=filename, content_type="application/octet-stream"),
            ],
            timeout=WAITING,
        )
        with Translated(credentials):
            answer = await self.ports.http.send(request)
            if answer.status != 200:
                raise refusal(answer.status, answer.content, credentials, wait=answer.header("retry-after"))
            return msgspec.json.decode(answer.content, type=Heard).text

    async def text_to_speech(
        self, model: str, text: str, voice: str, credentials: OpenAICredentials
    ) -> AsyncIterator[bytes]:
        voice = voice or next(iter(catalog.describe(model, ModelType.TTS).voices), "alloy")
        for part in _spoken_parts(text):
            body = {"model": model, "input": part, "voice": voice, "response_format": "mp3"}
            with Translated(credentials):
                async with self.ports.http.stream(_request(credentials, "/audio/speech", body)) as answer:
                    await _succeeded(answer, credentials)
                    async for piece in answer.chunks():
                        yield piece

    async def moderate(self, model: str, text: str, credentials: OpenAICredentials) -> bool:
        parts = [text[at : at + MODERATED_CHARACTERS] for at in range(0, len(text), MODERATED_CHARACTERS)]
        if not parts:
            return False
        found = await self._post(credentials, "/moderations", {"model": model, "input": parts}, Moderated)
        return any(verdict.flagged for verdict in found.results)

    # -- inside -------------------------------------------------------------------------------------------------

    async def _post(
        self,
        credentials: OpenAICredentials,
        path: str,
        body: dict[str, Any],
        kind: type[T],
        *,
        timeout: Timeout = WAITING,
    ) -> T:
        with Translated(credentials):
            answer = await self.ports.http.send(_request(credentials, path, body, timeout=timeout))
            if answer.status != 200:
                raise refusal(answer.status, answer.content, credentials, wait=answer.header("retry-after"))
            return msgspec.json.decode(answer.content, type=kind)


def _headers(credentials: OpenAICredentials) -> list[tuple[str, str]]:
    headers = [("accept", "application/json, text/event-stream")]
    if credentials.openai_api_key:
        headers.append(("authorization", f"Bearer {credentials.openai_api_key.reveal()}"))
    if credentials.openai_organization:
        headers.append(("openai-organization", credentials.openai_organization))
    return headers


def _request(
    credentials: OpenAICredentials, path: str, body: dict[str, Any], *, timeout: Timeout = WAITING
) -> HttpRequest:
    return HttpRequest(
        method="POST",
        url=credentials.base + path,
        headers=[*_headers(credentials), ("content-type", "application/json")],
        content=msgspec.json.encode(body),
        timeout=timeout,
        max_bytes=MAX_BYTES,
    )


async def _succeeded(answer: HttpStream, credentials: OpenAICredentials) -> None:
    if answer.status != 200:
        raise refusal(answer.status, await answer.read(), credentials, wait=dict(answer.headers).get("retry-after"))


async def _payloads(answer: HttpStream) -> AsyncGenerator[bytes, None]:
    """The data of each event up to `[DONE]`; from a server that does not stream, the whole answer as one."""
    kind = next((value for name, value in answer.headers if name.lower() == "content-type"), "")
    if "json" in kind:
        yield await answer.read()
        return
    events = EventSplitter()
    pieces = answer.chunks()
    async for piece in pieces:
        for data in events.feed(piece):
            if data == b"[DONE]":
                await _read_to_the_end(pieces)
                return
            yield data
    for data in events.close():
        if data != b"[DONE]":
            yield data


async def _read_to_the_end(pieces: AsyncIterator[bytes]) -> None:
    """Take what closes the answer, so that the connection can be used again; not from a server that leaves it open."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_TAIL_SECONDS):
            async for _ in pieces:
                continue


def _chunk(data: bytes, credentials: OpenAICredentials) -> Chunk:
    chunk = _decode_chunk(data)
    if chunk.error is not None:
        code = words(data)[1]
        known = code.isdigit() and 400 <= int(code) < 600
        raise refusal(int(code) if known else 500, data, credentials)
    return chunk


def _vector(embedding: str | list[float]) -> list[float]:
    if isinstance(embedding, list):
        return embedding
    numbers = array("f", b64decode(embedding))
    return numbers.tolist()


def _spoken_parts(text: str) -> list[str]:
    """Parts that one request takes, cut after sentences where there are any."""
    parts = re.findall(rf"(?s).{{1,{SPEECH_CHARACTERS}}}(?:(?<=[.!?。！？\n])|\Z|\s)|.{{{SPEECH_CHARACTERS}}}", text)
    return [part for part in parts if part.strip()]
