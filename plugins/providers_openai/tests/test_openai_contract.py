"""The model provider contract against the scripted server."""

import pytest
from dify_kernel.testing.model import ModelProviderSuite


class TestContract(ModelProviderSuite):
    @pytest.fixture
    def bad_credentials(self, account):
        return account("bad-key")

    @pytest.fixture
    def limited_credentials(self, account):
        return account("limited")

    @pytest.fixture
    def unknown_model(self):
        return "missing-model"

    @pytest.fixture
    def open_calls(self, server):
        return lambda: server.open_streams

    @pytest.fixture
    def scripted(self):
        return True
