"""Keys and accounts in memory: the ports that authenticators and login methods get in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import msgspec

from dify_kernel.contracts.auth import AccountRecord, ApiKeyRecord
from dify_kernel.errors import DifyError

__all__ = ["MemoryAuth"]


class MemoryAuth:
    """An AuthPorts over dicts; every call yields to the event loop, as a real one does.

    `comparisons` counts calls of `verify_password`, `lookups` all other calls. Within `failing(error)` every
    call raises.
    """

    def __init__(self) -> None:
        self.keys: dict[str, ApiKeyRecord] = {}
        self.accounts: dict[str, AccountRecord] = {}
        self.comparisons = 0
        self.lookups = 0
        self._numbers = count(1)
        self._error: DifyError | None = None

    def add_key(self, token: str, *, tenant_id: str = "tenant", app_id: str | None = None) -> ApiKeyRecord:
        """Keep a key: an app's when `app_id` is given, else one for knowledge."""
        kind = "dataset" if app_id is None else "app"
        record = msgspec.convert(
            {"id": f"key-{next(self._numbers)}", "type": kind, "tenant_id": tenant_id, "app_id": app_id}, ApiKeyRecord
        )
        self.keys[token] = record
        return record

    def add_account(self, email: str, password: str | None, *, status: str = "active") -> AccountRecord:
        """Keep an account; one without a password logs in elsewhere."""
        stored = None if password is None else f"hash:{password}"
        record = AccountRecord(id=f"account-{next(self._numbers)}", email=email, status=status, password=stored)
        self.accounts[email.lower()] = record
        return record

    @contextmanager
    def failing(self, error: DifyError) -> Iterator[None]:
        """Let every call raise."""
        self._error = error
        try:
            yield
        finally:
            self._error = None

    async def find_api_key(self, token: str) -> ApiKeyRecord | None:
        """The key with that clear text."""
        self.lookups += 1
        await self._turn()
        return self.keys.get(token)

    async def find_account(self, email: str) -> AccountRecord | None:
        """The account with that address, any case."""
        self.lookups += 1
        await self._turn()
        return self.accounts.get(email.strip().lower())

    async def verify_password(self, stored: str | None, password: str) -> bool:
        """Whether a password fits."""
        self.comparisons += 1
        await self._turn()
        return stored is not None and stored == f"hash:{password}"

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        if self._error is not None:
            raise self._error
