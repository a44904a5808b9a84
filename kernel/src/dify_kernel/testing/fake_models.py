"""A scripted model for node tests: echoes, replies, fails or calls tools as the prompt or the test says."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from dify_kernel.contracts.model import (
    Embeddings,
    LLMDelta,
    LLMRequest,
    ModelFeature,
    ModelInfo,
    ModelType,
    RerankHit,
    ToolCallDelta,
    Usage,
)
from dify_kernel.errors import InvokeBadRequestError
from dify_kernel.testing.script import PIECE, classify

__all__ = ["PIECE", "FakeModels", "echo_answer", "overlap", "word_vector"]

DIMENSION = 64


def echo_answer(message: str) -> str:
    """The scripted model's answer to its last user message.

    `REPLY:xyz` is answered `xyz`; `FAIL:msg` raises InvokeBadRequestError; a prompt that asks to classify gets a
    category (`script.classify`); all else is echoed.
    """
    if "FAIL:" in message:
        raise InvokeBadRequestError(message.split("FAIL:", 1)[1].strip())
    if "REPLY:" in message:
        return message.split("REPLY:", 1)[1]
    return classify(message) or f"ECHO({message[:200]})"


def word_vector(text: str, dimension: int = DIMENSION) -> list[float]:
    """A unit vector from the hashes of the words: texts that share words are near each other."""
    vector = [0.0] * dimension
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.sha256(word.encode()).digest()
        vector[digest[0] % dimension] += 1.0 if digest[1] % 2 else -1.0
        vector[digest[2] % dimension] += 0.5
    length = sum(number * number for number in vector) ** 0.5 or 1.0
    return [number / length for number in vector]


class FakeModels:
    """A ModelsPort that answers by `reply` in pieces of eight characters; `DELAY:ms` in the message waits between them.

    `tool_calls` scripts whole rounds: each item is the list of (name, arguments) that one call answers with, before
    text is given again. `requests` and `embedded` hold what was asked, in order.
    """

    def __init__(
        self,
        reply: Callable[[str], str] = echo_answer,
        *,
        infos: Mapping[str, ModelInfo] | None = None,
        features: Sequence[ModelFeature] = (),
        context_size: int = 8192,
        tool_calls: Sequence[Sequence[tuple[str, Mapping[str, Any]]]] = (),
        reasoning: str = "",
        error: Exception | None = None,
    ) -> None:
        self.reply = reply
        self.infos = dict(infos or {})
        self.features = list(features)
        self.context_size = context_size
        self.rounds = [list(items) for items in tool_calls]
        self.reasoning = reasoning
        self.error = error
        self.requests: list[LLMRequest] = []
        self.embedded: list[tuple[str, ...]] = []
        self.reranked: list[tuple[str, ...]] = []
        self.closed = 0

    async def describe(self, provider: str, model: str, model_type: ModelType) -> ModelInfo:
        """The given info of that model, else one with the features and the context size of this fake."""
        return self.infos.get(model) or ModelInfo(
            model=model, model_type=model_type, features=self.features, context_size=self.context_size
        )

    async def llm(self, provider: str, request: LLMRequest) -> AsyncIterator[LLMDelta]:
        """The scripted answer, usage and finish reason on the last delta."""
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        asked = next((message.text for message in reversed(request.messages) if message.role == "user"), None)
        if asked is None:  # a prompt of system messages only
            asked = request.messages[-1].text if request.messages else ""
        try:
            if self.rounds:
                for index, (name, arguments) in enumerate(self.rounds.pop(0)):
                    call = ToolCallDelta(
                        index=index, id=f"call_{index}", name=name, arguments=json.dumps(dict(arguments))
                    )
                    yield LLMDelta(tool_calls=[call])
                yield LLMDelta(usage=_usage(request, ""), finish_reason="tool_calls")
                return
            answer = self.reply(asked)
            delay = re.search(r"DELAY:(\d+)", asked)
            if self.reasoning:
                yield LLMDelta(reasoning=self.reasoning)
            for start in range(0, len(answer), PIECE):
                if delay:
                    await asyncio.sleep(int(delay.group(1)) / 1000)
                yield LLMDelta(text=answer[start : start + PIECE])
            yield LLMDelta(usage=_usage(request, answer), finish_reason="stop")
        finally:
            self.closed += 1

    async def embed(
        self, provider: str, model: str, texts: Sequence[str], *, input_type: str = "document"
    ) -> Embeddings:
        """One vector a text, from its words."""
        self.embedded.append(tuple(texts))
        if self.error is not None:
            raise self.error
        tokens = sum(len(text.split()) for text in texts)
        return Embeddings(
            vectors=[word_vector(text) for text in texts], usage=Usage(prompt_tokens=tokens, total_tokens=tokens)
        )

    async def rerank(
        self, provider: str, model: str, query: str, documents: Sequence[str], *, top_n: int | None = None
    ) -> list[RerankHit]:
        """Documents by the share of the query's words that they hold; ties keep their order."""
        self.reranked.append(tuple(documents))
        if self.error is not None:
            raise self.error
        hits = [RerankHit(index=index, score=overlap(query, text), text=text) for index, text in enumerate(documents)]
        hits.sort(key=lambda hit: -hit.score)
        return hits[:top_n]


def _usage(request: LLMRequest, answer: str) -> Usage:
    prompt = sum(len(message.text) // 4 + 1 for message in request.messages)
    completion = len(answer.split())
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        time_to_first_token=0.0,
        time_to_generate=0.0,
    )


def overlap(query: str, text: str) -> float:
    """The share of the query's words that the text holds, 0 to 1."""
    asked = set(re.findall(r"\w+", query.lower()))
    return len(asked & set(re.findall(r"\w+", text.lower()))) / len(asked) if asked else 0.0
