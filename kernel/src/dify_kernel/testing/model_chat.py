"""The part of the model suite about chat: streaming, tools, structured output, errors of a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import msgspec
import pytest

from dify_kernel.contracts.model import (
    ImagePart,
    LLMDelta,
    LLMRequest,
    ModelFeature,
    ModelProvider,
    ModelType,
    PromptMessage,
    TextPart,
    ToolSpec,
)
from dify_kernel.errors import (
    InvokeAuthorizationError,
    InvokeBadRequestError,
    InvokeError,
    InvokeRateLimitError,
)
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.model_fixtures import Answer, ask, collect, feature_or_skip, model_or_skip, ticking, user

__all__ = ["ChatSuite"]

Models = dict[ModelType, str]

WEATHER = ToolSpec(
    name="get_weather",
    description="The weather of a city now.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
ASK_WEATHER = 'What is the weather in Paris? Call the tool.\nTOOL:get_weather {"city": "Paris"}'
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
COUNT = "Count from one to forty, in words. TOKENS:40"
#: How long a call that was left may take to end, in seconds.
PATIENCE = 10.0
#: One white pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"


def _checked(answer: Answer) -> Answer:
    """What holds for every finished answer."""
    assert answer.deltas, "an answer has at least the last delta"
    *before, last = answer.deltas
    assert all(delta.usage is None and delta.finish_reason is None for delta in before), "only the last one has them"
    assert last.finish_reason in ("stop", "length", "tool_calls", "content_filter")
    assert last.usage is not None
    assert last.usage.prompt_tokens > 0
    assert last.usage.completion_tokens > 0
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert last.usage.latency > 0
    return answer


async def _left(stream: AsyncIterator[LLMDelta]) -> None:
    """Read until the first text, then close."""
    async for delta in stream:
        if delta.text or delta.reasoning:
            break
    await cast(Any, stream).aclose()


async def _none_open(open_calls: Callable[[], int] | None) -> None:
    async with asyncio.timeout(PATIENCE):
        while open_calls is not None and open_calls():  # noqa: ASYNC110 - the vendor may count in another thread
            await asyncio.sleep(0.01)


class ChatSuite(ContractSuite, suite=True):
    """Every sentence of the contract about `llm`."""

    async def test_answers_with_text_and_one_last_delta(
        self, provider: ModelProvider, credentials: Any, models: Models, scripted: bool
    ) -> None:
        model = model_or_skip(models, ModelType.LLM)
        answer = _checked(
            await collect(provider.llm(ask(provider, model, "Say hello. REPLY:héllo 👋 wörld"), credentials))
        )
        assert answer.text.strip()
        assert answer.tool_calls == []
        if scripted:
            assert answer.text == "héllo 👋 wörld"
            assert answer.finish_reason == "stop"

    async def test_streams_in_pieces(self, provider: ModelProvider, credentials: Any, models: Models) -> None:
        """Troubleshooting: pass the vendor's pieces on as they come, not the whole at the end."""
        model = model_or_skip(models, ModelType.LLM)
        answer = _checked(await collect(provider.llm(ask(provider, model, COUNT), credentials)))
        assert sum(bool(delta.text or delta.reasoning) for delta in answer.deltas) > 2

    async def test_a_piece_is_there_before_the_answer_is_complete(
        self, provider: ModelProvider, credentials: Any, models: Models, open_calls: Callable[[], int] | None
    ) -> None:
        if open_calls is None:
            pytest.skip("running calls cannot be seen")
        model = model_or_skip(models, ModelType.LLM)
        stream = provider.llm(ask(provider, model, "TOKENS:20 DELAY:50"), credentials)
        async for delta in stream:
            if delta.text:
                break
        assert open_calls() > 0
        await cast(Any, stream).aclose()

    async def test_closing_in_mid_stream_ends_the_call(
        self, provider: ModelProvider, credentials: Any, models: Models, open_calls: Callable[[], int] | None
    ) -> None:
        """Troubleshooting: hold the connection in an `async with` inside the generator."""
        model = model_or_skip(models, ModelType.LLM)
        await _left(provider.llm(ask(provider, model, f"{COUNT} DELAY:20"), credentials))
        await _none_open(open_calls)
        _checked(await collect(provider.llm(ask(provider, model, "Say hello. REPLY:again"), credentials)))

    async def test_cancelling_in_mid_stream_ends_the_call(
        self, provider: ModelProvider, credentials: Any, models: Models, open_calls: Callable[[], int] | None
    ) -> None:
        model = model_or_skip(models, ModelType.LLM)
        started = asyncio.Event()

        async def read() -> None:
            async for _ in provider.llm(ask(provider, model, f"{COUNT} DELAY:20"), credentials):
                started.set()

        reading = asyncio.create_task(read())
        await started.wait()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await _none_open(open_calls)
        _checked(await collect(provider.llm(ask(provider, model, "Say hello. REPLY:again"), credentials)))

    async def test_serves_concurrent_calls(
        self, provider: ModelProvider, credentials: Any, models: Models, scripted: bool
    ) -> None:
        model = model_or_skip(models, ModelType.LLM)
        words = ["alpha", "beta", "gamma", "delta"]
        requests = [ask(provider, model, f"Say {word}. DELAY:5 REPLY:{word * 10}") for word in words]
        answers = await asyncio.gather(*(collect(provider.llm(request, credentials)) for request in requests))
        for word, answer in zip(words, answers, strict=True):
            assert _checked(answer).text.strip()
            if scripted:
                assert answer.text == word * 10

    async def test_does_not_change_the_request(self, provider: ModelProvider, credentials: Any, models: Models) -> None:
        model = model_or_skip(models, ModelType.LLM)
        request = ask(provider, model, "Say hello. REPLY:x", stop=["STOP"])
        before = msgspec.json.encode(request)
        await collect(provider.llm(request, credentials))
        assert msgspec.json.encode(request) == before

    async def test_takes_a_conversation(
        self, provider: ModelProvider, credentials: Any, models: Models, scripted: bool
    ) -> None:
        model = model_or_skip(models, ModelType.LLM)
        messages = [
            PromptMessage(role="system", content="You are brief."),
            user("Grüße aus 東京!"),
            PromptMessage(role="assistant", content="Hello."),
            PromptMessage(role="user", content=[TextPart(text="And you? REPLY:fine")]),
        ]
        answer = _checked(await collect(provider.llm(ask(provider, model, "", messages=messages), credentials)))
        assert answer.text.strip()
        if scripted:
            assert answer.text == "fine"

    async def test_stops_at_a_stop_word(
        self, provider: ModelProvider, credentials: Any, models: Models, scripted: bool
    ) -> None:
        model = model_or_skip(models, ModelType.LLM)
        request = ask(provider, model, "Say: one two three. REPLY:one two three", stop=["two"])
        answer = _checked(await collect(provider.llm(request, credentials)))
        assert "two" not in answer.text
        if scripted:
            assert answer.text == "one "

    async def test_says_when_the_answer_was_cut_off(
        self, provider: ModelProvider, credentials: Any, models: Models
    ) -> None:
        model = model_or_skip(models, ModelType.LLM)
        if "max_tokens" not in {rule.name for rule in provider.describe(model, ModelType.LLM).parameter_rules}:
            pytest.skip(f"{model} has no max_tokens")
        request = ask(provider, model, COUNT, parameters={"max_tokens": 4})
        answer = _checked(await collect(provider.llm(request, credentials)))
        assert answer.finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens <= 6

    # -- what a model may declare --------------------------------------------------------------------------------

    async def test_calls_a_tool_and_uses_its_result(
        self, provider: ModelProvider, credentials: Any, models: Models
    ) -> None:
        model = feature_or_skip(provider, models, ModelFeature.TOOL_CALL)
        request = ask(provider, model, ASK_WEATHER, tools=[WEATHER])
        answer = _checked(await collect(provider.llm(request, credentials)))
        assert answer.finish_reason == "tool_calls"
        [call] = answer.tool_calls
        assert call.id
        assert call.name == "get_weather"
        assert "Paris" in json.loads(call.arguments)["city"]
        messages = [
            *request.messages,
            PromptMessage(role="assistant", content=answer.text, tool_calls=[call]),
            PromptMessage(role="tool", content="21 degrees", tool_call_id=call.id, name=call.name),
        ]
        request = msgspec.structs.replace(request, messages=messages)
        answer = _checked(await collect(provider.llm(request, credentials)))
        assert "21" in answer.text

    async def test_keeps_several_tool_calls_apart(
        self, provider: ModelProvider, credentials: Any, models: Models, scripted: bool
    ) -> None:
        model = feature_or_skip(provider, models, ModelFeature.MULTI_TOOL_CALL)
        if not scripted:
            pytest.skip("only a scripted model surely calls two tools")
        text = 'TOOL:get_weather {"city": "Paris"}\nTOOL:get_weather {"city": "Rome"}'
        answer = _checked(await collect(provider.llm(ask(provider, model, text, tools=[WEATHER]), credentials)))
        assert [json.loads(call.arguments)["city"] for call in answer.tool_calls] == ["Paris", "Rome"]
        assert len({call.id for call in answer.tool_calls}) == 2

    async def test_answers_by_a_schema(self, provider: ModelProvider, credentials: Any, models: Models) -> None:
        model = feature_or_skip(provider, models, ModelFeature.STRUCTURED_OUTPUT)
        request = ask(provider, model, "Ada is 36 years old. Who is it, and how old?", json_schema=PERSON)
        answer = _checked(await collect(provider.llm(request, credentials)))
        person = json.loads(answer.text)
        assert set(person) == {"name", "age"}
        assert isinstance(person["name"], str)
        assert isinstance(person["age"], int)

    async def test_takes_an_image(self, provider: ModelProvider, credentials: Any, models: Models) -> None:
        model = feature_or_skip(provider, models, ModelFeature.VISION)
        image = ImagePart(base64_data=PIXEL, mime_type="image/png")
        message = PromptMessage(role="user", content=[TextPart(text="What is this?"), image])
        request = LLMRequest(model=model, messages=[message])
        answer = _checked(await collect(provider.llm(request, credentials)))
        assert answer.text.strip()

    # -- errors --------------------------------------------------------------------------------------------------

    async def test_an_unknown_model_is_a_bad_request(
        self, provider: ModelProvider, credentials: Any, models: Models, unknown_model: str | None
    ) -> None:
        model_or_skip(models, ModelType.LLM)
        if unknown_model is None:
            pytest.skip("no unknown model given")
        with pytest.raises(InvokeBadRequestError) as caught:
            await collect(provider.llm(ask(provider, unknown_model, "hello"), credentials))
        assert not caught.value.retryable

    async def test_bad_credentials_are_told_from_other_errors(
        self, provider: ModelProvider, bad_credentials: Any, models: Models
    ) -> None:
        model = model_or_skip(models, ModelType.LLM)
        if bad_credentials is None:
            pytest.skip("no bad credentials given")
        with pytest.raises(InvokeAuthorizationError) as caught:
            await collect(provider.llm(ask(provider, model, "hello"), bad_credentials))
        assert not caught.value.retryable

    async def test_a_rate_limit_is_told_from_a_refusal(
        self, provider: ModelProvider, limited_credentials: Any, models: Models
    ) -> None:
        model = model_or_skip(models, ModelType.LLM)
        if limited_credentials is None:
            pytest.skip("no limited credentials given")
        with pytest.raises(InvokeRateLimitError) as caught:
            await collect(provider.llm(ask(provider, model, "hello"), limited_credentials))
        assert caught.value.retryable

    async def test_a_refused_request_keeps_the_vendors_words(
        self, provider: ModelProvider, credentials: Any, models: Models, scripted: bool
    ) -> None:
        model = model_or_skip(models, ModelType.LLM)
        if not scripted:
            pytest.skip("only a scripted model surely refuses")
        with pytest.raises(InvokeBadRequestError, match="far too long"):
            await collect(provider.llm(ask(provider, model, "FAIL:far too long"), credentials))
        with pytest.raises(InvokeError, match="resting") as caught:
            await collect(provider.llm(ask(provider, model, "STATUS:503 FAIL:resting"), credentials))
        assert caught.value.retryable

    async def test_an_error_comes_with_the_first_piece_not_with_the_call(
        self, provider: ModelProvider, bad_credentials: Any, models: Models
    ) -> None:
        model = model_or_skip(models, ModelType.LLM)
        if bad_credentials is None:
            pytest.skip("no bad credentials given")
        stream = provider.llm(ask(provider, model, "hello"), bad_credentials)
        with pytest.raises(InvokeError):
            await anext(stream)

    async def test_the_event_loop_goes_on_while_it_generates(
        self, provider: ModelProvider, credentials: Any, models: Models
    ) -> None:
        """Troubleshooting: a blocking client belongs in `contracts.threads.Blocking` or in a process of its own."""
        model = model_or_skip(models, ModelType.LLM)
        async with ticking():
            await collect(provider.llm(ask(provider, model, COUNT), credentials))
