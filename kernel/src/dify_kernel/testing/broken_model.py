"""Model providers with one flaw each: the model suite must fail every one of them, in the test named beside it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from dify_kernel.contracts.model import Embeddings, LLMDelta, LLMRequest, ModelType, RerankHit, ToolCallDelta
from dify_kernel.errors import (
    InvokeAuthorizationError,
    InvokeBadRequestError,
    InvokeError,
    InvokeRateLimitError,
)
from dify_kernel.testing.fake_model import FakeModelProvider
from dify_kernel.testing.script import Scripted

__all__ = ["BROKEN_PROVIDERS"]


class _NoUsage(FakeModelProvider):
    async def llm(self, request: LLMRequest, credentials: Any) -> AsyncIterator[LLMDelta]:
        async for delta in super().llm(request, credentials):
            yield msgspec.structs.replace(delta, usage=None)


class _UsageEveryTime(FakeModelProvider):
    async def llm(self, request: LLMRequest, credentials: Any) -> AsyncIterator[LLMDelta]:
        async for delta in super().llm(request, credentials):
            yield delta
            if delta.usage is not None:
                yield delta


class _AllAtOnce(FakeModelProvider):
    async def deltas(self, scripted: Scripted) -> AsyncIterator[LLMDelta]:
        await asyncio.sleep(scripted.delay * len(scripted.pieces))
        yield LLMDelta(text=scripted.text)


class _GoesOnAlone(FakeModelProvider):
    """Generates in a task that nobody stops."""

    async def llm(self, request: LLMRequest, credentials: Any) -> AsyncIterator[LLMDelta]:
        queue: asyncio.Queue[LLMDelta | None] = asyncio.Queue()
        whole = super().llm

        async def generate() -> None:
            async for delta in whole(request, credentials):
                queue.put_nowait(delta)
            queue.put_nowait(None)

        self.check(request.model, ModelType.LLM, credentials)
        self.script(request)
        self.open_calls += 1  # a call that only ends when somebody reads to the end
        self.task = asyncio.create_task(generate())
        while (delta := await queue.get()) is not None:
            yield delta
        self.open_calls -= 1


class _OneAnswerForAll(FakeModelProvider):
    """Keeps the state of a call on the provider."""

    async def deltas(self, scripted: Scripted) -> AsyncIterator[LLMDelta]:
        self.pieces = scripted.pieces
        for at in range(len(self.pieces)):
            await asyncio.sleep(scripted.delay)
            if at < len(self.pieces):
                yield LLMDelta(text=self.pieces[at])


class _ChangesTheRequest(FakeModelProvider):
    async def llm(self, request: LLMRequest, credentials: Any) -> AsyncIterator[LLMDelta]:
        request.stop.append("END")
        async for delta in super().llm(request, credentials):
            yield delta


class _IgnoresStop(FakeModelProvider):
    def script(self, request: LLMRequest) -> Scripted:
        return super().script(msgspec.structs.replace(request, stop=[]))


class _IgnoresTheLimit(FakeModelProvider):
    def script(self, request: LLMRequest) -> Scripted:
        return super().script(msgspec.structs.replace(request, parameters={}))


class _IgnoresTools(FakeModelProvider):
    def script(self, request: LLMRequest) -> Scripted:
        return super().script(msgspec.structs.replace(request, tools=[]))


class _RepeatsTheId(FakeModelProvider):
    async def deltas(self, scripted: Scripted) -> AsyncIterator[LLMDelta]:
        async for delta in super().deltas(scripted):
            calls = [msgspec.structs.replace(call, id=f"call_{call.index}") for call in delta.tool_calls]
            yield msgspec.structs.replace(delta, tool_calls=calls)


class _OneIndex(FakeModelProvider):
    async def deltas(self, scripted: Scripted) -> AsyncIterator[LLMDelta]:
        for number, (name, arguments) in enumerate(scripted.tool_calls):
            yield LLMDelta(tool_calls=[ToolCallDelta(index=0, id="" if number else "a", name="" if number else name)])
            yield LLMDelta(tool_calls=[ToolCallDelta(index=0, arguments=arguments)])
        async for delta in super().deltas(msgspec.structs.replace(scripted, tool_calls=[])):
            yield delta


class _IgnoresTheSchema(FakeModelProvider):
    def script(self, request: LLMRequest) -> Scripted:
        return super().script(msgspec.structs.replace(request, json_schema=None))


class _AnyModel(FakeModelProvider):
    def check(self, model: str, model_type: ModelType, credentials: Any) -> None:
        super().check("fake-chat", ModelType.LLM, credentials)


class _LimitIsRefusal(FakeModelProvider):
    def check(self, model: str, model_type: ModelType, credentials: Any) -> None:
        try:
            super().check(model, model_type, credentials)
        except InvokeRateLimitError as exc:
            raise InvokeAuthorizationError(exc.message) from exc


class _RefusalIsBadRequest(FakeModelProvider):
    def check(self, model: str, model_type: ModelType, credentials: Any) -> None:
        try:
            super().check(model, model_type, credentials)
        except InvokeAuthorizationError as exc:
            raise InvokeBadRequestError(exc.message) from exc


class _ForeignErrors(FakeModelProvider):
    def check(self, model: str, model_type: ModelType, credentials: Any) -> None:
        try:
            super().check(model, model_type, credentials)
        except InvokeError as exc:
            raise ValueError(exc.message) from exc


class _SaysNothing(FakeModelProvider):
    """Loses the vendor's words."""

    def script(self, request: LLMRequest) -> Scripted:
        try:
            return super().script(request)
        except InvokeError as exc:
            raise type(exc)("The call failed.") from exc


