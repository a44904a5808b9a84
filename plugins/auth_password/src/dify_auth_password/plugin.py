"""Offers the login method `password`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_login_methods"]


@hookimpl
def register_login_methods(register: Callable[..., None]) -> None:
    """Offer the login with a password."""
    from dify_auth_password.method import PasswordLogin

    register(PasswordLogin)
