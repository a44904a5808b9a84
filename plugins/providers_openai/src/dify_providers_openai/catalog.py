"""What is known about OpenAI's models, and what is assumed about any other. Prices are US dollars a million tokens."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Final

from dify_kernel.contracts.model import ModelFeature, ModelInfo, ModelType, ParameterRule, Pricing

__all__ = ["describe", "is_reasoning", "listed"]

_TOOLS: Final = [ModelFeature.TOOL_CALL, ModelFeature.MULTI_TOOL_CALL, ModelFeature.STREAM_TOOL_CALL]
_SEES: Final = [*_TOOLS, ModelFeature.AGENT_THOUGHT, ModelFeature.VISION]
_SCHEMA: Final = [ModelFeature.STRUCTURED_OUTPUT]

#: name -> context, longest answer, input price, output price, features
_CHAT: Final[dict[str, tuple[int, int, str, str, list[ModelFeature]]]] = {
    "gpt-5.1": (400_000, 128_000, "1.25", "10", [*_SEES, *_SCHEMA]),
    "gpt-5": (400_000, 128_000, "1.25", "10", [*_SEES, *_SCHEMA]),
    "gpt-5-mini": (400_000, 128_000, "0.25", "2", [*_SEES, *_SCHEMA]),
    "gpt-5-nano": (400_000, 128_000, "0.05", "0.4", [*_SEES, *_SCHEMA]),
    "gpt-4.1": (1_047_576, 32_768, "2", "8", [*_SEES, *_SCHEMA]),
    "gpt-4.1-mini": (1_047_576, 32_768, "0.4", "1.6", [*_SEES, *_SCHEMA]),
    "gpt-4.1-nano": (1_047_576, 32_768, "0.1", "0.4", [*_SEES, *_SCHEMA]),
    "o4-mini": (200_000, 100_000, "1.1", "4.4", [*_SEES, *_SCHEMA]),
    "o3": (200_000, 100_000, "2", "8", [*_SEES, *_SCHEMA]),
    "o3-mini": (200_000, 100_000, "1.1", "4.4", [*_TOOLS, ModelFeature.AGENT_THOUGHT, *_SCHEMA]),
    "o1": (200_000, 100_000, "15", "60", [*_SEES, *_SCHEMA]),
    "gpt-4o": (128_000, 16_384, "2.5", "10", [*_SEES, *_SCHEMA]),
    "gpt-4o-mini": (128_000, 16_384, "0.15", "0.6", [*_SEES, *_SCHEMA]),
    "gpt-4o-audio-preview": (128_000, 16_384, "2.5", "10", [*_TOOLS, ModelFeature.AUDIO]),
    "chatgpt-4o-latest": (128_000, 16_384, "5", "15", [ModelFeature.AGENT_THOUGHT, ModelFeature.VISION]),
    "gpt-4-turbo": (128_000, 4_096, "10", "30", _SEES),
    "gpt-4": (8_192, 8_192, "30", "60", [*_TOOLS, ModelFeature.AGENT_THOUGHT]),
    "gpt-3.5-turbo": (16_385, 4_096, "0.5", "1.5", [*_TOOLS, ModelFeature.AGENT_THOUGHT]),
}
#: name -> context, price, dimension
_EMBEDDING: Final = {
    "text-embedding-3-small": (8_191, "0.02", 1536),
    "text-embedding-3-large": (8_191, "0.13", 3072),
    "text-embedding-ada-002": (8_191, "0.1", 1536),
}
_VOICES: Final = ["alloy", "ash", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer"]
_DEPRECATED: Final = {"gpt-4", "chatgpt-4o-latest", "text-embedding-ada-002", "text-moderation-latest"}

_MAX_TOKENS: Final = ParameterRule(name="max_tokens", type="int", label="Max tokens", default=512, min=1)
_FORMAT: Final = [
    ParameterRule(
        name="response_format",
        type="string",
        label="Response format",
        options=["text", "json_object", "json_schema"],
        help="json_schema needs a JSON schema in the next field",
    ),
    ParameterRule(name="json_schema", type="text", label="JSON schema"),
]
_SAMPLING: Final = [
    ParameterRule(name="temperature", label="Temperature", default=0.7, min=0, max=2, precision=2),
    ParameterRule(name="top_p", label="Top P", default=1.0, min=0, max=1, precision=2),
    ParameterRule(name="presence_penalty", label="Presence penalty", default=0.0, min=-2, max=2, precision=2),
    ParameterRule(name="frequency_penalty", label="Frequency penalty", default=0.0, min=-2, max=2, precision=2),
    ParameterRule(name="seed", type="int", label="Seed", help="The same seed tends to give the same answer"),
]
_EFFORT: Final = ParameterRule(
    name="reasoning_effort", type="string", label="Reasoning effort", options=["minimal", "low", "medium", "high"]
)


def is_reasoning(model: str) -> bool:
    """Whether a model of OpenAI reasons: it takes `max_completion_tokens` and no sampling parameters."""
    name = _base_name(model)
    return name.startswith(("o1", "o3", "o4")) or (name.startswith("gpt-5") and "chat" not in name)


@cache
def listed() -> tuple[ModelInfo, ...]:
    """OpenAI's models, the newest first within a kind."""
    chat = [_chat(name) for name in _CHAT]
    instruct = ModelInfo(
        model="gpt-3.5-turbo-instruct",
        model_type=ModelType.LLM,
        mode="completion",
        context_size=4_096,
        parameter_rules=_rules("gpt-3.5-turbo-instruct", 4_096),
        pricing=Pricing(input="1.5", output="2"),
    )
    embedding = [
        ModelInfo(
            model=name,
            model_type=ModelType.TEXT_EMBEDDING,
            context_size=context,
            max_chunks=128,
            dimension=dimension,
            pricing=Pricing(input=price),
            deprecated=name in _DEPRECATED,
        )
        for name, (context, price, dimension) in _EMBEDDING.items()
    ]
    other = [
        *_plain(ModelType.SPEECH2TEXT, "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "whisper-1"),
        *_plain(ModelType.TTS, "gpt-4o-mini-tts", "tts-1", "tts-1-hd"),
        *_plain(ModelType.MODERATION, "omni-moderation-latest", "text-moderation-latest"),
    ]
    return (*chat, instruct, *embedding, *other)


@lru_cache(256)
def describe(model: str, model_type: ModelType) -> ModelInfo:
    """The facts of a listed model; a dated or fine-tuned name has those of its base.

    Any other chat model is taken to call tools, several at once and while streaming, and to take images: a server that
    cannot says so, while an undeclared ability would be lost in silence. Structured output is not assumed, because the
    host can ask for JSON without it. The context size stays unknown.
    """
    base = _base_name(model)
    known = {info.model: info for info in listed() if info.model_type == model_type}
    names = [name for name in known if base == name or base.startswith(f"{name}-2")]
    if names:
        info = known[max(names, key=len)]
        return ModelInfo(**{name: getattr(info, name) for name in info.__struct_fields__} | {"model": model})
    if model_type == ModelType.LLM:
        features = [*_TOOLS, ModelFeature.VISION]
        return ModelInfo(model=model, model_type=model_type, features=features, parameter_rules=_rules(model, None))
    if model_type == ModelType.TEXT_EMBEDDING:
        return ModelInfo(model=model, model_type=model_type, max_chunks=32)
    return ModelInfo(model=model, model_type=model_type, voices=_VOICES if model_type == ModelType.TTS else [])


def _base_name(model: str) -> str:
    """`gpt-4o` of `ft:gpt-4o:company::id`."""
    return model.split(":")[1] if model.startswith("ft:") and model.count(":") > 1 else model


def _chat(name: str) -> ModelInfo:
    context, longest, prompt, completion, features = _CHAT[name]
    return ModelInfo(
        model=name,
        model_type=ModelType.LLM,
        features=features,
        context_size=context,
        parameter_rules=_rules(name, longest),
        pricing=Pricing(input=prompt, output=completion),
        deprecated=name in _DEPRECATED,
    )


def _plain(model_type: ModelType, *names: str) -> list[ModelInfo]:
    voices = _VOICES if model_type == ModelType.TTS else []
    return [
        ModelInfo(model=name, model_type=model_type, voices=voices, deprecated=name in _DEPRECATED) for name in names
    ]


def _rules(model: str, longest: int | None) -> list[ParameterRule]:
    limit = ParameterRule(
        name=_MAX_TOKENS.name, type="int", label=_MAX_TOKENS.label, default=_MAX_TOKENS.default, min=1, max=longest
    )
    return [*([_EFFORT] if is_reasoning(model) else _SAMPLING), limit, *_FORMAT]
