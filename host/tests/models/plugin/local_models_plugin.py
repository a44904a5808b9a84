"""A plugin of the tests: a provider that needs no credentials, and one whose plugin has faults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ClassVar

import msgspec
from dify_kernel.contracts.model import (
    Embeddings,
    LLMDelta,
    LLMRequest,
    ModelInfo,
    ModelProvider,
    ModelType,
    Pricing,
    RerankHit,
    Usage,
)
from dify_kernel.hookspecs import hookimpl

PRICING = Pricing(input="2", output="6", unit="0.001")


class NoCredentials(msgspec.Struct, frozen=True):
    pass


class LocalProvider(ModelProvider):
    """Answers from this process; counts how many of it there are and what it is asked."""

    name: ClassVar[str] = "local-models"
    label: ClassVar[str] = "Local"
    Credentials: ClassVar[type[msgspec.Struct]] = NoCredentials
    model_types: ClassVar[frozenset[ModelType]] = frozenset(set(ModelType) - {ModelType.TTS, ModelType.MODERATION})
    made: ClassVar[int] = 0

    def __init__(self, ports: Any) -> None:
        super().__init__(ports)
        type(self).made += 1
        self.batches: list[int] = []
        self.closed = 0
        self.streams_ended = 0

    async def close(self) -> None:
        self.closed += 1

    def models(self) -> Sequence[ModelInfo]:
        return [
            ModelInfo(model="old", model_type=ModelType.LLM, deprecated=True),
            ModelInfo(model="talk", model_type=ModelType.LLM, pricing=PRICING),
            ModelInfo(model="vector", model_type=ModelType.TEXT_EMBEDDING, max_chunks=3, pricing=PRICING),
        ]

    async def llm(self, request: LLMRequest, credentials: Any) -> AsyncIterator[LLMDelta]:
        if request.model == "faulty":
            raise KeyError("inside")
        try:
            for word in request.messages[-1].text.split():
                yield LLMDelta(text=word)
            yield LLMDelta(usage=Usage(prompt_tokens=10, completion_tokens=5), finish_reason="stop")
        finally:
            self.streams_ended += 1

    async def embed(
        self, model: str, texts: Sequence[str], credentials: Any, *, input_type: str = "document"
    ) -> Embeddings:
        self.batches.append(len(texts))
        texts = texts[1:] if model == "forgetful" else texts
        return Embeddings(vectors=[[float(len(text))] for text in texts], usage=Usage(prompt_tokens=len(texts)))

    async def rerank(
        self, model: str, query: str, documents: Sequence[str], credentials: Any, *, top_n: int | None = None
    ) -> list[RerankHit]:
        hits = [RerankHit(index=index, score=1 / (index + 1), text=text) for index, text in enumerate(documents)]
        return hits[:top_n]

    async def speech_to_text(self, model: str, audio: bytes, filename: str, credentials: Any) -> str:
        return f"{filename}: {len(audio)} bytes"


@hookimpl
def register_model_providers(register: Callable[..., None]) -> None:
    register(LocalProvider)
