"""The conformance suite of tool families: subclass it, give one example or more of each tool, and two fixtures.

class TestContract(ToolProviderSuite):
    examples = [
        ToolExample(tool="shout", parameters={"text": "a"}, messages=[TextMessage("A")]),
        ToolExample(tool="shout", parameters={"text": 1}, error="`text` is not a text"),
    ]

    @pytest.fixture
    def tools(self):                   # a family over a scripted service: MyTools(FakeHttp({...}))
        return MyTools(FakeHttp())

    @pytest.fixture
    def credentials(self):             # an instance of its Credentials that works
        return MyCredentials()
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

import msgspec
import pytest

from dify_kernel.contracts.tool import PARAMETER_TYPES, ToolMessage, ToolProvider
from dify_kernel.errors import ToolError
from dify_kernel.forms import form_fields
from dify_kernel.testing.honesty import ContractSuite

__all__ = ["ToolExample", "ToolProviderSuite"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, kw_only=True)
class ToolExample:
    """One call and what must come of it: these messages, or a ToolError whose text has `error` in it.

    With neither, the call has to succeed and its messages are not compared.
    """

    tool: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[Any] | None = None
    error: str | None = None


class ToolProviderSuite(ContractSuite, suite=True):
    """What every tool family owes the host."""

    examples: ClassVar[Sequence[ToolExample]]

    def test_has_a_name_and_a_label(self, tools: ToolProvider) -> None:
        """Troubleshooting: `name` is the entry point's: lower case, digits, `-` and `_`."""
        assert _NAME.fullmatch(tools.name)
        assert tools.label.strip()

    def test_every_tool_is_described(self, tools: ToolProvider) -> None:
        """Troubleshooting: a model chooses a tool by its description, and fills what has the form `llm`."""
        names = [tool.name for tool in tools.tools()]
        assert names
        assert len(set(names)) == len(names)
        for tool in tools.tools():
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tool.name), f"{tool.name!r} is no name that models take"
            assert tool.description.strip(), f"{tool.name} has no description"
            given = [parameter.name for parameter in tool.parameters]
            assert len(set(given)) == len(given), f"{tool.name} names a parameter twice"
            assert all(given), f"{tool.name} has a parameter without a name"
            msgspec.json.encode(tool)

    def test_every_parameter_can_be_filled(self, tools: ToolProvider) -> None:
        """Troubleshooting: the host turns values into a parameter's `type`, and refuses what a select does not have."""
        for tool in tools.tools():
            for parameter in tool.parameters:
                place = f"{tool.name}.{parameter.name}"
                assert parameter.type in PARAMETER_TYPES, f"{place} has the unknown type {parameter.type!r}"
                if parameter.type == "select":
                    assert parameter.options, f"{place} is a select without options"
                    assert parameter.default in (None, *parameter.options), f"{place} has a default it does not allow"

    def test_the_credentials_form_can_be_shown(self, tools: ToolProvider) -> None:
        """Troubleshooting: every field of `Credentials` needs a `Doc`, as the console draws its form from it."""
        for item in form_fields(tools.Credentials):
            assert item.help, f"{item.variable} has no Doc"

    def test_every_tool_has_an_example(self, tools: ToolProvider) -> None:
        assert {tool.name for tool in tools.tools()} <= {example.tool for example in self.examples if not example.error}

    async def test_answers_as_the_examples_say(self, tools: ToolProvider, credentials: Any) -> None:
        for example in self.examples:
            if example.error is None:
                messages = await _call(tools, example, credentials)
                assert all(isinstance(message, get_args(ToolMessage)) for message in messages), example
                assert example.messages is None or messages == list(example.messages), example

    async def test_fails_as_the_examples_say(self, tools: ToolProvider, credentials: Any) -> None:
        """Troubleshooting: whatever goes wrong is a ToolError that says what, and what to do about it."""
        for example in self.examples:
            if example.error is not None:
                with pytest.raises(ToolError) as caught:
                    await _call(tools, example, credentials)
                assert example.error in str(caught.value), example

    async def test_an_unknown_tool_is_refused(self, tools: ToolProvider, credentials: Any) -> None:
        with pytest.raises(ToolError):
            await _call(tools, ToolExample(tool="no-such-tool"), credentials)

    async def test_a_missing_parameter_is_refused_by_name(self, tools: ToolProvider, credentials: Any) -> None:
        """Troubleshooting: a model leaves parameters out; the ToolError has to name the one it must give."""
        required = {tool.name: [item.name for item in tool.parameters if item.required] for tool in tools.tools()}
        for example in self.examples:
            for name in required.get(example.tool, ()) if example.error is None else ():
                rest = {key: value for key, value in example.parameters.items() if key != name}
                with pytest.raises(ToolError) as caught:
                    await _call(tools, ToolExample(tool=example.tool, parameters=rest), credentials)
                assert re.search(rf"\b{re.escape(name)}\b", f"{caught.value} {caught.value.where}"), example

    async def test_leaves_its_parameters_alone(self, tools: ToolProvider, credentials: Any) -> None:
        for example in self.examples:
            if example.error is None:
                given = copy.deepcopy(dict(example.parameters))
                await _call(tools, ToolExample(tool=example.tool, parameters=given), credentials)
                assert given == example.parameters, example

    async def test_calls_at_once_are_kept_apart(self, tools: ToolProvider, credentials: Any) -> None:
        """Troubleshooting: one object serves everybody; keep nothing of a call in it."""
        examples = [example for example in self.examples if example.error is None] * 5
        answers = await asyncio.gather(*[_call(tools, example, credentials) for example in examples])
        for example, messages in zip(examples, answers, strict=True):
            assert example.messages is None or messages == list(example.messages), example


async def _call(tools: ToolProvider, example: ToolExample, credentials: Any) -> list[Any]:
    return [message async for message in tools.invoke(example.tool, example.parameters, credentials)]
