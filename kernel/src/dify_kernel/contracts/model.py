"""The model provider contract: chat, embeddings, rerank, speech, moderation.

Names of messages, features, usage and errors are those of Dify's model runtime, so that exported apps resolve.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Literal

import msgspec

from dify_kernel.contracts.http import HttpClient

__all__ = [
    "AudioPart",
    "Content",
    "DocumentPart",
    "Embeddings",
    "ImagePart",
    "LLMDelta",
    "LLMRequest",
    "ModelFeature",
    "ModelInfo",
    "ModelProvider",
    "ModelType",
    "ParameterRule",
    "Pricing",
    "PromptMessage",
    "ProviderPorts",
    "RerankHit",
    "Role",
    "TextPart",
    "ToolCall",
    "ToolCallDelta",
    "ToolSpec",
    "Usage",
    "VideoPart",
    "price",
]


class ModelType(StrEnum):
    """The kinds of model."""

    LLM = "llm"
    TEXT_EMBEDDING = "text-embedding"
    RERANK = "rerank"
    SPEECH2TEXT = "speech2text"
    MODERATION = "moderation"
    TTS = "tts"


class ModelFeature(StrEnum):
    """What a chat model can take or do."""

    TOOL_CALL = "tool-call"
    MULTI_TOOL_CALL = "multi-tool-call"
    STREAM_TOOL_CALL = "stream-tool-call"
    AGENT_THOUGHT = "agent-thought"
    VISION = "vision"
    DOCUMENT = "document"
    VIDEO = "video"
    AUDIO = "audio"
    STRUCTURED_OUTPUT = "structured-output"


class ParameterRule(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter that a user may set for a model."""

    name: str
    type: Literal["float", "int", "string", "boolean", "text"] = "float"
    label: str = ""
    help: str = ""
    required: bool = False
    default: Any = None
    min: float | None = None
    max: float | None = None
    precision: int | None = None
    options: list[str] = []


class Pricing(msgspec.Struct, frozen=True, kw_only=True):
    """Prices as decimal strings: tokens * input * unit = cost."""

    input: str
    output: str = "0"
    unit: str = "0.000001"
    currency: str = "USD"


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one model. `context_size` and `max_chunks` are tokens and texts a call; 0 = unknown."""

    model: str
    model_type: ModelType
    label: str = ""
    mode: Literal["chat", "completion"] = "chat"
    features: list[ModelFeature] = []
    context_size: int = 0
    max_chunks: int = 0
    dimension: int = 0
    parameter_rules: list[ParameterRule] = []
    pricing: Pricing | None = None
    voices: list[str] = []
    deprecated: bool = False


Role = Literal["system", "user", "assistant", "tool"]


class TextPart(msgspec.Struct, frozen=True, kw_only=True, tag="text", tag_field="type"):
    """A text inside a message."""

    text: str


class _Media(msgspec.Struct, frozen=True, kw_only=True):
    url: str = ""
    base64_data: str = ""
    mime_type: str = ""
    filename: str = ""

    @property
    def data_url(self) -> str:
        """The address that carries the bytes, or the address of the file."""
        return self.url or f"data:{self.mime_type};base64,{self.base64_data}"


class ImagePart(_Media, frozen=True, kw_only=True, tag="image", tag_field="type"):
    """An image, by address or by bytes."""

    detail: Literal["low", "high"] = "low"


class AudioPart(_Media, frozen=True, kw_only=True, tag="audio", tag_field="type"):
    """A sound, by address or by bytes."""


class VideoPart(_Media, frozen=True, kw_only=True, tag="video", tag_field="type"):
    """A film, by address or by bytes."""


class DocumentPart(_Media, frozen=True, kw_only=True, tag="document", tag_field="type"):
    """A document, by address or by bytes."""


Content = TextPart | ImagePart | AudioPart | VideoPart | DocumentPart


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call that the model asks for; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class PromptMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a prompt. `tool_calls` belongs to the assistant, `tool_call_id` to a tool's answer."""

    role: Role
    content: str | list[Content] = ""
    tool_calls: list[ToolCall] = []
    tool_call_id: str = ""
    name: str = ""

    @property
    def text(self) -> str:
        """The texts of the message, joined."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the model may call; `parameters` is a JSON schema of type object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})


class LLMRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A chat or completion call. `json_schema` asks for schema-bound JSON (only with the structured-output feature)."""

    model: str
    messages: list[PromptMessage]
    parameters: dict[str, Any] = {}
    tools: list[ToolSpec] = []
    stop: list[str] = []
    json_schema: dict[str, Any] | None = None
    mode: Literal["chat", "completion"] = "chat"
    user: str = ""


