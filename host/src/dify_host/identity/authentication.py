"""Who is calling: keys and sessions to principals, logins to sessions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from dify_kernel.contracts.auth import AccountRecord, ApiKeyRecord, Authenticator, AuthRequest, LoginMethod, Principal
from dify_kernel.errors import NotFound, Unauthorized
from dify_kernel.forms import decode_form
from dify_kernel.registry import Registry

from dify_host.db.engine import Database
from dify_host.db.repository import to_struct
from dify_host.db.types import utc_now
from dify_host.fresh import Fresh
from dify_host.identity.errors import AccountNotLinkTenant, AuthenticationFailed, LoginLocked
from dify_host.identity.sessions import Session, Sessions
from dify_host.identity.tables import accounts, api_tokens
from dify_host.identity.workspaces import Workspaces
from dify_host.net import passwords
from dify_host.net.crypto import hash_api_key
from dify_host.net.limits import RateLimiter
from dify_host.settings import HostSettings

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["MAX_FAILED_LOGINS", "AuthService"]

MAX_FAILED_LOGINS: Final = 5
_KEY_TTL: Final = 2.0  # seconds that a deleted key may go on working in another process
_KEYS: Final = 10_000
_TOUCH: Final = timedelta(minutes=1)  # how often at most the last use of a key is written
_NO_ENTRY: Final = frozenset(("banned", "closed"))


class AuthService:
    """Lends plugins what they need to know (`AuthPorts`) and asks them; one object serves a process."""

    def __init__(
        self,
        db: Database,
        *,
        registry: Registry,
        redis: Redis,
        settings: HostSettings,
        secret_key: str,
        prefix: str = "dify:",
    ) -> None:
        self._db = db
        self._registry = registry
        self._settings = settings
        self._limiter = RateLimiter(redis, prefix=f"{prefix}limit:")
        self._keys: Fresh[str, ApiKeyRecord | None] = Fresh(_KEYS, _KEY_TTL)
        self._authenticators: list[Authenticator] | None = None
        self.sessions = Sessions(redis, settings, secret_key=secret_key, prefix=prefix)

    # -- requests

    async def authenticate(self, request: AuthRequest) -> Principal:
        """The principal that the first authenticator, by name, recognises; Unauthorized.

        Credentials that one authenticator refuses may be another's: the first refusal is raised when nobody takes them.
        """
        if self._authenticators is None:
            found = sorted(self._registry.authenticators().items())
            self._authenticators = [each(self) for _, each in found]
        refused: Unauthorized | None = None
        for authenticator in self._authenticators:
            try:
                principal = await authenticator.authenticate(request)
            except Unauthorized as exc:
                refused = refused or exc
                continue
            if principal is not None:
                return principal
        raise refused or Unauthorized("Authorization header must be provided and start with 'Bearer'")

    async def principal_of(self, access_token: str) -> Principal:
        """The account behind an access token, with its present workspace and role; Unauthorized."""
        account_id = self.sessions.account_of(access_token)
        return await self._account_principal(account_id)

    # -- logins

    async def login(self, method_name: str, form: Mapping[str, Any], *, client: str = "") -> Session:
        """Log in by a method and open a session; `client` is the caller's address.

        Raises NotFound for an unknown method, BadInput for a form that is not filled in, AuthenticationFailed for wrong
        credentials, LoginLocked after five failures, AccountNotLinkTenant.
        """
        method = self._registry.login_methods().get(method_name)
        if method is None:
            raise NotFound(f"There is no login method {method_name!r}.", method=method_name)
        login: LoginMethod = method(self)
        filled = decode_form(method.Form, form)
        subject = str(getattr(filled, "email", "") or client).strip().lower()
        key = f"login_error_rate_limit:{method_name}:{subject}"
        # Counted before it is tried: guesses sent at the same time count as well. A success clears the count.
        decision = await self._limiter.hit(key, MAX_FAILED_LOGINS, self._settings.login_lockout_duration)
        if not decision.allowed:
            minutes = max(1, round(decision.retry_after / 60))
            raise LoginLocked("Too many incorrect password attempts.", hint=f"Try again in {minutes} minutes.")
        try:
            account_id = await login.login(filled)
            principal = await self._account_principal(account_id)
        except Unauthorized as exc:
            raise AuthenticationFailed("Invalid email or password.") from exc
        await self._limiter.reset(key)
        await self._mark_login(account_id, client)
        return await self.sessions.open(principal)

    async def refresh(self, refresh_token: str) -> Session:
        """A new session for a refresh token, which ends; Unauthorized when it is unknown or was used before."""
        account_id = await self.sessions.take(refresh_token)
        return await self.sessions.open(await self._account_principal(account_id))

    async def logout(self, account_id: str) -> None:
        """End the account's session: no further refresh; its access token runs out by itself."""
        await self.sessions.end(account_id)

    # -- what plugins ask (AuthPorts)

    async def find_api_key(self, token: str) -> ApiKeyRecord | None:
        """The key with that clear text, compared by hash; its use is written at most once a minute."""
        hashed = hash_api_key(token)
        return await self._keys.get(hashed, lambda: self._read_key(hashed))

    async def _read_key(self, hashed: str) -> ApiKeyRecord | None:
        async with self._db.read() as conn:
            row = (await conn.execute(sa.select(api_tokens).where(api_tokens.c.token == hashed))).first()
        if row is None or row.type not in ("app", "dataset"):
            return None
        if row.last_used_at is None or row.last_used_at <= utc_now() - _TOUCH:
            await self._touch(row.id)
        return to_struct(row, ApiKeyRecord)

    async def find_account(self, email: str) -> AccountRecord | None:
        """The account with that address, any case."""
        query = sa.select(accounts).where(accounts.c.email == email.strip().lower())
        async with self._db.read() as conn:
            row = (await conn.execute(query)).first()
        if row is None:
            return None
        stored = row.password
        if stored and row.password_salt:
            stored = passwords.from_reference(stored, row.password_salt)
        return AccountRecord(id=row.id, email=row.email, status=row.status, password=stored)

    async def verify_password(self, stored: str | None, password: str) -> bool:
        """Whether a password fits; takes the same time when there is none stored."""
        return await passwords.verify_password(password, stored)

    def forget_key(self, key_id: str) -> None:
        """Refuse a deleted key from now on in this process."""
        self._keys.drop(lambda _, record: record is not None and record.id == key_id)

    # -- inside

    async def _account_principal(self, account_id: str) -> Principal:
        async with self._db.read() as conn:
            row = (await conn.execute(sa.select(accounts.c.status).where(accounts.c.id == account_id))).first()
        if row is None or row.status in _NO_ENTRY:
            raise Unauthorized("The account cannot be used.", hint="Ask the owner of the workspace.")
        workspace = await Workspaces(self._db).current(account_id)
        if workspace is None:
            raise AccountNotLinkTenant("The account is a member of no workspace.", hint="Ask for an invitation.")
        return Principal(kind="account", id=account_id, tenant_id=workspace.id, role=workspace.role)

    async def _mark_login(self, account_id: str, client: str) -> None:
        now = utc_now()
        values = {"last_login_at": now, "last_login_ip": client or None, "last_active_at": now}
        mine = accounts.c.id == account_id
        async with self._db.write() as conn:
            await conn.execute(accounts.update().where(mine).values(values))
            # Who was invited is active from the first login on.
            await conn.execute(accounts.update().where(mine, accounts.c.status == "pending").values(status="active"))

    async def _touch(self, key_id: str) -> None:
        now = utc_now()
        stale = sa.or_(api_tokens.c.last_used_at.is_(None), api_tokens.c.last_used_at <= now - _TOUCH)
        async with self._db.write() as conn:
            await conn.execute(api_tokens.update().where(api_tokens.c.id == key_id, stale).values(last_used_at=now))