class _AcceptsAnyKey(FakeModelProvider):
    async def validate(self, credentials: Any) -> None:
        await asyncio.sleep(0)


class _FailsAtTheCall(FakeModelProvider):
    def llm(self, request: LLMRequest, credentials: Any) -> AsyncIterator[LLMDelta]:
        self.check(request.model, ModelType.LLM, credentials)
        return super().llm(request, credentials)


class _Blocks(FakeModelProvider):
    async def deltas(self, scripted: Scripted) -> AsyncIterator[LLMDelta]:
        time.sleep(1.5)  # noqa: ASYNC251 - the flaw
        async for delta in super().deltas(scripted):
            yield delta


class _BlocksEmbedding(FakeModelProvider):
    async def embed(self, *args: Any, **kwargs: Any) -> Embeddings:
        time.sleep(0.5)  # noqa: ASYNC251 - the flaw
        return await super().embed(*args, **kwargs)


class _Embeds(FakeModelProvider):
    """Changes what `embed` returns."""

    def change(self, vectors: list[list[float]]) -> list[list[float]]:
        return vectors

    async def embed(self, *args: Any, **kwargs: Any) -> Embeddings:
        found = await super().embed(*args, **kwargs)
        return msgspec.structs.replace(found, vectors=self.change(found.vectors))


class _Backwards(_Embeds):
    def change(self, vectors: list[list[float]]) -> list[list[float]]:
        return vectors[::-1]


class _DropsDoubles(_Embeds):
    def change(self, vectors: list[list[float]]) -> list[list[float]]:
        return [list(vector) for vector in dict.fromkeys(map(tuple, vectors))]


class _GrowingDimension(_Embeds):
    def change(self, vectors: list[list[float]]) -> list[list[float]]:
        return [[*vector, *([0.1] * at)] for at, vector in enumerate(vectors)]


class _OtherDimension(_Embeds):
    def change(self, vectors: list[list[float]]) -> list[list[float]]:
        return [vector[:32] for vector in vectors]


class _Moody(_Embeds):
    mood = itertools.count(1)

    def change(self, vectors: list[list[float]]) -> list[list[float]]:
        return [[*vector[:-1], vector[-1] + next(self.mood)] for vector in vectors]