class Usage(msgspec.Struct, kw_only=True):
    """Tokens, prices (decimal strings) and times (seconds) of model calls; fields as the API shows them."""

    prompt_tokens: int = 0
    prompt_unit_price: str = "0"
    prompt_price_unit: str = "0"
    prompt_price: str = "0"
    completion_tokens: int = 0
    completion_unit_price: str = "0"
    completion_price_unit: str = "0"
    completion_price: str = "0"
    total_tokens: int = 0
    total_price: str = "0"
    currency: str = "USD"
    latency: float = 0.0
    time_to_first_token: float | None = None
    time_to_generate: float | None = None

    def add(self, other: Usage) -> None:
        """Count another call into this one."""
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.total_tokens += other.total_tokens
        self.prompt_price = str(Decimal(self.prompt_price) + Decimal(other.prompt_price))
        self.completion_price = str(Decimal(self.completion_price) + Decimal(other.completion_price))
        self.total_price = str(Decimal(self.total_price) + Decimal(other.total_price))
        self.prompt_unit_price = other.prompt_unit_price
        self.prompt_price_unit = other.prompt_price_unit
        self.completion_unit_price = other.completion_unit_price
        self.completion_price_unit = other.completion_price_unit
        self.currency = other.currency
        self.latency += other.latency
        if self.time_to_first_token is None:
            self.time_to_first_token = other.time_to_first_token
        if other.time_to_generate is not None:
            self.time_to_generate = (self.time_to_generate or 0.0) + other.time_to_generate


def price(usage: Usage, pricing: Pricing | None) -> Usage:
    """Fill the price fields of a usage, rounded to seven decimals; no pricing leaves them zero."""
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens
    if pricing is None:
        return usage
    step = Decimal("0.0000001")
    unit = Decimal(pricing.unit)
    prompt = (usage.prompt_tokens * Decimal(pricing.input) * unit).quantize(step)
    completion = (usage.completion_tokens * Decimal(pricing.output) * unit).quantize(step)
    usage.prompt_unit_price, usage.completion_unit_price = pricing.input, pricing.output
    usage.prompt_price_unit = usage.completion_price_unit = pricing.unit
    usage.prompt_price, usage.completion_price = str(prompt), str(completion)
    usage.total_price, usage.currency = str(prompt + completion), pricing.currency
    return usage


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a tool call: `index` says which, `id` and `name` come once, `arguments` adds up."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class LLMDelta(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of an answer. The last one carries `usage` and `finish_reason` (stop, length, tool_calls …).

    `files` are whole pictures, sounds, films or documents that the model made, by bytes or by address.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCallDelta] = []
    files: list[ImagePart | AudioPart | VideoPart | DocumentPart] = []
    usage: Usage | None = None
    finish_reason: str | None = None


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    """One vector a text, in the order of the texts; vectors are as the model gives them."""

    vectors: list[list[float]]
    usage: Usage


class RerankHit(msgspec.Struct, frozen=True, kw_only=True):
    """One ranked document: its index among those sent, and its relevance, higher is better."""

    index: int
    score: float
    text: str = ""


class ProviderPorts(msgspec.Struct, frozen=True, kw_only=True):
    """What the host lends a provider: the outbound client, and a folder for what it must keep (weights)."""

    http: HttpClient
    data_dir: str


class ModelProvider(ABC):
    """One model vendor. An object serves every tenant: credentials arrive with each call, as `Credentials`.

    Every method may run concurrently and must not block the event loop. Errors: the Invoke… family; a rate limit is
    InvokeRateLimitError, a refusal of content or parameters InvokeBadRequestError.
    """

    #: Public name, label, and what the credentials form asks for.
    name: ClassVar[str]
    label: ClassVar[str]
    description: ClassVar[str] = ""
    Credentials: ClassVar[type[msgspec.Struct]]
    model_types: ClassVar[frozenset[ModelType]]
    #: Whether a tenant may name models that `models` does not list.
    customizable: ClassVar[bool] = False

    def __init__(self, ports: ProviderPorts) -> None:
        self.ports = ports

    async def close(self) -> None:
        """Release everything. Closing twice is harmless."""
        return

    def models(self) -> Sequence[ModelInfo]:
        """The models that every tenant with credentials has; no I/O."""
        return ()

    def describe(self, model: str, model_type: ModelType) -> ModelInfo:
        """What is known about a model, listed or not; no I/O."""
        for info in self.models():
            if info.model == model and info.model_type == model_type:
                return info
        return ModelInfo(model=model, model_type=model_type)

    async def prepare(self, model: str, progress: Callable[[int, int], None] | None = None) -> None:
        """Fetch and load what the model needs on this machine, ahead of its first call; nothing for a remote model.

        `progress(done, total)` is called with bytes while something is fetched. Repeated calls are harmless.
        """

    async def validate(self, credentials: Any) -> None:
        """Check credentials with the vendor; CredentialsValidateFailedError with the vendor's words."""

    def llm(self, request: LLMRequest, credentials: Any) -> AsyncIterator[LLMDelta]:
        """The answer as it is generated; closing the iterator ends the call."""
        raise NotImplementedError

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        credentials: Any,
        *,
        input_type: Literal["document", "query"] = "document",
    ) -> Embeddings:
        """One vector a text; at most `max_chunks` texts are sent at once by the host."""
        raise NotImplementedError

    async def rerank(
        self, model: str, query: str, documents: Sequence[str], credentials: Any, *, top_n: int | None = None
    ) -> list[RerankHit]:
        """The documents by relevance to the query, best first."""
        raise NotImplementedError

    async def speech_to_text(self, model: str, audio: bytes, filename: str, credentials: Any) -> str:
        """The text that is spoken."""
        raise NotImplementedError

    def text_to_speech(self, model: str, text: str, voice: str, credentials: Any) -> AsyncIterator[bytes]:
        """The sound of the text, piece by piece."""
        raise NotImplementedError

    async def moderate(self, model: str, text: str, credentials: Any) -> bool:
        """Whether the text is to be refused."""
        raise NotImplementedError
