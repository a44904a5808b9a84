"""Vectors of questions, kept for ten minutes: the same question is often asked again, of one base or of several."""

from __future__ import annotations

import array
import base64
import logging
import sys
from collections.abc import AsyncIterator, Sequence

from dify_kernel.contracts.model import Embeddings, LLMDelta, LLMRequest, ModelInfo, ModelType, RerankHit, Usage
from dify_kernel.contracts.ports import ModelsPort
from redis.asyncio import Redis
from redis.exceptions import RedisError

from dify_host.knowledge.chunk import text_hash

__all__ = ["KEPT_SECONDS", "CachedQueries"]

log = logging.getLogger(__name__)

KEPT_SECONDS = 600


class CachedQueries:
    """A ModelsPort that asks for the vector of a question once; everything else goes to the models as it is.

    Keys are `<provider>_<model>_<hash of the text>`, values base64 of little-endian float64. Without the cache's
    server every question is asked.
    """

    def __init__(self, models: ModelsPort, redis: Redis) -> None:
        self._models = models
        self._redis = redis

    async def describe(self, provider: str, model: str, model_type: ModelType) -> ModelInfo:
        """What is known about a model."""
        return await self._models.describe(provider, model, model_type)

    def llm(self, provider: str, request: LLMRequest) -> AsyncIterator[LLMDelta]:
        """The answer as it is generated."""
        return self._models.llm(provider, request)

    async def embed(
        self, provider: str, model: str, texts: Sequence[str], *, input_type: str = "document"
    ) -> Embeddings:
        """One vector a text; that of a single question from the cache where it is there."""
        if input_type != "query" or len(texts) != 1 or not provider or not model:
            return await self._models.embed(provider, model, texts, input_type=input_type)
        key = f"{provider}_{model}_{text_hash(texts[0])}"
        kept = await self._read(key)
        if kept is not None:
            return Embeddings(vectors=[kept], usage=Usage())
        answer = await self._models.embed(provider, model, texts, input_type=input_type)
        if len(answer.vectors) == 1:
            await self._write(key, answer.vectors[0])
        return answer

    async def rerank(
        self, provider: str, model: str, query: str, documents: Sequence[str], *, top_n: int | None = None
    ) -> list[RerankHit]:
        """Documents by relevance."""
        return await self._models.rerank(provider, model, query, documents, top_n=top_n)

    async def _read(self, key: str) -> list[float] | None:
        try:
            value = await self._redis.getex(key, ex=KEPT_SECONDS)
            return _unpack(value) if isinstance(value, bytes) else None
        except (RedisError, OSError, ValueError) as exc:
            log.debug("A question's vector could not be read from the cache: %s", exc)
            return None

    async def _write(self, key: str, vector: Sequence[float]) -> None:
        try:
            await self._redis.set(key, _pack(vector), ex=KEPT_SECONDS)
        except (RedisError, OSError) as exc:
            log.debug("A question's vector could not be kept: %s", exc)


def _pack(vector: Sequence[float]) -> bytes:
    numbers = array.array("d", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes())


def _unpack(value: bytes) -> list[float]:
    numbers = array.array("d")
    numbers.frombytes(base64.b64decode(value, validate=True))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
