"""What can go wrong with the tools of a workspace before a tool is called."""

from __future__ import annotations

from dify_kernel.errors import BadInput, NotFound, ToolError

__all__ = ["InvalidApiSchema", "ToolCredentialsMissing", "ToolNotFound", "ToolParameterError", "ToolProviderNotFound"]


class ToolProviderNotFound(NotFound):
    """Neither an installed plugin nor the workspace has the provider."""

    code = "tool_provider_not_found"


class ToolNotFound(NotFound):
    """The provider has no such tool."""

    code = "tool_not_found"


class ToolCredentialsMissing(ToolError):
    """The tool needs credentials that the workspace does not have."""

    code = "tool_credentials_missing"


class ToolParameterError(ToolError):
    """A parameter is missing or of the wrong type."""

    code = "tool_parameter_error"


class InvalidApiSchema(BadInput):
    """The description of an API cannot be read, or describes nothing that can be called."""

    code = "invalid_api_schema"
