"""Small models on the CPU of this machine, in a process of their own."""

from dify_providers_local.settings import LocalCredentials, LocalSettings

__all__ = ["LocalCredentials", "LocalSettings"]
