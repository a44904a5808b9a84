"""Console sessions: a short access token that carries itself, and a refresh token in Redis that is used once."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final

import msgspec
from dify_kernel.contracts.auth import Principal
from dify_kernel.errors import DifyError, Unauthorized
from dify_kernel.settings import Secret
from redis.exceptions import RedisError

from dify_host.net.crypto import issue_token, read_token
from dify_host.settings import HostSettings

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["Session", "Sessions", "SessionsUnavailable"]

_ACCESS: Final = "console"
_CSRF: Final = "csrf"
_REFRESH_BYTES: Final = 64

# KEYS: the account's pointer. ARGV: prefix of refresh tokens, hash of the new one, account, seconds.
# One refresh token an account: the former one ends in the same step.
_OPEN = """
local former = redis.call('GET', KEYS[1])
if former then redis.call('DEL', ARGV[1] .. former) end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) return 0 end
redis.call('SET', ARGV[1] .. ARGV[2], ARGV[3], 'EX', ARGV[4])
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[4])
return 1
"""


class SessionsUnavailable(DifyError):
    """The server that keeps the sessions does not answer."""

    code = "sessions_unavailable"
    status = 503
    retryable = True


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """An open session; lives in seconds. The tokens go into cookies and are never logged."""

    access_token: str
    refresh_token: str
    csrf_token: str
    account_id: str
    tenant_id: str
    access_seconds: int
    refresh_seconds: int

    def __repr__(self) -> str:
        return f"Session(account_id={self.account_id!r})"


class Sessions:
    """Opens, renews and ends sessions. Redis holds only hashes of refresh tokens."""

    def __init__(self, redis: Redis, settings: HostSettings, *, secret_key: str, prefix: str = "dify:") -> None:
        self._redis = redis
        self._secret = Secret(secret_key)
        self._access_seconds = settings.access_token_expire_minutes * 60
        self._refresh_seconds = int(settings.refresh_token_expire_days * 86400)
        self._tokens = f"{prefix}refresh_token:"
        self._accounts = f"{prefix}account_refresh_token:"
        self._script = redis.register_script(_OPEN)

    async def open(self, principal: Principal) -> Session:
        """A session for an account; the account's former refresh token ends."""
        secret, claims = self._secret.reveal(), {"user_id": principal.id}
        refresh_token = secrets.token_hex(_REFRESH_BYTES)
        await self._store(principal.id, _hash(refresh_token))
        return Session(
            access_token=issue_token(secret, _ACCESS, claims, self._access_seconds),
            refresh_token=refresh_token,
            csrf_token=issue_token(secret, _CSRF, claims, self._access_seconds),
            account_id=principal.id,
            tenant_id=principal.tenant_id,
            access_seconds=self._access_seconds,
            refresh_seconds=self._refresh_seconds,
        )

    def account_of(self, access_token: str) -> str:
        """The account of an access token that has not ended; Unauthorized."""
        return _user(read_token(self._secret.reveal(), _ACCESS, access_token))

    def check_csrf(self, account_id: str, csrf_token: str) -> None:
        """Raise Unauthorized unless the token was issued to this account."""
        if not csrf_token or _user(read_token(self._secret.reveal(), _CSRF, csrf_token)) != account_id:
            raise Unauthorized("CSRF token is missing or invalid.")

    async def take(self, refresh_token: str) -> str:
        """The account of a refresh token, which ends by this; Unauthorized."""
        try:
            found = await self._redis.getdel(self._tokens + _hash(refresh_token))
        except RedisError as exc:
            raise _away() from exc
        if found is None:
            raise Unauthorized("Invalid refresh token.", hint="Log in again.")
        return found.decode() if isinstance(found, bytes) else str(found)

    async def end(self, account_id: str) -> None:
        """Forget the account's refresh token."""
        await self._store(account_id, "")

    async def _store(self, account_id: str, hashed: str) -> None:
        arguments: list[str | int] = [self._tokens, hashed, account_id, max(1, self._refresh_seconds)]
        try:
            await self._script(keys=[self._accounts + account_id], args=arguments)
        except RedisError as exc:
            raise _away() from exc


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _user(claims: dict[str, object]) -> str:
    user = claims.get("user_id")
    if not isinstance(user, str):
        raise Unauthorized("Invalid token.", hint="Log in again.")
    return user


def _away() -> SessionsUnavailable:
    return SessionsUnavailable("The sessions cannot be read.", hint="Check that Redis is reachable.")
