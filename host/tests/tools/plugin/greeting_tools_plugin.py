"""A plugin of the tests: a tool family with a key, a tool that takes a file, and one with a fault."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from dify_kernel.contracts.tool import FileContent, TextMessage, ToolInfo, ToolMessage, ToolParameter, ToolProvider
from dify_kernel.errors import CredentialsValidateFailedError, ToolError
from dify_kernel.hookspecs import hookimpl
from dify_kernel.settings import Doc, Secret


class GreetingCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A key."""

    api_key: Annotated[Secret, Doc("The key")]
    region: Annotated[str, Doc("Where")] = "eu"


class GreetingTools(ToolProvider):
    """Greets, reads files, and breaks."""

    name = "greeting"
    label = "Greeting"
    Credentials = GreetingCredentials

    def tools(self) -> Sequence[ToolInfo]:
        return [
            ToolInfo(
                name="greet",
                description="Greets.",
                parameters=[
                    ToolParameter(name="who", required=True),
                    ToolParameter(name="times", type="number", form="form", default=1),
                    ToolParameter(name="tone", type="select", form="form", options=["kind", "rude"], default="kind"),
                ],
            ),
            ToolInfo(
                name="read",
                description="Reads.",
                parameters=[ToolParameter(name="files", type="files", required=True)],
            ),
            ToolInfo(name="break", description="Breaks."),
        ]

    async def validate(self, credentials: Any) -> None:
        if credentials.api_key.reveal() == "bad":
            raise CredentialsValidateFailedError("The key is unknown.")

    async def invoke(self, tool: str, parameters: Mapping[str, Any], credentials: Any) -> AsyncIterator[ToolMessage]:
        if tool == "break":
            raise KeyError("inside")
        if tool == "read":
            for file in parameters["files"]:
                assert isinstance(file, FileContent)
                yield TextMessage(f"{file.filename}={file.data.decode()};")
        elif tool == "greet":
            key = credentials.api_key.reveal()[:1]
            yield TextMessage(f"{parameters['tone']} {parameters['who']} {parameters['times']} {key}")
        else:
            raise ToolError(f"There is no {tool}.")


@hookimpl
def register_tools(register: Callable[..., None]) -> None:
    register(GreetingTools)
