"""A model provider in memory: the reference that the model suite is tested with, and a stand-in for tests.

It answers by the words of `dify_kernel.testing.script`; vectors are hashes of words in 64 dimensions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from dify_kernel.contracts.model import (
    Embeddings,
    LLMDelta,
    LLMRequest,
    ModelFeature,
    ModelInfo,
    ModelProvider,
    ModelType,
    ParameterRule,
    Pricing,
    RerankHit,
    TextPart,
    ToolCallDelta,
    Usage,
    price,
)
from dify_kernel.errors import (
    CredentialsValidateFailedError,
    InvokeAuthorizationError,
    InvokeBadRequestError,
    InvokeRateLimitError,
    InvokeServerUnavailableError,
)
from dify_kernel.settings import Doc, Secret
from dify_kernel.testing.fake_models import overlap, word_vector
from dify_kernel.testing.script import PIECE, Scripted, ScriptedFailure, count_tokens, play

__all__ = ["FakeCredentials", "FakeModelProvider"]

CHAT, EMBEDDING, RERANK, HEARING, VOICE, JUDGE = (
    "fake-chat",
    "fake-embedding",
    "fake-rerank",
    "fake-hearing",
    "fake-voice",
    "fake-judge",
)
_KINDS = {
    CHAT: ModelType.LLM,
    EMBEDDING: ModelType.TEXT_EMBEDDING,
    RERANK: ModelType.RERANK,
    HEARING: ModelType.SPEECH2TEXT,
    VOICE: ModelType.TTS,
    JUDGE: ModelType.MODERATION,
}


class FakeCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """`bad-key` is refused, `limited` is told to slow down, anything else is fine."""

    api_key: Annotated[Secret, Doc("Any text")] = Secret("fake")


class FakeModelProvider(ModelProvider):
    """Every kind of model, scripted; `open_calls` counts the answers that are being streamed."""

    name: ClassVar[str] = "fake"
    label: ClassVar[str] = "Fake models"
    description: ClassVar[str] = "Scripted models for tests."
    Credentials: ClassVar[type[msgspec.Struct]] = FakeCredentials
    model_types: ClassVar[frozenset[ModelType]] = frozenset(ModelType)

    open_calls = 0

    def models(self) -> Sequence[ModelInfo]:
        return _MODELS

    async def validate(self, credentials: Any) -> None:
        if credentials.api_key.reveal() == "bad-key":
            raise CredentialsValidateFailedError("The key is not valid.", hint="Take another one.")
        await asyncio.sleep(0)

    async def llm(self, request: LLMRequest, credentials: Any) -> AsyncIterator[LLMDelta]:
        self.check(request.model, ModelType.LLM, credentials)
        started = time.perf_counter()
        scripted = self.script(request)
        self.open_calls += 1
        try:
            first: float | None = None
            async for delta in self.deltas(scripted):
                if first is None:
                    first = time.perf_counter() - started
                yield delta
            usage = Usage(
                prompt_tokens=sum(count_tokens(message.text) + 3 for message in request.messages),
                completion_tokens=max(1, len(scripted.pieces) + len(scripted.tool_calls)),
                latency=time.perf_counter() - started,
                time_to_first_token=first,
            )
            yield LLMDelta(usage=price(usage, _MODELS[0].pricing), finish_reason=scripted.finish_reason)
        finally:
            self.open_calls -= 1

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        credentials: Any,
        *,
        input_type: Literal["document", "query"] = "document",
    ) -> Embeddings:
        self.check(model, ModelType.TEXT_EMBEDDING, credentials)
        await asyncio.sleep(0)
        usage = price(Usage(prompt_tokens=sum(map(count_tokens, texts))), None)
        return Embeddings(vectors=[word_vector(text) for text in texts], usage=usage)

    async def rerank(
        self, model: str, query: str, documents: Sequence[str], credentials: Any, *, top_n: int | None = None
    ) -> list[RerankHit]:
        self.check(model, ModelType.RERANK, credentials)
        await asyncio.sleep(0)
        hits = [RerankHit(index=at, score=overlap(query, text), text=text) for at, text in enumerate(documents)]
        return sorted(hits, key=lambda hit: (-hit.score, hit.index))[:top_n]

    async def speech_to_text(self, model: str, audio: bytes, filename: str, credentials: Any) -> str:
        self.check(model, ModelType.SPEECH2TEXT, credentials)
        await asyncio.sleep(0)
        return f"ECHO({filename}, {len(audio)} bytes)"

    async def text_to_speech(self, model: str, text: str, voice: str, credentials: Any) -> AsyncIterator[bytes]:
        self.check(model, ModelType.TTS, credentials)
        sound = f"RIFF {voice}: {text}".encode()
        for at in range(0, len(sound), PIECE):
            await asyncio.sleep(0)
            yield sound[at : at + PIECE]

    async def moderate(self, model: str, text: str, credentials: Any) -> bool:
        self.check(model, ModelType.MODERATION, credentials)
        await asyncio.sleep(0)
        return "FLAG:" in text

    # -- the steps of a call ----------------------------------------------------------------------------------

    def check(self, model: str, model_type: ModelType, credentials: Any) -> None:
        """Refuse bad credentials, a rate that is too high, and unknown models."""
        key = credentials.api_key.reveal()
        if key == "bad-key":
            raise InvokeAuthorizationError("The key is not valid.", hint="Take another one.")
        if key == "limited":
            raise InvokeRateLimitError("Too many calls.", hint="Try again in a second.")
        if _KINDS.get(model) != model_type:
            raise InvokeBadRequestError(f"There is no {model_type.value} model {model!r}.", model=model)

    def script(self, request: LLMRequest) -> Scripted:
        """What the script answers to a request; its failures become errors of the family."""
        last = request.messages[-1]
        if last.role != "tool":
            last = next((message for message in reversed(request.messages) if message.role == "user"), last)
        shown = [last.text]
        if not isinstance(last.content, str):
            shown += [f"[{type(part).__name__}]" for part in last.content if not isinstance(part, TextPart)]
        try:
            return play(
                last.role,
                "\n".join(shown),
                tools=[tool.name for tool in request.tools],
                schema=request.json_schema,
                max_tokens=request.parameters.get("max_tokens"),
                stop=request.stop,
            )
        except ScriptedFailure as exc:
            if exc.status >= 500:
                raise InvokeServerUnavailableError(exc.message) from exc
            raise InvokeBadRequestError(exc.message) from exc

    async def deltas(self, scripted: Scripted) -> AsyncIterator[LLMDelta]:
        """The pieces of an answer, all but the last delta."""
        if scripted.reasoning:
            yield LLMDelta(reasoning=scripted.reasoning)
        for index, (name, arguments) in enumerate(scripted.tool_calls):
            yield LLMDelta(tool_calls=[ToolCallDelta(index=index, id=f"call_{index}", name=name)])
            for at in range(0, len(arguments), PIECE):
                yield LLMDelta(tool_calls=[ToolCallDelta(index=index, arguments=arguments[at : at + PIECE])])
        for piece in scripted.pieces:
            await asyncio.sleep(scripted.delay)
            yield LLMDelta(text=piece)


_MODELS = (
    ModelInfo(
        model=CHAT,
        model_type=ModelType.LLM,
        features=[
            ModelFeature.TOOL_CALL,
            ModelFeature.MULTI_TOOL_CALL,
            ModelFeature.STREAM_TOOL_CALL,
            ModelFeature.STRUCTURED_OUTPUT,
            ModelFeature.VISION,
        ],
        context_size=8192,
        parameter_rules=[ParameterRule(name="max_tokens", type="int", default=512, min=1, max=8192)],
        pricing=Pricing(input="1", output="2"),
    ),
    ModelInfo(model=EMBEDDING, model_type=ModelType.TEXT_EMBEDDING, context_size=8192, max_chunks=32, dimension=64),
    *(
        ModelInfo(model=name, model_type=kind, voices=["calm"] if kind == ModelType.TTS else [])
        for name, kind in _KINDS.items()
        if name not in (CHAT, EMBEDDING)
    ),
)
