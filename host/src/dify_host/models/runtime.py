"""Model calls of a workspace: finds provider and credentials, prices and times the call, tells the watchers."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal, cast

import msgspec
from dify_kernel.contracts.model import (
    Embeddings,
    LLMDelta,
    LLMRequest,
    ModelInfo,
    ModelProvider,
    ModelType,
    RerankHit,
    Usage,
    price,
)
from dify_kernel.errors import DifyError, InvokeBadRequestError, InvokeError
from dify_kernel.registry import Registry

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.models.errors import ProviderTokenNotInitError
from dify_host.models.pool import ProviderPool, provider_name
from dify_host.models.providers import ProviderService

__all__ = ["ModelRuntime", "ProviderPool"]

Notify = Callable[..., None]


class _Call(msgspec.Struct, frozen=True):
    """One resolved call."""

    provider: ModelProvider
    model: str
    credentials: Any


class _Watched:
    """Tells the watchers how a call ended; a foreign error of a plugin becomes one of the family.

    A class with slots, as thousands of calls wait in such a block.
    """

    __slots__ = ("_call", "_notify", "_type", "usage")

    def __init__(self, notify: Notify, call: _Call, model_type: ModelType) -> None:
        self._notify, self._call, self._type = notify, call, model_type
        self.usage: Usage | None = None

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: object) -> None:
        error = exc if isinstance(exc, DifyError) else None
        try:
            if isinstance(exc, Exception) and error is None:
                error = _foreign(exc, self._call)
                raise error from exc
        finally:
            self._notify(
                "model_invoked",
                provider=self._call.provider.name,
                model=self._call.model,
                model_type=self._type.value,
                usage=self.usage,
                error=error,
            )


def _foreign(exc: Exception, call: _Call) -> InvokeError:
    return InvokeError(
        f"Provider {call.provider.name} failed: {type(exc).__name__}: {exc}.",
        hint="Report this to the author of its plugin.",
        provider=call.provider.name,
        model=call.model,
    )


class ModelRuntime:
    """The ModelsPort of one workspace, and the kinds of model that nodes do not reach.

    An empty model name is the workspace's default of its kind. Raises ProviderTokenNotInitError without credentials,
    PluginNotFound for a provider that is not installed, and the Invoke… errors of the vendor.
    """

    def __init__(
        self,
        db: Database,
        tenant: Tenant,
        registry: Registry,
        keys: TenantKeys,
        pool: ProviderPool,
        *,
        notify: Notify | None = None,
    ) -> None:
        self._pool = pool
        self._providers = ProviderService(db, tenant, registry, keys, pool)
        self._notify = notify or registry.notify

    async def describe(self, provider: str, model: str, model_type: ModelType) -> ModelInfo:
        """What is known about a model; needs no credentials."""
        provider, model = await self._named(provider, model, model_type)
        return self._pool.get(provider).describe(model, model_type)

    async def require(self, provider: str, model: str, model_type: ModelType) -> None:
        """Nothing when a model can be called; PluginNotFound, InvokeBadRequestError, ProviderTokenNotInitError."""
        await self._call(provider, model, model_type)

    async def llm(self, provider: str, request: LLMRequest) -> AsyncGenerator[LLMDelta, None]:
        """The answer as it is generated, the last delta with priced and timed usage; closing it ends the call."""
        started = time.perf_counter()
        call = await self._call(provider, request.model, ModelType.LLM)
        if call.model != request.model:
            request = msgspec.structs.replace(request, model=call.model)
        first: float | None = None
        with _Watched(self._notify, call, ModelType.LLM) as report:
            # Every provider's stream is an async generator; the contract names only what callers need.
            stream = cast("AsyncGenerator[LLMDelta, None]", call.provider.llm(request, call.credentials))
            async with aclosing(stream):
                async for delta in stream:
                    if first is None and (delta.text or delta.reasoning or delta.tool_calls):
                        first = time.perf_counter()
                    if delta.usage is not None:
                        report.usage = _timed(delta.usage, started, first)
                        price(report.usage, call.provider.describe(call.model, ModelType.LLM).pricing)
                    yield delta

    async def embed(
        self, provider: str, model: str, texts: Sequence[str], *, input_type: str = "document"
    ) -> Embeddings:
        """One vector a text, in order; sent in as many calls as the model's `max_chunks` asks for."""
        started = time.perf_counter()
        call = await self._call(provider, model, ModelType.TEXT_EMBEDDING)
        info = call.provider.describe(call.model, ModelType.TEXT_EMBEDDING)
        step = info.max_chunks or len(texts) or 1
        kind: Literal["document", "query"] = "query" if input_type == "query" else "document"
        vectors: list[list[float]] = []
        usage = Usage()
        with _Watched(self._notify, call, ModelType.TEXT_EMBEDDING) as report:
            for at in range(0, len(texts), step):
                part = texts[at : at + step]
                found = await call.provider.embed(call.model, part, call.credentials, input_type=kind)
                if len(found.vectors) != len(part):
                    raise InvokeError(
                        f"{call.provider.name} gave {len(found.vectors)} vectors for {len(part)} texts.",
                        model=call.model,
                    )
                vectors += found.vectors
                usage.add(price(found.usage, info.pricing))
            report.usage = _timed(usage, started, None)
        return Embeddings(vectors=vectors, usage=usage)

    async def rerank(
        self, provider: str, model: str, query: str, documents: Sequence[str], *, top_n: int | None = None
    ) -> list[RerankHit]:
        """Documents by relevance, best first."""
        call = await self._call(provider, model, ModelType.RERANK)
        with _Watched(self._notify, call, ModelType.RERANK):
            return await call.provider.rerank(call.model, query, documents, call.credentials, top_n=top_n)

    async def speech_to_text(self, provider: str, model: str, audio: bytes, filename: str) -> str:
        """The text that is spoken."""
        call = await self._call(provider, model, ModelType.SPEECH2TEXT)
        with _Watched(self._notify, call, ModelType.SPEECH2TEXT):
            return await call.provider.speech_to_text(call.model, audio, filename, call.credentials)

    async def text_to_speech(self, provider: str, model: str, text: str, voice: str) -> AsyncGenerator[bytes, None]:
        """The sound of the text, piece by piece; closing it ends the call."""
        call = await self._call(provider, model, ModelType.TTS)
        with _Watched(self._notify, call, ModelType.TTS):
            pieces = call.provider.text_to_speech(call.model, text, voice, call.credentials)
            async with aclosing(cast("AsyncGenerator[bytes, None]", pieces)) as stream:
                async for piece in stream:
                    yield piece

    async def moderate(self, provider: str, model: str, text: str) -> bool:
        """Whether the text is to be refused."""
        call = await self._call(provider, model, ModelType.MODERATION)
        with _Watched(self._notify, call, ModelType.MODERATION):
            return await call.provider.moderate(call.model, text, call.credentials)

    async def _call(self, provider: str, model: str, model_type: ModelType) -> _Call:
        provider, model = await self._named(provider, model, model_type)
        found = self._pool.get(provider)
        if model_type not in found.model_types:
            raise InvokeBadRequestError(f"{provider} has no {model_type.value} models.", provider=provider, model=model)
        return _Call(found, model, await self._providers.credentials(provider))

    async def _named(self, provider: str, model: str, model_type: ModelType) -> tuple[str, str]:
        if provider and model:
            return provider_name(provider), model
        if model:
            raise InvokeBadRequestError(f"Model {model!r} comes without its provider.", model=model)
        default = await self._providers.default(model_type)
        if default is None:
            raise ProviderTokenNotInitError(
                f"There is no {model_type.value} model that can be used.",
                hint="Add a model provider, or choose a default model.",
            )
        return default.provider, default.model


def _timed(usage: Usage, started: float, first: float | None) -> Usage:
    now = time.perf_counter()
    usage.latency = round(now - started, 3)
    if first is not None:
        usage.time_to_first_token = round(first - started, 3)
        usage.time_to_generate = round(now - first, 3)
    return usage
