"""The provider against a scripted server over real loopback HTTP."""

import pytest
from dify_kernel.contracts.model import ModelType, ProviderPorts
from dify_kernel.settings import Secret
from dify_kernel.testing.openai_server import OpenAIServer
from dify_kernel.testing.plain_http import PlainHttpClient
from dify_providers_openai import OpenAICredentials
from dify_providers_openai.provider import OpenAIProvider


@pytest.fixture(scope="session")
def server():
    with OpenAIServer() as server:
        yield server


@pytest.fixture
async def provider(tmp_path):
    async with PlainHttpClient() as http:
        provider = OpenAIProvider(ProviderPorts(http=http, data_dir=str(tmp_path)))
        yield provider
        await provider.close()


@pytest.fixture
def account(server):
    """Makes credentials for the scripted server."""

    def account(key="k", **more):
        return OpenAICredentials(openai_api_key=Secret(key), **{"openai_api_base": server.url, **more})

    return account


@pytest.fixture
def credentials(account):
    return account()


@pytest.fixture
def models():
    return {
        ModelType.LLM: "gpt-4o-mini",
        ModelType.TEXT_EMBEDDING: "scripted-embedding",
        ModelType.RERANK: "scripted-rerank",
        ModelType.SPEECH2TEXT: "whisper-1",
        ModelType.TTS: "tts-1",
        ModelType.MODERATION: "omni-moderation-latest",
    }
