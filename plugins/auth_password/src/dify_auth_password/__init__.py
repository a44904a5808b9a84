"""Login with an email address and a password."""

from dify_auth_password.plugin import register_login_methods

__all__ = ["register_login_methods"]
