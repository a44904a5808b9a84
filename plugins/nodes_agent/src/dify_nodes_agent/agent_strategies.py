"""How a model is asked for tools, and how its answers are read: by function calling, or by ReAct in plain text."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec
from dify_kernel.contracts.model import (
    LLMDelta,
    LLMRequest,
    ModelFeature,
    ModelInfo,
    PromptMessage,
    ToolCall,
    ToolSpec,
)
from dify_kernel.contracts.node import NodeContext
from dify_kernel.errors import NodeFailed
from dify_kernel.loose_json import loads

from dify_nodes_agent.agent_config import AgentConfig, Job
from dify_nodes_agent.agent_prompt import GO_ON, OBSERVATION, SCRATCHPAD, last_words, react_prompt
from dify_nodes_agent.agent_react_parser import ReActReader
from dify_nodes_agent.agent_tools import Call, Observation

__all__ = ["FunctionCalling", "Opening", "ReAct", "Reading", "Strategy", "strategy_of"]

_PROVIDERS = ("", "langgenius/agent/agent", "langgenius/agent", "agent")


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What every round begins with: the instruction, the conversation so far, the question."""

    instruction: str
    history: list[PromptMessage]
    question: PromptMessage
    tools: list[ToolSpec]
    user: str = ""


class Reading(ABC):
    """One answer of the model, as it arrives. `thought` and `calls` are known after `finish`."""

    thought: str = ""
    calls: Sequence[Call] = ()

    @abstractmethod
    def feed(self, delta: LLMDelta) -> str:
        """What the user may see of a piece."""

    def finish(self) -> str:
        """What the user may see besides, now that the answer has ended."""
        return ""


class Strategy(ABC):
    """The requests of one agent, round by round."""

    def __init__(self, job: Job, opening: Opening) -> None:
        self._job, self._opening = job, opening
        self._parameters, self._stop = job.model.parameters()

    @abstractmethod
    def request(self, *, last: bool) -> LLMRequest:
        """What to ask next; the last round has no tools."""

    @abstractmethod
    def reading(self) -> Reading:
        """A fresh answer."""

    @abstractmethod
    def learn(self, reading: Reading, seen: Sequence[Observation]) -> None:
        """Take what the calls of an answer gave, in their order."""

    def _ask(self, messages: list[PromptMessage], **more: Any) -> LLMRequest:
        return LLMRequest(
            model=self._job.model.model,
            messages=messages,
            parameters=self._parameters,
            user=self._opening.user,
            **{"stop": self._stop, **more},
        )


# -- function calling ----------------------------------------------------------------------------------------------


class _Called(Reading):
    """Text goes out as it is; calls are put together from their pieces."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._pieces: dict[int, dict[str, str]] = {}

    def feed(self, delta: LLMDelta) -> str:
        for piece in delta.tool_calls:
            call = self._pieces.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
            call["id"] = call["id"] or piece.id
            call["name"] = call["name"] or piece.name
            call["arguments"] += piece.arguments
        if delta.text:
            self._text.append(delta.text)
        return delta.text

    def finish(self) -> str:
        self.thought = "".join(self._text)
        self.calls = [
            _read_call(call["id"] or f"call_{index}", call["name"], call["arguments"])
            for index, call in sorted(self._pieces.items())
        ]
        return ""


class FunctionCalling(Strategy):
    """The model's own way to call functions."""

    def __init__(self, job: Job, opening: Opening) -> None:
        super().__init__(job, opening)
        system = [PromptMessage(role="system", content=opening.instruction)] if opening.instruction else []
        self._messages = [*system, *opening.history, opening.question]

    def request(self, *, last: bool) -> LLMRequest:
        return self._ask(list(self._messages), tools=[] if last else self._opening.tools)

    def reading(self) -> Reading:
        return _Called()

    def learn(self, reading: Reading, seen: Sequence[Observation]) -> None:
        calls = [
            ToolCall(id=call.id, name=call.name, arguments=json.dumps(call.arguments, ensure_ascii=False))
            for call in reading.calls
        ]
        self._messages.append(PromptMessage(role="assistant", content=reading.thought, tool_calls=calls))
        for call, found in zip(reading.calls, seen, strict=True):
            self._messages.append(PromptMessage(role="tool", content=found.text, tool_call_id=call.id, name=call.name))


def _read_call(call_id: str, name: str, arguments: str) -> Call:
    problem = ""
    found: Any = {}
    if arguments.strip():
        try:
            found = loads(arguments, objects=True)
        except ValueError as exc:
            problem = f"its arguments are no JSON object ({exc}): {arguments}"
    if not isinstance(found, dict):
        found, problem = {}, f"its arguments are no JSON object: {arguments}"
    return Call(id=call_id, name=name, arguments=found, problem=problem)


# -- ReAct ---------------------------------------------------------------------------------------------------------


