"""Offers the authenticator `apikey`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_authenticators"]


@hookimpl
def register_authenticators(register: Callable[..., None]) -> None:
    """Offer authentication by API key."""
    from dify_auth_apikey.authenticator import ApiKeyAuthenticator

    register(ApiKeyAuthenticator)
