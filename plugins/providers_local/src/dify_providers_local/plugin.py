"""Hook implementations: the provider `local`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl


@hookimpl
def register_model_providers(register: Callable[..., None]) -> None:
    """Offer the provider."""
    from dify_providers_local.provider import LocalProvider

    register(LocalProvider)