class _Written(Reading):
    """The final answer goes out, the scratchpad stays here."""

    def __init__(self, number: int, tools: Sequence[ToolSpec]) -> None:
        self.reader = ReActReader()
        self._number = number
        self._tools = {tool.name: tool for tool in tools}

    def feed(self, delta: LLMDelta) -> str:
        return self.reader.feed(delta.text) if delta.text else ""

    def finish(self) -> str:
        shown = self.reader.finish()
        self.thought, action = self.reader.thought, self.reader.action
        if action is not None:
            arguments, problem = self._arguments(action.name, action.input)
            self.calls = [Call(id=f"action_{self._number}", name=action.name, arguments=arguments, problem=problem)]
        return shown

    def _arguments(self, name: str, given: Any) -> tuple[dict[str, Any], str]:
        """An object as it is; a text is the only argument of a tool that has one."""
        if isinstance(given, dict):
            return given, ""
        names = list(self._tools[name].parameters.get("properties") or {}) if name in self._tools else []
        if given in ("", None, []):
            return {}, ""
        if len(names) == 1:
            return {names[0]: given}, ""
        if name not in self._tools:
            return {}, ""  # the tool box says which tools there are
        return {}, f"its input must be a JSON object with {', '.join(names) or 'nothing in it'}, not {given!r}"


class ReAct(Strategy):
    """Thoughts, actions and observations in plain text, for any model."""

    def __init__(self, job: Job, opening: Opening) -> None:
        super().__init__(job, opening)
        self._rounds: list[tuple[str, str]] = []

    def request(self, *, last: bool) -> LLMRequest:
        tools = [] if last else self._opening.tools
        system = react_prompt("" if last else self._job.prompt, self._opening.instruction, tools)
        end = last_words(self._job.maximum_iterations) if last and self._opening.tools else ""
        stop = [*self._stop, OBSERVATION] if OBSERVATION not in self._stop else self._stop
        if self._job.model.mode == "completion":
            return self._ask([self._completion(system, end)], stop=stop, mode="completion")
        messages = [PromptMessage(role="system", content=system), *self._opening.history, self._opening.question]
        for index, (written, observed) in enumerate(self._rounds):
            cue = end if end and index == len(self._rounds) - 1 else GO_ON
            messages.append(PromptMessage(role="assistant", content=written))
            messages.append(PromptMessage(role="user", content=f"{OBSERVATION} {observed}\n\n{cue}"))
        return self._ask(messages, stop=stop)

    def reading(self) -> Reading:
        return _Written(len(self._rounds), self._opening.tools)

    def learn(self, reading: Reading, seen: Sequence[Observation]) -> None:
        call = reading.calls[0]
        action = json.dumps({"action": call.name, "action_input": call.arguments}, ensure_ascii=False)
        thought = f"Thought: {reading.thought}\n" if reading.thought else ""
        self._rounds.append((f"{thought}Action: {action}", seen[0].text))

    def _completion(self, system: str, end: str) -> PromptMessage:
        """One text. A prompt that says where its parts go gets them there, another gets them behind it."""
        names = {"user": "Question", "assistant": "Final Answer"}
        turns = "".join(f"{names.get(turn.role, turn.role)}: {turn.text}\n" for turn in self._opening.history)
        pad = "".join(f"{written}\n{OBSERVATION} {observed}\n" for written, observed in self._rounds)
        asked = self._opening.question.text
        if SCRATCHPAD in system:
            text = system.replace("{{historic_messages}}", turns).replace(SCRATCHPAD, pad)
            return PromptMessage(role="user", content=text.replace("{{query}}", asked))
        end = f"{end}\n" if end else ""
        return PromptMessage(role="user", content=f"{system}\n{turns}Question: {asked}\n{pad}{end}Thought:")


# -- which one -----------------------------------------------------------------------------------------------------

_STRATEGIES: dict[str, type[Strategy]] = {
    "function_calling": FunctionCalling,
    "function_call": FunctionCalling,
    "react": ReAct,
    "cot": ReAct,
}
_CALLING = frozenset((ModelFeature.TOOL_CALL, ModelFeature.MULTI_TOOL_CALL, ModelFeature.STREAM_TOOL_CALL))


def strategy_of(config: AgentConfig, info: ModelInfo, ctx: NodeContext) -> type[Strategy]:
    """The strategy that a node names; NodeFailed for one that is not here. `auto` is what the model is made for."""
    provider, name = config.agent_strategy_provider_name, config.agent_strategy_name
    if provider in _PROVIDERS and name == "auto":
        return FunctionCalling if _CALLING.intersection(info.features) else ReAct
    found = _STRATEGIES.get(name.lower()) if provider in _PROVIDERS else None
    if found is None:
        raise NodeFailed(
            f"The agent strategy {provider}/{name} is not installed.",
            error_type="AgentStrategyNotFoundError",
            hint="Choose function_calling or ReAct of langgenius/agent/agent.",
            node_id=ctx.node_id,
        )
    return found
