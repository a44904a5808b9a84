"""The conformance suite of the model provider contract: subclass it and supply three fixtures.

    class TestContract(ModelProviderSuite):
        @pytest.fixture
        async def provider(self): ...      # an instance; closed afterwards

        @pytest.fixture
        def credentials(self): ...         # an instance of its Credentials that works

        @pytest.fixture
        def models(self):                  # one model of each type that can be tested
            return {ModelType.LLM: "my-chat"}

Further fixtures have defaults (see `ModelFixtures`) that leave their tests out: `bad_credentials`,
`limited_credentials`, `unknown_model`, `open_calls`, `scripted`. What a model declares in its features decides which
optional tests run. Prompts are plain English for a real model and hold the words of `testing.script` for a scripted
one; no test needs more than 32 generated tokens.
"""

from __future__ import annotations

from dify_kernel.testing.model_chat import ChatSuite
from dify_kernel.testing.model_fixtures import ModelFixtures
from dify_kernel.testing.model_kinds import EmbeddingSuite, OtherKindsSuite, ProviderSuite

__all__ = ["ModelProviderSuite"]


class ModelProviderSuite(ProviderSuite, ChatSuite, EmbeddingSuite, OtherKindsSuite, ModelFixtures):
    """Every sentence of `dify_kernel.contracts.model` as a test."""
