"""The conversation so far as a part of a prompt."""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.model import ModelInfo, PromptMessage
from dify_kernel.contracts.node import NodeContext
from dify_kernel.errors import NodeFailed
from dify_kernel.prompts import estimate_tokens, fit, recall, room_for_history

from dify_nodes_llm.config import MemoryConfig, RolePrefix

__all__ = ["as_text", "history_text", "tokens_of"]

#: The speakers in a history that is part of a message.
SPEAKERS = RolePrefix(user="Human", assistant="Assistant")


def tokens_of(prompt: list[PromptMessage]) -> int:
    """About how many tokens the messages of a prompt are."""
    return sum(estimate_tokens(message.text) + 4 for message in prompt)


def as_text(history: list[PromptMessage], prefix: RolePrefix | None) -> str:
    """The history of a completion prompt, a line a message; NodeFailed without names for the speakers."""
    if prefix is None:
        raise NodeFailed(
            "Memory role prefix is required for completion model.", error_type="MemoryRolePrefixRequiredError"
        )
    names = {"user": prefix.user, "assistant": prefix.assistant}
    return "\n".join(f"{names[message.role]}: {message.text}" for message in history if message.role in names)


async def history_text(
    memory: MemoryConfig | None,
    ctx: NodeContext,
    info: ModelInfo,
    parameters: dict[str, Any],
    prompt: list[PromptMessage],
) -> str:
    """The turns before this one that fit beside a prompt, a line a message; "" without memory."""
    if memory is None:
        return ""
    room = room_for_history(info, parameters, tokens_of(prompt))
    return as_text(fit(await recall(memory.turns, ctx), room), SPEAKERS)
