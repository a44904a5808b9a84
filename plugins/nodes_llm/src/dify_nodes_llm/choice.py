"""Asks a model which category a text belongs to, and reads what it chose. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from dify_kernel import loose_json
from dify_kernel.contracts.model import PromptMessage
from dify_kernel.errors import NodeFailed

from dify_nodes_llm.reasoning import without_thinking

__all__ = ["Category", "ask_to_choose", "read_choice"]

_TASK = """\
You sort texts into categories. A text comes as a JSON object: `input_text` holds the text, `categories` what there is
to choose from, `classification_instructions` what to go by beyond the names of the categories, if anything.
Choose the one category that fits best, and pick the words of the text that decide it.
Answer with one JSON object and nothing else: `keywords` is the list of these words, `category_id` and `category_name`
are those of the category, as they were given.

What was said before, in case the text refers to it:
<histories>
{histories}
</histories>
"""
_COMPLETION = """\
{task}
For example, this text
{example}
is answered
{answer}

Now this one:
{question}
The answer:
"""
#: What json calls a text in which something follows the first value.
_MORE_FOLLOWS = "Extra data"


class Category(msgspec.Struct, frozen=True):
    """One category as the model sees it."""

    category_id: str
    category_name: str


def _question(text: str, categories: Sequence[Category], instruction: str) -> str:
    """The JSON object that is asked about, in three lines."""
    shown = json.dumps([msgspec.to_builtins(category) for category in categories], ensure_ascii=False)
    return (
        f'\n    {{"input_text": [{json.dumps(text, ensure_ascii=False)}],\n'
        f'    "categories": {shown},\n'
        f'    "classification_instructions": [{json.dumps(instruction, ensure_ascii=False)}]}}\n'
    )


def _answer(keywords: list[str], category: Category) -> str:
    return json.dumps({"keywords": keywords, **msgspec.to_builtins(category)}, ensure_ascii=False)


_PARCEL = [Category("delivery", "Delivery and returns"), Category("bill", "Bills"), Category("other", "Anything else")]
_HOTEL = [Category("1", "Room"), Category("2", "Staff"), Category("3", "Price")]
_EXAMPLES = (
    (
        _question("My parcel should have been here on Monday. Where is it?", _PARCEL, "a late order is a delivery"),
        _answer(["parcel", "should have been here", "Where is it"], _PARCEL[0]),
    ),
    (
        _question("We waited twenty minutes until somebody came to the desk.", _HOTEL, ""),
        _answer(["waited", "somebody came to the desk"], _HOTEL[1]),
    ),
)


def ask_to_choose(
    text: str, categories: Sequence[Category], *, instruction: str, histories: str, completes: bool
) -> list[PromptMessage]:
    """The messages that ask for a category; one message when the model completes texts."""
    task, question = _TASK.format(histories=histories), _question(text, categories, instruction)
    if completes:
        example, answer = _EXAMPLES[0]
        content = _COMPLETION.format(task=task, example=example.strip(), answer=answer, question=question.strip())
        return [PromptMessage(role="user", content=content)]
    messages = [PromptMessage(role="system", content=task)]
    for example, answer in _EXAMPLES:
        messages.append(PromptMessage(role="user", content=example))
        messages.append(PromptMessage(role="assistant", content=answer))
    return [*messages, PromptMessage(role="user", content=question)]


def read_choice(answer: str, categories: Sequence[Category]) -> Category:
    """The category that an answer names by its id, else the first; NodeFailed when there is no JSON object in it."""
    found = _object(without_thinking(answer))
    if "category_id" in found and "category_name" in found:
        chosen = str(found["category_id"])
        return next((category for category in categories if category.category_id == chosen), categories[0])
    return categories[0]


def _object(text: str) -> dict[str, Any]:
    """The object from the first brace to the last; several of them are none."""
    start, end = text.find("{"), text.rfind("}") + 1
    if start < 0 or end <= start:
        raise NodeFailed("could not find json block in the output.", error_type="OutputParserError")
    block = text[start:end]
    try:
        found: dict[str, Any] = json.loads(block)
    except RecursionError as exc:
        raise NodeFailed("got invalid json object. error: too deep", error_type="OutputParserError") from exc
    except json.JSONDecodeError as exc:
        if exc.msg == _MORE_FOLLOWS:
            raise NodeFailed(f"got invalid json object. error: {exc}", error_type="OutputParserError") from exc
        return _repaired(block)
    return found


def _repaired(block: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = loose_json.loads(block, objects=True)
    except ValueError as exc:
        raise NodeFailed(f"got invalid json object. error: {exc}", error_type="OutputParserError") from exc
    return found
