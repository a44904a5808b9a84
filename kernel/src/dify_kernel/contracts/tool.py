"""The tool contract: named functions with a JSON schema, grouped by provider."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

import msgspec

from dify_kernel.contracts.http import HttpClient
from dify_kernel.graph.values import File

__all__ = [
    "PARAMETER_TYPES",
    "BlobMessage",
    "FileContent",
    "FileMessage",
    "JsonMessage",
    "LinkMessage",
    "ResourcesMessage",
    "TextMessage",
    "ToolInfo",
    "ToolMessage",
    "ToolParameter",
    "ToolProvider",
    "VariableMessage",
]


#: What a parameter may be; the host turns what it is given into that before a call.
PARAMETER_TYPES: Final = frozenset(
    (
        "string",
        "number",
        "boolean",
        "checkbox",
        "select",
        "dynamic-select",
        "secret-input",
        "object",
        "array",
        "any",
        "file",
        "files",
        "system-files",
        "app-selector",
        "model-selector",
    )
)


class ToolParameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter. `form`: llm = the model fills it, form = the builder does, schema = fixed by the author.

    `type` is one of PARAMETER_TYPES. `options` are what a select allows. `json_schema` says what an object or an array
    looks like, where that is known.
    """

    name: str
    type: str = "string"
    form: Literal["schema", "form", "llm"] = "llm"
    required: bool = False
    default: Any = None
    label: str = ""
    description: str = ""
    options: list[str] = []
    json_schema: dict[str, Any] | None = None


class FileContent(msgspec.Struct, frozen=True, kw_only=True):
    """A file as a tool gets it: what a parameter of type `file` holds, and each item of `files`."""

    data: bytes
    filename: str
    mime_type: str


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


class FileMessage(msgspec.Struct, frozen=True, tag="file"):
    """A file that the workspace has already."""

    file: File


class ResourcesMessage(msgspec.Struct, frozen=True, tag="resources"):
    """Citations, fields as in `retriever_resources` of the API."""

    resources: list[dict[str, Any]]


class VariableMessage(msgspec.Struct, frozen=True, kw_only=True, tag="variable"):
    """An output variable; a streamed string arrives in several messages."""

    name: str
    value: Any
    stream: bool = False


ToolMessage = TextMessage | JsonMessage | LinkMessage | BlobMessage | FileMessage | ResourcesMessage | VariableMessage


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
