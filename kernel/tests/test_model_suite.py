"""The model suite passes on the reference and fails on every broken provider."""

from contextlib import asynccontextmanager

import pytest
from dify_kernel.contracts.model import ModelType, ProviderPorts
from dify_kernel.settings import Secret
from dify_kernel.testing.broken_model import BROKEN_PROVIDERS
from dify_kernel.testing.fake_model import FakeCredentials, FakeModelProvider
from dify_kernel.testing.honesty import run_suite
from dify_kernel.testing.model import ModelProviderSuite
from dify_kernel.testing.plain_http import PlainHttpClient

MODELS = {
    ModelType.LLM: "fake-chat",
    ModelType.TEXT_EMBEDDING: "fake-embedding",
    ModelType.RERANK: "fake-rerank",
    ModelType.SPEECH2TEXT: "fake-hearing",
    ModelType.TTS: "fake-voice",
    ModelType.MODERATION: "fake-judge",
}


def ports(folder="/nonexistent"):
    return ProviderPorts(http=PlainHttpClient(), data_dir=str(folder))


class TestFakeProvider(ModelProviderSuite):
    @pytest.fixture
    async def provider(self, tmp_path):
        provider = FakeModelProvider(ports(tmp_path))
        yield provider
        await provider.close()

    @pytest.fixture
    def credentials(self):
        return FakeCredentials()

    @pytest.fixture
    def models(self):
        return MODELS

    @pytest.fixture
    def bad_credentials(self):
        return FakeCredentials(api_key=Secret("bad-key"))

    @pytest.fixture
    def limited_credentials(self):
        return FakeCredentials(api_key=Secret("limited"))

    @pytest.fixture
    def unknown_model(self):
        return "missing-model"

    @pytest.fixture
    def open_calls(self, provider):
        return lambda: provider.open_calls

    @pytest.fixture
    def scripted(self):
        return True


@pytest.mark.parametrize("flaw", BROKEN_PROVIDERS)
async def test_a_broken_provider_fails(flaw, monkeypatch):
    provider_class, caught_by = BROKEN_PROVIDERS[flaw]
    monkeypatch.setattr("dify_kernel.testing.model_chat.PATIENCE", 0.2)

    @asynccontextmanager
    async def fixtures():
        provider = provider_class(ports())
        yield {
            "provider": provider,
            "credentials": FakeCredentials(),
            "models": MODELS,
            "bad_credentials": FakeCredentials(api_key=Secret("bad-key")),
            "limited_credentials": FakeCredentials(api_key=Secret("limited")),
            "unknown_model": "missing-model",
            "open_calls": lambda: provider.open_calls,
            "scripted": True,
        }

    outcomes = await run_suite(ModelProviderSuite, fixtures, only=(caught_by,))
    assert not outcomes[caught_by].startswith(("passed", "skipped")), outcomes
