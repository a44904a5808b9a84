"""The model provider contract with the real models."""

import pytest
from dify_kernel.contracts.model import ModelType
from dify_kernel.testing.model import ModelProviderSuite
from dify_providers_local import LocalCredentials
from dify_providers_local.catalog import CHAT, EMBEDDING, RERANK


@pytest.mark.live
@pytest.mark.timeout(600)
class TestContract(ModelProviderSuite):
    @pytest.fixture
    def credentials(self):
        return LocalCredentials()

    @pytest.fixture
    def models(self):
        return {ModelType.LLM: CHAT, ModelType.TEXT_EMBEDDING: EMBEDDING, ModelType.RERANK: RERANK}

    @pytest.fixture
    def unknown_model(self):
        return "missing-model"

    @pytest.fixture
    def open_calls(self, provider):
        return lambda: provider.worker.open_calls
