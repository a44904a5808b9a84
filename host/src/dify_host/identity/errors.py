"""What can go wrong with accounts, workspaces and keys, beyond the errors every domain shares."""

from __future__ import annotations

from dify_kernel.errors import AuthError, BadInput, Conflict, DifyError, NotFound

__all__ = [
    "AccountNotFound",
    "AccountNotLinkTenant",
    "AlreadySetUp",
    "AuthenticationFailed",
    "CannotOperateSelf",
    "CurrentPasswordIncorrect",
    "EmailAlreadyInUse",
    "InvalidEmail",
    "InvalidPassword",
    "InvalidRole",
    "LoginLocked",
    "MemberNotFound",
    "TooManyKeys",
]


class AlreadySetUp(Conflict):
    """The first account exists already."""

    code = "already_setup"
    status = 403


class AccountNotFound(NotFound):
    """There is no such account."""

    code = "account_not_found"


class MemberNotFound(NotFound):
    """The account is not a member of this workspace."""

    code = "member-not-found"


class EmailAlreadyInUse(Conflict):
    """Another account has this address."""

    code = "email_already_in_use"
    status = 400


class InvalidEmail(BadInput):
    """The text is not an address."""

    code = "invalid_email"


class InvalidPassword(BadInput):
    """The new password is too short or too simple."""

    code = "invalid_password"


class CurrentPasswordIncorrect(BadInput):
    """The present password, which a change asks for, is another one."""

    code = "current_password_incorrect"


class InvalidRole(BadInput):
    """There is no such role, or it cannot be given in this way."""

    code = "invalid-role"


class CannotOperateSelf(BadInput):
    """Nobody removes or demotes themselves."""

    code = "cannot-operate-self"


class TooManyKeys(BadInput):
    """The app or the workspace has as many API keys as it may."""

    code = "max_keys_exceeded"


class AuthenticationFailed(AuthError):
    """The login was refused; the words do not say what was wrong."""

    code = "authentication_failed"


class AccountNotLinkTenant(AuthError):
    """The account is a member of no workspace."""

    code = "account_not_link_tenant"
    status = 403


class LoginLocked(DifyError):
    """Too many failed logins for this address; it opens again by itself."""

    code = "email_code_login_limit"
    status = 429
    retryable = True
