"""The conversation so far, as much of it as fits."""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.model import ModelInfo, PromptMessage
from dify_kernel.contracts.node import NodeContext
from dify_kernel.errors import NodeFailed

from dify_nodes_llm.config import MemoryConfig, RolePrefix

__all__ = ["as_text", "estimate_tokens", "fit", "history_text", "recall", "room_for_history"]

#: Turns that are read at most, and tokens for the history of a model whose context size is unknown.
MOST_TURNS = 500
UNKNOWN_CONTEXT_ROOM = 2000

#: The speakers in a history that is part of a message.
SPEAKERS = RolePrefix(user="Human", assistant="Assistant")


async def recall(memory: MemoryConfig, ctx: NodeContext) -> list[PromptMessage]:
    """The turns before this one, oldest first; nothing outside a conversation."""
    conversation_id = ctx.run.conversation_id
    window = memory.window
    turns = min(window.size, MOST_TURNS) if window and window.enabled and window.size else MOST_TURNS
    limit = turns - 1  # the turn that is being answered counts as one of the window
    if not conversation_id or limit < 1:
        return []
    return await ctx.ports.memory.history(conversation_id, limit=limit)


def estimate_tokens(text: str) -> int:
    """About how many tokens a text is, for any model: a token is about three bytes, seldom fewer."""
    return (len(text.encode("utf-8", "replace")) + 2) // 3


def room_for_history(info: ModelInfo, parameters: dict[str, Any], prompt: list[PromptMessage]) -> int:
    """The tokens that are left beside the prompt and the longest answer."""
    if info.context_size <= 0:
        return UNKNOWN_CONTEXT_ROOM
    wanted = parameters.get("max_tokens") or parameters.get("max_completion_tokens")
    answer = int(wanted) if isinstance(wanted, int | float) else 0
    used = sum(estimate_tokens(message.text) + 4 for message in prompt)
    return max(0, info.context_size - answer - used)


def fit(history: list[PromptMessage], room: int) -> list[PromptMessage]:
    """The newest messages that fit, the first of them the user's."""
    start, used = len(history), 0
    for index in range(len(history) - 1, -1, -1):
        used += estimate_tokens(history[index].text) + 4
        if used > room:
            break
        start = index
    while start < len(history) and history[start].role != "user":
        start += 1
    return history[start:]


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
    return as_text(fit(await recall(memory, ctx), room_for_history(info, parameters, prompt)), SPEAKERS)