class _WorstFirst(FakeModelProvider):
    async def rerank(
        self, model: str, query: str, documents: Sequence[str], credentials: Any, *, top_n: int | None = None
    ) -> list[RerankHit]:
        return (await super().rerank(model, query, documents, credentials))[::-1][:top_n]


class _IgnoresTopN(FakeModelProvider):
    async def rerank(
        self, model: str, query: str, documents: Sequence[str], credentials: Any, *, top_n: int | None = None
    ) -> list[RerankHit]:
        return await super().rerank(model, query, documents, credentials)


class _Severe(FakeModelProvider):
    async def moderate(self, model: str, text: str, credentials: Any) -> bool:
        return True


class _ClosesOnce(FakeModelProvider):
    closed = False

    async def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


#: Each broken provider with a test that must fail on it.
BROKEN_PROVIDERS: Final[dict[str, tuple[type[FakeModelProvider], str]]] = {
    "no usage": (_NoUsage, "test_answers_with_text_and_one_last_delta"),
    "usage every time": (_UsageEveryTime, "test_answers_with_text_and_one_last_delta"),
    "all at once": (_AllAtOnce, "test_streams_in_pieces"),
    "goes on alone": (_GoesOnAlone, "test_closing_in_mid_stream_ends_the_call"),
    "goes on when cancelled": (_GoesOnAlone, "test_cancelling_in_mid_stream_ends_the_call"),
    "one answer for all": (_OneAnswerForAll, "test_serves_concurrent_calls"),
    "changes the request": (_ChangesTheRequest, "test_does_not_change_the_request"),
    "ignores stop": (_IgnoresStop, "test_stops_at_a_stop_word"),
    "ignores the limit": (_IgnoresTheLimit, "test_says_when_the_answer_was_cut_off"),
    "ignores tools": (_IgnoresTools, "test_calls_a_tool_and_uses_its_result"),
    "repeats the id": (_RepeatsTheId, "test_calls_a_tool_and_uses_its_result"),
    "one index": (_OneIndex, "test_keeps_several_tool_calls_apart"),
    "ignores the schema": (_IgnoresTheSchema, "test_answers_by_a_schema"),
    "any model": (_AnyModel, "test_an_unknown_model_is_a_bad_request"),
    "a limit is a refusal": (_LimitIsRefusal, "test_a_rate_limit_is_told_from_a_refusal"),
    "a refusal is a bad request": (_RefusalIsBadRequest, "test_bad_credentials_are_told_from_other_errors"),
    "foreign errors": (_ForeignErrors, "test_embedding_errors_are_of_the_family"),
    "says nothing": (_SaysNothing, "test_a_refused_request_keeps_the_vendors_words"),
    "accepts any key": (_AcceptsAnyKey, "test_refuses_bad_credentials"),
    "fails at the call": (_FailsAtTheCall, "test_an_error_comes_with_the_first_piece_not_with_the_call"),
    "blocks": (_Blocks, "test_the_event_loop_goes_on_while_it_generates"),
    "blocks embedding": (_BlocksEmbedding, "test_embeds_concurrently_while_the_event_loop_goes_on"),
    "backwards": (_Backwards, "test_gives_one_vector_a_text_in_order"),
    "drops doubles": (_DropsDoubles, "test_gives_one_vector_a_text_in_order"),
    "growing dimension": (_GrowingDimension, "test_vectors_have_one_dimension_and_are_finite"),
    "other dimension": (_OtherDimension, "test_vectors_have_one_dimension_and_are_finite"),
    "moody": (_Moody, "test_embeds_the_same_text_the_same_way"),
    "worst first": (_WorstFirst, "test_reranks_the_best_first"),
    "ignores top_n": (_IgnoresTopN, "test_reranks_at_most_the_wanted_number"),
    "severe": (_Severe, "test_moderates"),
    "closes once": (_ClosesOnce, "test_closing_twice_is_harmless"),
}
