"""The login method: find the account, compare the password, tell nobody which of the two was wrong."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from dify_kernel.contracts.auth import LoginMethod
from dify_kernel.errors import Unauthorized
from dify_kernel.settings import Doc, Secret

__all__ = ["PasswordForm", "PasswordLogin"]

_NO_ENTRY = frozenset(("banned", "closed"))


class PasswordForm(msgspec.Struct, frozen=True, kw_only=True):
    """What the login page asks for."""

    email: Annotated[str, Doc("Address of the account.", max_length=255)]
    password: Annotated[Secret, Doc("Its password.")]


class PasswordLogin(LoginMethod):
    """An email address and a password."""

    name: ClassVar[str] = "password"
    label: ClassVar[str] = "Email and password"
    Form: ClassVar[type[msgspec.Struct]] = PasswordForm

    async def login(self, form: PasswordForm) -> str:
        """The account's id; Unauthorized with the same words and in the same time whatever was wrong."""
        account = await self.ports.find_account(form.email)
        # An unknown address costs a comparison too, or the time would tell who has an account.
        fits = await self.ports.verify_password(account.password if account else None, form.password.reveal())
        if account is None or not fits or account.status in _NO_ENTRY:
            raise Unauthorized("Invalid email or password.")
        return account.id
