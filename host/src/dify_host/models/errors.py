"""What can go wrong with the models of a workspace before a vendor is asked."""

from __future__ import annotations

from dify_kernel.errors import InvokeError, NotFound

__all__ = ["CredentialNotFound", "ProviderTokenNotInitError"]


class ProviderTokenNotInitError(InvokeError):
    """The workspace has no credentials for the provider, or no default model of the kind."""

    code = "provider_not_initialize"


class CredentialNotFound(NotFound):
    """The workspace has no such credentials."""

    code = "credential_not_found"
