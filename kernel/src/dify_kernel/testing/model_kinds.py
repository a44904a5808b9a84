"""The parts of the model suite about the provider itself, embeddings, rerank, speech and moderation."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import msgspec
import pytest

from dify_kernel.contracts.model import ModelProvider, ModelType
from dify_kernel.errors import (
    CredentialsValidateFailedError,
    InvokeAuthorizationError,
    InvokeBadRequestError,
    InvokeRateLimitError,
)
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.model_fixtures import model_or_skip, ticking

__all__ = ["EmbeddingSuite", "OtherKindsSuite", "ProviderSuite"]

Models = dict[ModelType, str]

#: How far the cosine of two vectors of one text may be from 1.
TOLERANCE = 1e-3


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths


class ProviderSuite(ContractSuite, suite=True):
    """What holds for a provider whatever its models do."""

    async def test_says_what_it_is(self, provider: ModelProvider, credentials: Any, models: Models) -> None:
        assert provider.name
        assert provider.name == provider.name.lower()
        assert provider.label
        assert issubclass(provider.Credentials, msgspec.Struct)
        assert isinstance(credentials, provider.Credentials)
        assert set(models) <= provider.model_types

    async def test_lists_each_model_once_and_describes_it(self, provider: ModelProvider) -> None:
        listed = list(provider.models())
        assert len({(info.model, info.model_type) for info in listed}) == len(listed)
        for info in listed:
            assert info.model_type in provider.model_types
            assert provider.describe(info.model, info.model_type) == info

    async def test_describes_a_model_that_it_does_not_list(self, provider: ModelProvider) -> None:
        for kind in provider.model_types:
            info = provider.describe("a-model-nobody-listed", kind)
            assert (info.model, info.model_type) == ("a-model-nobody-listed", kind)

    async def test_accepts_good_credentials(self, provider: ModelProvider, credentials: Any) -> None:
        await provider.validate(credentials)

    async def test_refuses_bad_credentials(self, provider: ModelProvider, bad_credentials: Any) -> None:
        if bad_credentials is None:
            pytest.skip("no bad credentials given")
        with pytest.raises(CredentialsValidateFailedError) as caught:
            await provider.validate(bad_credentials)
        assert caught.value.message

    async def test_preparing_is_harmless_and_reports_progress(self, provider: ModelProvider, models: Models) -> None:
        """Bytes done never go back and never pass the total."""
        for model in models.values():
            seen: list[tuple[int, int]] = []

            def report(done: int, total: int, seen: list[tuple[int, int]] = seen) -> None:
                seen.append((done, total))

            await provider.prepare(model, report)
            await provider.prepare(model)
            assert [done for done, _ in seen] == sorted(done for done, _ in seen)
            assert all(0 <= done <= total for done, total in seen)

    async def test_closing_twice_is_harmless(self, provider: ModelProvider) -> None:
        await provider.close()
        await provider.close()


class EmbeddingSuite(ContractSuite, suite=True):
    """Every sentence of the contract about `embed`."""

    async def test_gives_one_vector_a_text_in_order(
        self, provider: ModelProvider, credentials: Any, models: Models
    ) -> None:
        model = model_or_skip(models, ModelType.TEXT_EMBEDDING)
        texts = ["the cat sleeps", "interest rates rise", "日本語の文章", "the cat sleeps", "🦊 and ünïcode"]
        found = await provider.embed(model, texts, credentials)
        assert len(found.vectors) == len(texts)
        for text, vector in zip(texts, found.vectors, strict=True):
            alone = await provider.embed(model, [text], credentials)
            assert _cosine(alone.vectors[0], vector) == pytest.approx(1, abs=TOLERANCE), text
        assert _cosine(found.vectors[0], found.vectors[3]) == pytest.approx(1, abs=TOLERANCE)
        assert _cosine(found.vectors[0], found.vectors[1]) < 1 - TOLERANCE

    async def test_vectors_have_one_dimension_and_are_finite(
        self, provider: ModelProvider, credentials: Any, models: Models
    ) -> None:
        model = model_or_skip(models, ModelType.TEXT_EMBEDDING)
        texts = ["a", "several words here", "long " * 300]
        found = await provider.embed(model, texts, credentials)
        dimensions = {len(vector) for vector in found.vectors}
        assert len(dimensions) == 1
        declared = provider.describe(model, ModelType.TEXT_EMBEDDING).dimension
        assert declared in (0, *dimensions)
        for vector in found.vectors:
            assert all(isinstance(number, float) and math.isfinite(number) for number in vector)
            assert any(vector)

    async def test_embeds_the_same_text_the_same_way(
        self, provider: ModelProvider, credentials: Any, models: Models
    ) -> None:
        model = model_or_skip(models, ModelType.TEXT_EMBEDDING)
        for input_type in ("document", "query"):
            first = await provider.embed(model, ["stable text"], credentials, input_type=cast(Any, input_type))
            second = await provider.embed(model, ["stable text"], credentials, input_type=cast(Any, input_type))
            assert _cosine(first.vectors[0], second.vectors[0]) == pytest.approx(1, abs=TOLERANCE)

    async def test_a_query_is_nearer_to_its_answer(
        self, provider: ModelProvider, credentials: Any, models: Models
    ) -> None:
        model = model_or_skip(models, ModelType.TEXT_EMBEDDING)
        texts = ["The cat sleeps on the warm sofa.", "Interest rates rise in spring."]
        documents = await provider.embed(model, texts, credentials)
        query = await provider.embed(model, ["Where does the cat sleep? On the sofa?"], credentials, input_type="query")
        near, far = (_cosine(query.vectors[0], vector) for vector in documents.vectors)
        assert near > far

    async def test_embeds_nothing_as_nothing(self, provider: ModelProvider, credentials: Any, models: Models) -> None:
        model = model_or_skip(models, ModelType.TEXT_EMBEDDING)
        assert (await provider.embed(model, [], credentials)).vectors == []

    async def test_counts_the_tokens_of_the_texts(
        self, provider: ModelProvider, credentials: Any, models: Models
    ) -> None:
        model = model_or_skip(models, ModelType.TEXT_EMBEDDING)
        usage = (await provider.embed(model, ["one two three", "four"], credentials)).usage
        assert usage.prompt_tokens > 0
        assert usage.total_tokens == usage.prompt_tokens
        assert usage.completion_tokens == 0

    async def test_embeds_concurrently_while_the_event_loop_goes_on(
        self, provider: ModelProvider, credentials: Any, models: Models
    ) -> None:
        model = model_or_skip(models, ModelType.TEXT_EMBEDDING)
        groups = [[f"text {group} {index}" for index in range(4)] for group in range(4)]
        async with ticking():
            found = await asyncio.gather(*(provider.embed(model, group, credentials) for group in groups))
        alone = await provider.embed(model, [groups[2][1]], credentials)
        assert _cosine(found[2].vectors[1], alone.vectors[0]) == pytest.approx(1, abs=TOLERANCE)

    async def test_embedding_errors_are_of_the_family(
        self,
        provider: ModelProvider,
        credentials: Any,
        bad_credentials: Any,
        limited_credentials: Any,
        models: Models,
        unknown_model: str | None,
    ) -> None:
        model = model_or_skip(models, ModelType.TEXT_EMBEDDING)
        if bad_credentials is not None:
            with pytest.raises(InvokeAuthorizationError):
                await provider.embed(model, ["x"], bad_credentials)
        if limited_credentials is not None:
            with pytest.raises(InvokeRateLimitError):
                await provider.embed(model, ["x"], limited_credentials)
        if unknown_model is not None:
            with pytest.raises(InvokeBadRequestError):
                await provider.embed(unknown_model, ["x"], credentials)


class OtherKindsSuite(ContractSuite, suite=True):
    """Every sentence of the contract about rerank, speech and moderation."""

    async def test_reranks_the_best_first(self, provider: ModelProvider, credentials: Any, models: Models) -> None:
        model = model_or_skip(models, ModelType.RERANK)
        documents = ["Bread needs flour.", "Paris is the capital of France.", "France has good bread."]
        hits = await provider.rerank(model, "What is the capital of France?", documents, credentials)
        assert sorted(hit.index for hit in hits) == [0, 1, 2]
        assert hits[0].index == 1
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert all(hit.text in ("", documents[hit.index]) for hit in hits)
        assert documents == ["Bread needs flour.", "Paris is the capital of France.", "France has good bread."]

    async def test_reranks_at_most_the_wanted_number(
        self, provider: ModelProvider, credentials: Any, models: Models
    ) -> None:
        model = model_or_skip(models, ModelType.RERANK)
        documents = ["Bread needs flour.", "The capital of France."]
        hits = await provider.rerank(model, "capital of France", documents, credentials, top_n=1)
        assert [hit.index for hit in hits] == [1]
        assert await provider.rerank(model, "capital", [], credentials) == []

    async def test_speaks(self, provider: ModelProvider, credentials: Any, models: Models) -> None:
        model = model_or_skip(models, ModelType.TTS)
        voice = next(iter(provider.describe(model, ModelType.TTS).voices), "")
        stream: AsyncIterator[bytes] = provider.text_to_speech(model, "A short sentence.", voice, credentials)
        assert len(b"".join([piece async for piece in stream])) > 10

    async def test_hears(self, provider: ModelProvider, credentials: Any, models: Models, scripted: bool) -> None:
        model = model_or_skip(models, ModelType.SPEECH2TEXT)
        if not scripted:
            pytest.skip("needs a recording; only a scripted model takes any bytes")
        assert await provider.speech_to_text(model, b"12345", "é.wav", credentials) == "ECHO(é.wav, 5 bytes)"

    async def test_moderates(self, provider: ModelProvider, credentials: Any, models: Models, scripted: bool) -> None:
        model = model_or_skip(models, ModelType.MODERATION)
        assert await provider.moderate(model, "The weather is fine.", credentials) is False
        if scripted:
            assert await provider.moderate(model, "FLAG: this", credentials) is True
