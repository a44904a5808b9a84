"""The tool contract: named functions with a JSON schema, grouped by provider."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec

from dify_kernel.contracts.http import HttpClient

__all__ = [
    "BlobMessage",
    "JsonMessage",
    "LinkMessage",
    "TextMessage",
    "ToolInfo",
    "ToolMessage",
    "ToolParameter",
    "ToolProvider",
    "VariableMessage",
]


class ToolParameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter. `form`: llm = the model fills it, form = the builder does, schema = fixed by the author."""

    name: str
    type: str = "string"
    form: Literal["schema", "form", "llm"] = "llm"
    required: bool = False
    default: Any = None
    label: str = ""
    description: str = ""
    options: list[str] = []


class ToolInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One tool: how people and models know it."""

    name: str
    label: str = ""
    description: str = ""
    parameters: list[ToolParameter] = []
    output_schema: dict[str, Any] | None = None


class TextMessage(msgspec.Struct, frozen=True, tag="text"):
    """A text, or a piece of one."""

    text: str


class JsonMessage(msgspec.Struct, frozen=True, tag="json"):
    """A JSON value."""

    data: Any


class LinkMessage(msgspec.Struct, frozen=True, tag="link"):
    """An address to show."""

    url: str


class BlobMessage(msgspec.Struct, frozen=True, kw_only=True, tag="blob"):
    """A file."""

    data: bytes
    mime_type: str
    filename: str = ""


class VariableMessage(msgspec.Struct, frozen=True, kw_only=True, tag="variable"):
    """An output variable; a streamed string arrives in several messages."""

    name: str
    value: Any
    stream: bool = False


ToolMessage = TextMessage | JsonMessage | LinkMessage | BlobMessage | VariableMessage


class ToolProvider(ABC):
    """One family of tools. Errors: ToolError."""

    name: ClassVar[str]
    label: ClassVar[str]
    Credentials: ClassVar[type[msgspec.Struct]]

    def __init__(self, http: HttpClient) -> None:
        self.http = http

    @abstractmethod
    def tools(self) -> Sequence[ToolInfo]:
        """The tools of this family; no I/O."""

    async def validate(self, credentials: Any) -> None:
        """Check credentials; CredentialsValidateFailedError with the vendor's words."""

    @abstractmethod
    def invoke(self, tool: str, parameters: Mapping[str, Any], credentials: Any) -> AsyncIterator[ToolMessage]:
        """Call one tool; ToolError when it fails or a parameter is wrong."""
