"""What a ReAct agent is told, and how what it did before is told to it again."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
from dify_kernel.contracts.model import ToolSpec

__all__ = ["GO_ON", "OBSERVATION", "SCRATCHPAD", "last_words", "react_prompt"]

OBSERVATION = "Observation:"
#: Where a prompt for a model that completes a text wants the rounds so far.
SCRATCHPAD = "{{agent_scratchpad}}"
GO_ON = "Go on: the next thought and action, or the final answer."

_REACT = """{{instruction}}

Answer as helpfully and exactly as you can. You have these tools, each with the JSON schema of its arguments:

{{tools}}

To use a tool, write one JSON object that names it and gives its arguments:

```
{"action": TOOL, "action_input": ARGUMENTS}
```

TOOL is one of: {{tool_names}}. Write at most one action at a time, then stop: its result will be given to you.

Keep to this form:

Question: what you are asked
Thought: what you know, and what you need next
Action:
```
{"action": TOOL, "action_input": ARGUMENTS}
```
Observation: what the tool gave
... (thought, action and observation as often as you need them)
Thought: I know the answer
Final Answer: the answer, in the language of the question

Always end with `Final Answer:`. When no tool is needed, give the final answer at once."""

_WITHOUT_TOOLS = """{{instruction}}

Answer as helpfully and exactly as you can. There are no tools now: answer from what is known so far.

Thought: what you know
Final Answer: the answer, in the language of the question"""


def react_prompt(prompt: str, instruction: str, tools: Sequence[ToolSpec]) -> str:
    """The system prompt: the given one, or ours, with instruction and tools in their places."""
    shown = [msgspec.to_builtins(tool) for tool in tools]
    filled = {
        "{{instruction}}": instruction,
        "{{tools}}": json.dumps(shown, ensure_ascii=False),
        "{{tool_names}}": ", ".join(tool.name for tool in tools),
    }
    text = prompt or (_REACT if tools else _WITHOUT_TOOLS)
    for mark, words in filled.items():
        text = text.replace(mark, words)
    return text.strip()


def last_words(iterations: int) -> str:
    """What a model hears that asks for a tool when its rounds are used up."""
    return f"{OBSERVATION} the limit of {iterations} iterations is reached, no more tools. Give the final answer now."
