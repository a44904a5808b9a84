"""The rounds of an agent: ask the model, call the tools that it wants, tell it what they gave, until it answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from dify_kernel.contracts.model import LLMRequest, Usage
from dify_kernel.contracts.node import Delta, NodeContext, RetrieverResources, TextDelta
from dify_kernel.errors import DifyError, NodeFailed
from dify_kernel.graph.values import File

from dify_nodes_agent.agent_config import Job
from dify_nodes_agent.agent_steps import Step, Steps
from dify_nodes_agent.agent_strategies import Reading, Strategy
from dify_nodes_agent.agent_tools import Call, Observation, Toolbox

__all__ = ["AgentLoop"]


class AgentLoop:
    """One agent at work. What it has said, spent and made is here, also when it fails on the way."""

    def __init__(self, job: Job, strategy: Strategy, toolbox: Toolbox, steps: Steps, ctx: NodeContext) -> None:
        self._job, self._strategy, self._toolbox = job, strategy, toolbox
        self._steps, self._ctx = steps, ctx
        self._said: list[str] = []
        self._fresh = True
        self.usage = Usage()
        self.files: list[File] = []
        self.json: list[Any] = []

    @property
    def text(self) -> str:
        """What the user has been told."""
        return "".join(self._said)

    async def run(self) -> AsyncIterator[Delta]:
        """Steps, citations and text as they come; NodeFailed when all rounds are used up without an answer."""
        limit = self._job.maximum_iterations if self._toolbox.specs else 0
        for number in range(1, limit + 2):
            last = number > limit
            label = f"ROUND {number}"
            step = self._steps.open(label)
            yield step.log
            reading, spent = self._strategy.reading(), Usage()
            async for delta in self._think(self._strategy.request(last=last), reading, step, spent):
                yield delta
            calls = [] if last else list(reading.calls)
            known = _known(reading.thought, calls, self._toolbox)
            if not calls:
                yield step.close(_ended(known, [], []), usage=spent)
                break
            yield step.update(known)
            seen: list[Observation] = []
            for call in calls:
                async for delta in self._act(call, step, seen):
                    yield delta
            self._strategy.learn(reading, seen)
            yield step.close(_ended(known, calls, seen), usage=spent)
        if last and reading.calls and self._fresh:
            raise NodeFailed(
                f"The agent wants to call {reading.calls[0].name} after {number} rounds, and has not answered.",
                error_type="AgentMaxIterationError",
                hint="Allow more iterations, or make the instruction clearer.",
                node_id=self._ctx.node_id,
            )

    async def _think(self, request: LLMRequest, reading: Reading, parent: Step, spent: Usage) -> AsyncIterator[Delta]:
        provider = self._job.model.provider
        step = self._steps.open(f"{request.model} Thought", parent=parent, provider=provider)
        yield step.log
        self._fresh = True
        reasoning: list[str] = []
        stream = self._ctx.ports.models.llm(provider, request)
        try:
            async for delta in stream:
                for piece in self._say(reading.feed(delta)):
                    yield piece
                if delta.reasoning:
                    reasoning.append(delta.reasoning)
                if delta.usage is not None:
                    spent.add(delta.usage)
        except DifyError as exc:
            yield step.close({}, error=str(exc))
            yield parent.close({}, error=str(exc))
            raise
        finally:
            self.usage.add(spent)
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
        for piece in self._say(reading.finish()):
            yield piece
        data = {
            "output": reading.thought,
            "tool_name": ";".join(call.name for call in reading.calls),
            "tool_input": [{"name": call.name, "args": call.arguments} for call in reading.calls],
        }
        yield step.close(data | ({"reasoning": "".join(reasoning)} if reasoning else {}), usage=spent)

    async def _act(self, call: Call, parent: Step, seen: list[Observation]) -> AsyncIterator[Delta]:
        step = self._steps.open(f"CALL {call.name}", parent=parent, provider=self._toolbox.provider(call.name))
        yield step.log
        found = await self._toolbox.call(call, self._ctx)
        seen.append(found)
        self.files += found.files
        self.json += found.json
        if found.resources:
            yield RetrieverResources(found.resources)
        output = {
            "tool_call_id": call.id,
            "tool_call_name": call.name,
            "tool_call_input": found.parameters,
            "tool_response": found.text,
        }
        yield step.close({"output": output, "files": list(found.files)}, error=found.error)

    def _say(self, text: str) -> list[TextDelta]:
        """Tell the user; what different rounds say stands on lines of their own."""
        if not text:
            return []
        if self._fresh and self._said and not self._said[-1].endswith("\n"):
            text = f"\n{text}"
        self._fresh = False
        self._said.append(text)
        return [TextDelta(text)]


def _known(thought: str, calls: Sequence[Call], toolbox: Toolbox) -> dict[str, Any]:
    """What a round holds once the model has spoken: what chats show of it."""
    return {
        "thought": thought,
        "tool": ";".join(call.name for call in calls),
        "tool_labels": {call.name: {"en_US": toolbox.label(call.name)} for call in calls},
        "tool_input": json.dumps({call.name: call.arguments for call in calls}, ensure_ascii=False) if calls else "",
        "observation": "",
        "files": [],
    }


def _ended(known: dict[str, Any], calls: Sequence[Call], seen: Sequence[Observation]) -> dict[str, Any]:
    """What a round holds in the end."""
    answers = {call.name: found.text for call, found in zip(calls, seen, strict=True)}
    responses = [
        {"tool_call_id": call.id, "tool_call_name": call.name, "tool_response": found.text}
        for call, found in zip(calls, seen, strict=True)
    ]
    return {
        **known,
        "observation": json.dumps(answers, ensure_ascii=False) if calls else "",
        "files": [file for found in seen for file in found.files],
        "output": {"llm_response": known["thought"], "tool_responses": responses},
    }
