"""Asks a model to find parameters in a text: by calling a function, or by answering with JSON. Pure."""

from __future__ import annotations

import json
from typing import Any

from dify_kernel.contracts.model import PromptMessage, ToolSpec

__all__ = ["ask_for_call", "ask_for_json", "function"]

FUNCTION = "extract_parameters"

_HISTORIES = """\
What was said before, in case the text refers to it:
<histories>
{histories}
</histories>
"""
_INSTRUCTIONS = """\
What to go by when you look for values:
<instructions>
{instruction}
</instructions>
"""
_CALL_TASK = """\
You find the values of parameters in a text. Call the function `{function}` once, with every parameter that the text
tells or implies; take values as they are said and do not invent any. When you are not sure, call it with what there is.

"""
_JSON_TASK = """\
You find values in a text and answer with one JSON object, and with nothing else: no explanation, no Markdown. Each
message holds the JSON schema of the object and the text. Take values as they are said and do not invent any.

"""
_CALL = """\
Find the parameters in this text.
<text>
{text}
</text>
"""
_JSON = """\
### Structure
Answer with one JSON object that has the structure that this JSON schema tells:
<structure>
{schema}
</structure>

### Text
Find the values for it in this text:
<text>
{text}
</text>
"""


def _example(name: str, description: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"description": description, "type": "string"}}, "required": [name]}


_EXAMPLES = (
    (_example("table", "For whom the table is"), "A table for two under Okafor, please.", {"table": "Okafor"}),
    (_example("color", "The color that is wanted"), "Do you have these shoes in dark green?", {"color": "dark green"}),
)


def function(schema: dict[str, Any]) -> ToolSpec:
    """The function that a model calls with what it found."""
    return ToolSpec(name=FUNCTION, description="Extract parameters from the natural language text", parameters=schema)


def ask_for_call(text: str, *, instruction: str, histories: str) -> list[PromptMessage]:
    """The messages for a model that calls functions."""
    task = _CALL_TASK.format(function=FUNCTION) + _given(instruction, histories)
    return [PromptMessage(role="system", content=task), PromptMessage(role="user", content=_CALL.format(text=text))]


def ask_for_json(
    text: str, schema: dict[str, Any], *, instruction: str, histories: str, completes: bool
) -> list[PromptMessage]:
    """The messages for any other model; one message when the model completes texts."""
    task = _JSON_TASK + _given(instruction, histories)
    question = _JSON.format(schema=json.dumps(schema), text=text)
    if completes:
        return [PromptMessage(role="user", content=f"{task}\n{question}\n### JSON object\n")]
    messages = [PromptMessage(role="system", content=task)]
    for shape, said, answer in _EXAMPLES:
        messages.append(PromptMessage(role="user", content=_JSON.format(schema=json.dumps(shape), text=said)))
        messages.append(PromptMessage(role="assistant", content=json.dumps(answer)))
    return [*messages, PromptMessage(role="user", content=question)]


def _given(instruction: str, histories: str) -> str:
    return _HISTORIES.format(histories=histories) + "\n" + _INSTRUCTIONS.format(instruction=instruction)
