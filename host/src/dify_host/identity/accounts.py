"""Accounts: people who can log in, whatever workspaces they belong to."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import Conflict
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.repository import to_struct
from dify_host.db.types import new_id, utc_now
from dify_host.identity.errors import (
    AccountNotFound,
    CurrentPasswordIncorrect,
    EmailAlreadyInUse,
    InvalidEmail,
    InvalidPassword,
)
from dify_host.identity.tables import accounts
from dify_host.net.passwords import hash_password, verify_password

__all__ = ["Account", "Accounts", "ProfileChange", "check_password", "clean_email", "insert_account"]

MIN_PASSWORD, MAX_PASSWORD = 8, 1024  # characters; a longer one would only cost time to hash
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,190}")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account. `status`: pending, uninitialized, active, banned or closed; times are naive UTC."""

    id: str
    name: str
    email: str
    avatar: str | None = None
    interface_language: str | None = None
    interface_theme: str | None = None
    timezone: str | None = None
    status: str = "active"
    last_login_at: datetime | None = None
    last_login_ip: str | None = None
    last_active_at: datetime | None = None
    created_at: datetime
    is_password_set: bool = False


class ProfileChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What people change about themselves; None leaves a field as it is."""

    name: str | None = None
    avatar: str | None = None
    interface_language: str | None = None
    interface_theme: str | None = None
    timezone: str | None = None


def clean_email(email: str) -> str:
    """The address as it is stored, in lower case; raises InvalidEmail."""
    cleaned = email.strip().lower()
    if not _EMAIL.fullmatch(cleaned):
        raise InvalidEmail("The email address is not valid.", hint="Use name@domain.")
    return cleaned


def check_password(password: str) -> str:
    """The password when it may be a new one: 8 characters or more, a letter and a digit; InvalidPassword."""
    letters, digits = re.search(r"[A-Za-z]", password), re.search(r"[0-9]", password)
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD or not letters or not digits:
        raise InvalidPassword(
            "Password must contain letters and numbers, and the length must be at least 8 characters.",
            hint=f"Use {MIN_PASSWORD} to {MAX_PASSWORD} characters.",
        )
    return password


async def insert_account(conn: AsyncConnection, *, email: str, name: str, password: str | None) -> str:
    """Write a new active account in the caller's transaction and return its id; `password` is a hash or None."""
    row: dict[str, Any] = {
        "id": new_id(),
        "email": clean_email(email),
        "name": name,
        "password": password,
        "status": "active",
        "interface_language": "en-US",
        "interface_theme": "light",
        "timezone": "UTC",
        "initialized_at": utc_now(),
    }
    try:
        await conn.execute(accounts.insert().values(row))
    except Conflict as exc:
        raise EmailAlreadyInUse(f"{row['email']} belongs to an account already.") from exc
    return str(row["id"])


class Accounts:
    """Finds and changes accounts; the caller decides who may ask."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, *, email: str, name: str, password: str | None = None) -> Account:
        """Add an account; one without a password can only log in by another method."""
        hashed = None if password is None else await hash_password(check_password(password))
        async with self._db.write() as conn:
            account_id = await insert_account(conn, email=email, name=name, password=hashed)
        return await self.get(account_id)

    async def get(self, account_id: str) -> Account:
        """One account; AccountNotFound."""
        return await self._one(accounts.c.id == account_id, account_id)

    async def find(self, email: str) -> Account | None:
        """The account with that address, any case."""
        try:
            return await self._one(accounts.c.email == email.strip().lower(), "")
        except AccountNotFound:
            return None

    async def change_profile(self, account_id: str, change: ProfileChange) -> Account:
        """Set what is not None."""
        values = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not None}
        if values:
            async with self._db.write() as conn:
                await conn.execute(accounts.update().where(accounts.c.id == account_id).values(values))
        return await self.get(account_id)

    async def change_password(self, account_id: str, *, current: str | None, new: str) -> None:
        """Set a password; the present one has to be given when there is one. The caller ends the open sessions."""
        check_password(new)
        async with self._db.read() as conn:
            found = (await conn.execute(sa.select(accounts.c.password).where(accounts.c.id == account_id))).first()
        if found is None:
            raise _missing(account_id)
        if found.password is not None and not await verify_password(current or "", found.password):
            raise CurrentPasswordIncorrect("The current password is incorrect.")
        await self.set_password(account_id, new)

    async def set_password(self, account_id: str, new: str) -> None:
        """Set a password without asking for the present one: for an operator, or after a mailed code."""
        hashed = await hash_password(check_password(new))
        async with self._db.write() as conn:
            changed = accounts.update().where(accounts.c.id == account_id).values(password=hashed, password_salt=None)
            if (await conn.execute(changed)).rowcount == 0:
                raise _missing(account_id)

    async def _one(self, condition: sa.ColumnElement[bool], account_id: str) -> Account:
        async with self._db.read() as conn:
            row = (await conn.execute(account_columns().where(condition))).first()
        if row is None:
            raise _missing(account_id)
        return to_struct(row, Account)


def account_columns(*more: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Select what an Account shows, and further columns."""
    shown = [accounts.c[name] for name in Account.__struct_fields__ if name != "is_password_set"]
    return sa.select(*shown, accounts.c.password.is_not(None).label("is_password_set"), *more)


def _missing(account_id: str) -> AccountNotFound:
    return AccountNotFound("Account not found.", account=account_id or None)
