"""The tool suite passes on a family that keeps the contract and fails on every one that breaks it."""

import asyncio
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
import pytest
from dify_kernel.contracts.tool import TextMessage, ToolInfo, ToolParameter, ToolProvider
from dify_kernel.errors import ToolError
from dify_kernel.settings import Doc
from dify_kernel.testing.fakes import FakeHttp
from dify_kernel.testing.honesty import run_suite
from dify_kernel.testing.tool import ToolExample, ToolProviderSuite


class Credentials(msgspec.Struct, frozen=True):
    base: Annotated[str, Doc("Address")] = ""


class Shouting(ToolProvider):
    name, label, Credentials = "shouting", "Shouting", Credentials

    def tools(self):
        return [ToolInfo(name="shout", description="Upper case.", parameters=[ToolParameter(name="t", required=True)])]

    async def invoke(self, tool, parameters, credentials):
        if tool != "shout" or not isinstance(parameters.get("t"), str):
            raise ToolError("Give `t` to the tool shout.", field="t")
        await asyncio.sleep(0)
        yield TextMessage(parameters["t"].upper())


class Examples(ToolProviderSuite):
    examples = [
        ToolExample(tool="shout", parameters={"t": "a"}, messages=[TextMessage("A")]),
        ToolExample(tool="shout", parameters={"t": "b"}, messages=[TextMessage("B")]),
        ToolExample(tool="shout", parameters={"t": 1}, error="Give `t`"),
    ]


class TestShouting(Examples):
    @pytest.fixture
    def tools(self):
        return Shouting(FakeHttp())

    @pytest.fixture
    def credentials(self):
        return Credentials()


class Nameless(Shouting):
    name = "Not A Name"


class Silent(Shouting):
    def tools(self):
        return [ToolInfo(name="shout")]


class Twice(Shouting):
    def tools(self):
        return [*super().tools(), *super().tools()]


def taking(**parameter):
    return ToolInfo(
        name="shout",
        description="Upper case.",
        parameters=[ToolParameter(name="t", required=True), ToolParameter(name="how", **parameter)],
    )


class Typeless(Shouting):
    def tools(self):
        return [taking(type="text")]


class NoChoice(Shouting):
    def tools(self):
        return [taking(type="select")]


class Elsewhere(Shouting):
    def tools(self):
        return [taking(type="select", options=["loud"], default="quiet")]


class Unproved(Shouting):
    def tools(self):
        return [*super().tools(), ToolInfo(name="whisper", description="Lower case.")]


class Bare(msgspec.Struct, frozen=True):
    base: str = ""


class Undocumented(Shouting):
    Credentials = Bare


class Mute(Shouting):
    async def invoke(self, tool, parameters, credentials):
        async for _ in super().invoke(tool, parameters, credentials):
            pass
        return
        yield


class Plain(Shouting):
    async def invoke(self, tool, parameters, credentials):
        async for message in super().invoke(tool, parameters, credentials):
            yield message.text


class Obliging(Shouting):
    async def invoke(self, tool, parameters, credentials):
        async for message in super().invoke("shout", {"t": str(parameters.get("t", ""))}, credentials):
            yield message


class Crashing(Shouting):
    async def invoke(self, tool, parameters, credentials):
        yield TextMessage(parameters["t"].upper())


class Vague(Shouting):
    async def invoke(self, tool, parameters, credentials):
        if "t" not in parameters:
            raise ToolError("Something is missing.")
        async for message in super().invoke(tool, parameters, credentials):
            yield message


class Grabbing(Shouting):
    async def invoke(self, tool, parameters, credentials):
        async for message in super().invoke(tool, dict(parameters), credentials):
            yield message
        if isinstance(parameters, dict):
            parameters.pop("t")


class Mixing(Shouting):
    async def invoke(self, tool, parameters, credentials):
        self.parameters = parameters
        await asyncio.sleep(0)
        async for message in super().invoke(tool, self.parameters, credentials):
            yield message


BROKEN = [
    (Nameless, "test_has_a_name_and_a_label"),
    (Silent, "test_every_tool_is_described"),
    (Twice, "test_every_tool_is_described"),
    (Typeless, "test_every_parameter_can_be_filled"),
    (NoChoice, "test_every_parameter_can_be_filled"),
    (Elsewhere, "test_every_parameter_can_be_filled"),
    (Undocumented, "test_the_credentials_form_can_be_shown"),
    (Unproved, "test_every_tool_has_an_example"),
    (Mute, "test_answers_as_the_examples_say"),
    (Plain, "test_answers_as_the_examples_say"),
    (Obliging, "test_an_unknown_tool_is_refused"),
    (Obliging, "test_fails_as_the_examples_say"),
    (Crashing, "test_fails_as_the_examples_say"),
    (Vague, "test_a_missing_parameter_is_refused_by_name"),
    (Grabbing, "test_leaves_its_parameters_alone"),
    (Mixing, "test_calls_at_once_are_kept_apart"),
]


@pytest.mark.parametrize(("broken", "test"), BROKEN)
async def test_the_suite_notices(broken, test):
    @asynccontextmanager
    async def fixtures():
        yield {"tools": broken(FakeHttp()), "credentials": Credentials()}

    outcomes = await run_suite(Examples, fixtures, only=[test])
    assert outcomes[test] not in ("passed", "skipped")
