"""What can go wrong with the extensions of a workspace."""

from __future__ import annotations

from dify_kernel.errors import DifyError, NotFound

__all__ = ["ExtensionFailed", "ExtensionNotFound"]


class ExtensionNotFound(NotFound):
    """The workspace has no such extension."""


class ExtensionFailed(DifyError):
    """The service cannot be reached, or its answer is not what was asked for."""

    code = "invalid_param"
    status = 400
    retryable = True
