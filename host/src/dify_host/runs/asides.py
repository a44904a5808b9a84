"""What a chat asks the workspace's default model beside its answer: a name for it, and questions to ask next.

Both are comforts: a model that fails, or answers something else, is logged and gives nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from dify_kernel.contracts.model import LLMRequest, ModelType, PromptMessage
from dify_kernel.errors import DifyError
from dify_kernel.loose_json import loads

from dify_host.models.providers import ProviderService
from dify_host.models.runtime import ModelRuntime

__all__ = ["Asides"]

log = logging.getLogger(__name__)

_LONGEST_NAME: Final = 75
_LONGEST_QUERY: Final = 2000
_HISTORY: Final = 12_000  # characters, some three thousand tokens
_NAME: Final = (
    "Name the conversation that begins with the user's message. Use the language of the message, at most ten words, "
    'and no quotation marks. Do not answer the message. Reply with JSON alone: {"title": "the name"}'
)
_QUESTIONS: Final = (
    "Read the conversation and predict the three questions that the user is most likely to ask next. Each has fewer "
    "than twenty words, is written as the user would write it, in the language of the assistant's last answer. "
    'Reply with a JSON list alone: ["first question", "second question", "third question"]'
)


class Asides:
    """Asks for one workspace. A model that nobody chose or entered credentials for is spared: it takes the machine."""

    def __init__(self, models: ModelRuntime, providers: ProviderService) -> None:
        self._models, self._providers = models, providers

    async def name(self, query: str) -> str | None:
        """A name for the conversation that this question begins; None when the model gives none."""
        if len(query) > _LONGEST_QUERY:
            query = f"{query[:300]}...[TRUNCATED]...{query[-300:]}"
        text = await self._ask(_NAME, query, max_tokens=500, temperature=1.0)
        decoded = _decoded(text, objects=True)
        title = decoded.get("title") if isinstance(decoded, dict) else None
        name = " ".join(title.split()) if isinstance(title, str) else ""
        return f"{name[:_LONGEST_NAME]}..." if len(name) > _LONGEST_NAME else name or None

    async def questions(self, turns: Sequence[PromptMessage]) -> list[str]:
        """Three questions that may come next; none when the model gives none."""
        who = {"user": "Human", "assistant": "Assistant"}
        told = "\n".join(f"{who.get(turn.role, turn.role)}: {turn.text}" for turn in turns)
        text = await self._ask(_QUESTIONS, told[-_HISTORY:], max_tokens=256, temperature=0.0)
        decoded = _decoded(text)
        return [item for item in decoded if isinstance(item, str)] if isinstance(decoded, list) else []

    async def _ask(self, task: str, text: str, **parameters: Any) -> str:
        messages = [PromptMessage(role="system", content=task), PromptMessage(role="user", content=text)]
        try:
            default = await self._providers.default(ModelType.LLM)
            if default is None or default.free:
                return ""
            request = LLMRequest(model=default.model, messages=messages, parameters=parameters)
            return "".join([delta.text async for delta in self._models.llm(default.provider, request)])
        except DifyError as exc:
            log.info("the default model did not help: %s", exc)
            return ""


def _decoded(text: str, *, objects: bool = False) -> Any:
    try:
        return loads(text, objects=objects)
    except ValueError:
        return None
