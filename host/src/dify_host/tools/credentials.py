"""Stored credentials of tool providers."""

from __future__ import annotations

from typing import Any

from dify_host.identity.credential_sets import CredentialSets
from dify_host.tools.tables import tool_builtin_providers

__all__ = ["ToolCredentialStore"]


class ToolCredentialStore(CredentialSets):
    """The tool credentials of one workspace."""

    table = tool_builtin_providers

    def _more(self, user_id: str) -> dict[str, Any]:
        return {"user_id": user_id}
