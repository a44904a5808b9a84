"""Authentication by API key: the keys of apps and of knowledge bases in the Authorization header."""

from dify_auth_apikey.plugin import register_authenticators

__all__ = ["register_authenticators"]
