"""The auth contracts: request credentials to a principal, and ways to log in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol

import msgspec

__all__ = [
    "AccountRecord",
    "ApiKeyRecord",
    "AuthPorts",
    "AuthRequest",
    "Authenticator",
    "LoginMethod",
    "Principal",
]


class AuthRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What an authenticator sees of a request. Header names are lower case."""

    headers: Mapping[str, str]
    cookies: Mapping[str, str] = {}
    path: str = "/"
    client: str = ""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls: an app key, a dataset key, or an account. `tenant_id` is the only workspace it may touch.

    A dataset key with a `dataset_id` may touch that knowledge base alone.
    """

    kind: Literal["app", "dataset", "account"]
    id: str
    tenant_id: str
    app_id: str | None = None
    dataset_id: str | None = None
    role: str | None = None


class ApiKeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A stored key; the key itself is not stored. A principal made from it has the same `app_id` and `dataset_id`."""

    id: str
    type: Literal["app", "dataset"]
    tenant_id: str
    app_id: str | None = None
    dataset_id: str | None = None


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A stored account; `password` is its hash, None for accounts that log in elsewhere."""

    id: str
    email: str
    status: str
    password: str | None = None


class AuthPorts(Protocol):
    """What the host lends authenticators and login methods."""

    async def find_api_key(self, token: str) -> ApiKeyRecord | None:
        """The key with that clear text (compared by hash)."""
        ...

    async def find_account(self, email: str) -> AccountRecord | None:
        """The account with that address, any case."""
        ...

    async def verify_password(self, stored: str | None, password: str) -> bool:
        """Whether a password fits; takes the same time when there is none stored."""
        ...


class Authenticator(ABC):
    """Reads one kind of credentials off a request."""

    name: ClassVar[str]

    def __init__(self, ports: AuthPorts) -> None:
        self.ports = ports

    @abstractmethod
    async def authenticate(self, request: AuthRequest) -> Principal | None:
        """The principal; None when the request has no credentials of this kind; Unauthorized when they are wrong."""


class LoginMethod(ABC):
    """One way for a person to log in. `Form` is what the login page asks for."""

    name: ClassVar[str]
    label: ClassVar[str]
    Form: ClassVar[type[msgspec.Struct]]

    def __init__(self, ports: AuthPorts) -> None:
        self.ports = ports

    @abstractmethod
    async def login(self, form: Any) -> str:
        """The account's id; Unauthorized with the same words and in the same time whatever was wrong."""
