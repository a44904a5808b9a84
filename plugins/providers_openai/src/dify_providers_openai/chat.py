"""Turns a stream of chunks into the deltas of the contract."""

from __future__ import annotations

import time

from dify_kernel.contracts.model import LLMDelta, LLMRequest, Pricing, ToolCallDelta, Usage, price

from dify_providers_openai.wire import Chunk, Piece, ThoughtSplitter, WireCall, WireUsage

__all__ = ["DeltaReader"]

_REASONS = {"length": "length", "max_tokens": "length", "content_filter": "content_filter"}
_CALLED = ("tool_calls", "function_call")


class DeltaReader:
    """Reads one answer. `read` gives a delta or None for each chunk, `last` the closing delta."""

    def __init__(self, request: LLMRequest, pricing: Pricing | None) -> None:
        self._request = request
        self._pricing = pricing
        self._started = time.perf_counter()
        self._first: float | None = None
        self._thoughts = ThoughtSplitter()
        self._calls: dict[int, bool] = {}
        self._usage: WireUsage | None = None
        self._finish: str | None = None
        self._characters = 0

    @property
    def finished(self) -> bool:
        """Whether the server has said why the answer ends."""
        return self._finish is not None

    def read(self, chunk: Chunk) -> LLMDelta | None:
        """What a chunk adds, None when it adds nothing."""
        if chunk.usage is not None:
            self._usage = chunk.usage
        if not chunk.choices:
            return None
        choice = chunk.choices[0]
        if choice.finish_reason:
            self._finish = choice.finish_reason
        piece = choice.delta or choice.message
        if piece is None:
            return self._delta("", choice.text or "", [])
        reasoning = piece.reasoning_content or piece.reasoning or ""
        return self._delta(reasoning, piece.content or "", self._tool_calls(piece))

    def rest(self) -> LLMDelta | None:
        """What was held back, when the stream has ended."""
        reasoning, text = self._thoughts.close()
        return LLMDelta(text=text, reasoning=reasoning) if reasoning or text else None

    def last(self) -> LLMDelta:
        """The delta with usage and finish reason."""
        counted = self._usage or WireUsage()
        now = time.perf_counter() - self._started
        usage = Usage(
            # A server that does not count is estimated at four characters a token.
            prompt_tokens=counted.prompt_tokens or self._prompt_estimate(),
            completion_tokens=counted.completion_tokens or max(1, self._characters // 4),
            latency=round(now, 3),
            time_to_first_token=None if self._first is None else round(self._first, 3),
            time_to_generate=None if self._first is None else round(now - self._first, 3),
        )
        if self._calls and self._finish not in _REASONS:
            reason = "tool_calls"  # some servers say `stop` here
        elif self._finish in _CALLED:
            reason = "tool_calls"
        else:
            reason = _REASONS.get(self._finish or "", "stop")
        return LLMDelta(usage=price(usage, self._pricing), finish_reason=reason)

    def _delta(self, reasoning: str, text: str, calls: list[ToolCallDelta]) -> LLMDelta | None:
        if text:
            thought, text = self._thoughts.feed(text)
            reasoning += thought
        if not (text or reasoning or calls):
            return None
        if self._first is None:
            self._first = time.perf_counter() - self._started
        self._characters += len(text) + len(reasoning)
        return LLMDelta(text=text, reasoning=reasoning, tool_calls=calls)

    def _tool_calls(self, piece: Piece) -> list[ToolCallDelta]:
        return [self._tool_call(call) for call in piece.tool_calls] if piece.tool_calls else []

    def _tool_call(self, call: WireCall) -> ToolCallDelta:
        """One piece of a call; servers that leave out the index or repeat id and name are put right."""
        index = call.index
        if index is None:
            index = len(self._calls) if call.id or not self._calls else max(self._calls)
        known = index in self._calls
        self._calls[index] = True
        function = call.function
        arguments = (function.arguments or "") if function else ""
        self._characters += len(arguments)
        return ToolCallDelta(
            index=index,
            id="" if known else call.id or f"call_{index}",
            name="" if known or not function else function.name or "",
            arguments=arguments,
        )

    def _prompt_estimate(self) -> int:
        return max(1, sum(len(message.text) for message in self._request.messages) // 4)
