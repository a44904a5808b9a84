"""Answers bound to a JSON schema: how to ask for them, and how to read them. Pure."""

from __future__ import annotations

import json
from typing import Any

from dify_kernel import loose_json
from dify_kernel.contracts.model import ModelInfo, PromptMessage
from dify_kernel.errors import NodeFailed

from dify_nodes_llm.reasoning import without_thinking

__all__ = ["json_parameters", "parse_structured", "with_instruction"]

_INSTRUCTION = """\
Answer with one JSON object that follows the JSON schema below, and with nothing else: no explanation, no Markdown.
A property that you do not know is null, or left out where the schema does not require it.

<schema>
{schema}
</schema>
"""


def with_instruction(messages: list[PromptMessage], schema: dict[str, Any]) -> list[PromptMessage]:
    """The prompt with the schema in front of its system message; a system message is added where there is none."""
    text = _INSTRUCTION.format(schema=json.dumps(schema, ensure_ascii=False))
    for index, message in enumerate(messages):
        if message.role == "system":
            joined = PromptMessage(role="system", content=f"{text}\n{message.text}")
            return [*messages[:index], joined, *messages[index + 1 :]]
    return [PromptMessage(role="system", content=text), *messages]


def json_parameters(parameters: dict[str, Any], info: ModelInfo) -> dict[str, Any]:
    """The parameters with the model's JSON answer format, where it has one."""
    rule = next((rule for rule in info.parameter_rules if rule.name == "response_format"), None)
    if rule is None:
        return parameters
    offered = next((name for name in ("JSON", "json_object", "json") if name in rule.options), None)
    return {**parameters, "response_format": offered} if offered else parameters


def parse_structured(text: str) -> dict[str, Any]:
    """The object in the answer, repaired where it is not quite JSON; NodeFailed when there is none."""
    try:
        found: dict[str, Any] = loose_json.loads(without_thinking(text).strip(), objects=True)
    except ValueError as exc:
        raise NodeFailed(f"Failed to parse structured output: {text}", error_type="OutputParserError") from exc
    return found
