"""The fixtures of the model suite that an author may override, and what its tests share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dify_kernel.contracts.model import (
    LLMDelta,
    LLMRequest,
    ModelFeature,
    ModelInfo,
    ModelProvider,
    ModelType,
    PromptMessage,
    ToolCall,
    Usage,
)

__all__ = ["Answer", "ModelFixtures", "ask", "collect", "feature_or_skip", "model_or_skip", "ticking", "user"]

#: The longest that the event loop may stand still while a model works, in seconds.
LONGEST_PAUSE = 1.0


class ModelFixtures:
    """Defaults of the optional fixtures; each leaves its tests out."""

    @pytest.fixture
    def bad_credentials(self) -> Any:
        """Credentials of the right shape that the vendor refuses."""
        return None

    @pytest.fixture
    def limited_credentials(self) -> Any:
        """Credentials for which the vendor says that the rate is too high."""
        return None

    @pytest.fixture
    def unknown_model(self) -> str | None:
        """A model name that the vendor does not know."""
        return None

    @pytest.fixture
    def open_calls(self) -> Callable[[], int] | None:
        """How many answers the vendor is generating now, where that can be seen."""
        return None

    @pytest.fixture
    def scripted(self) -> bool:
        """Whether the models answer by `dify_kernel.testing.script`, so that exact texts can be expected."""
        return False


class Answer:
    """A collected answer: its deltas, and what they add up to."""

    def __init__(self, deltas: list[LLMDelta]) -> None:
        self.deltas = deltas
        self.text = "".join(delta.text for delta in deltas)
        self.reasoning = "".join(delta.reasoning for delta in deltas)
        self.usage: Usage | None = deltas[-1].usage if deltas else None
        self.finish_reason = deltas[-1].finish_reason if deltas else None

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls put together from their pieces, by index."""
        parts: dict[int, list[str]] = {}
        for delta in self.deltas:
            for piece in delta.tool_calls:
                call = parts.setdefault(piece.index, ["", "", ""])
                assert not (piece.id and call[0]), "the id of a tool call comes once"
                assert not (piece.name and call[1]), "the name of a tool call comes once"
                call[0] += piece.id
                call[1] += piece.name
                call[2] += piece.arguments
        return [ToolCall(id=call[0], name=call[1], arguments=call[2]) for _, call in sorted(parts.items())]


def user(text: str) -> PromptMessage:
    """A user's message."""
    return PromptMessage(role="user", content=text)


def ask(provider: ModelProvider, model: str, text: str, **more: Any) -> LLMRequest:
    """A chat request with one user message, bounded to 32 tokens where the model can be."""
    rules = {rule.name for rule in provider.describe(model, ModelType.LLM).parameter_rules}
    parameters = {"max_tokens": 32} if "max_tokens" in rules else {}
    parameters.update(more.pop("parameters", {}))
    return LLMRequest(model=model, messages=more.pop("messages", [user(text)]), parameters=parameters, **more)


async def collect(stream: AsyncIterator[LLMDelta]) -> Answer:
    """Read an answer to its end."""
    return Answer([delta async for delta in stream])


def model_or_skip(models: dict[ModelType, str], kind: ModelType) -> str:
    """The model to test, or leave the test out."""
    if kind not in models:
        pytest.skip(f"no {kind.value} model to test")
    return models[kind]


def feature_or_skip(provider: ModelProvider, models: dict[ModelType, str], feature: ModelFeature) -> str:
    """The chat model when it declares a feature, or leave the test out."""
    model = model_or_skip(models, ModelType.LLM)
    info: ModelInfo = provider.describe(model, ModelType.LLM)
    if feature not in info.features:
        pytest.skip(f"{model} does not declare {feature.value}")
    return model


@asynccontextmanager
async def ticking() -> AsyncIterator[None]:
    """Fail when the event loop stands still for longer than LONGEST_PAUSE inside the block."""
    pauses: list[float] = []

    async def tick() -> None:
        clock = asyncio.get_running_loop().time
        while True:
            before = clock()
            await asyncio.sleep(0.02)
            pauses.append(clock() - before)

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    try:
        yield
        await asyncio.sleep(0.03)  # a pause that is still going on is counted when it ends
    finally:
        ticker.cancel()
    assert max(pauses) < LONGEST_PAUSE, f"the event loop stood still for {max(pauses):.1f} s"
