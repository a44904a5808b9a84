"""The password of an installation: who knows it may make the first account, where the operator has set one."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from dify_kernel.errors import AuthError, Unauthorized
from dify_kernel.settings import Secret
from redis.asyncio import Redis

from dify_host.net.crypto import issue_token, read_token
from dify_host.net.limits import RateLimiter

__all__ = ["InitGate", "InitValidateFailed", "NotInitValidated"]

_AUDIENCE: Final = "init"
_SECONDS: Final = 3600.0
_TRIES: Final = 5
_WINDOW: Final = 600.0


class NotInitValidated(AuthError):
    """The password of the installation has to be entered before."""

    code = "not_init_validated"


class InitValidateFailed(AuthError):
    """The password of the installation is another one, or was guessed at too often."""

    code = "init_validate_failed"


class InitGate:
    """Open from the start when no password is set; otherwise open to who shows a pass of the last hour."""

    def __init__(self, password: Secret, secret_key: str, redis: Redis) -> None:
        self._password, self._secret = password, Secret(secret_key)
        self._limiter = RateLimiter(redis)

    async def enter(self, password: str, *, client: str) -> str:
        """A pass for the right password; InitValidateFailed, after five guesses of one address for ten minutes."""
        key = f"init_error_rate_limit:{client}"
        decision = await self._limiter.hit(key, _TRIES, _WINDOW)
        given, wanted = password.encode(), self._password.reveal().encode()
        if not decision.allowed or not hmac.compare_digest(given, wanted):
            raise InitValidateFailed("Init validation failed. Please check the password and try again.")
        await self._limiter.reset(key)
        return issue_token(self._secret.reveal(), _AUDIENCE, {"of": self._mark()}, _SECONDS)

    def is_open(self, shown: str) -> bool:
        """Whether the bearer of this pass may go on; one for an earlier password is worth nothing."""
        if not self._password:
            return True
        try:
            return read_token(self._secret.reveal(), _AUDIENCE, shown).get("of") == self._mark()
        except Unauthorized:
            return False

    def check(self, shown: str) -> None:
        """NotInitValidated unless it is open."""
        if not self.is_open(shown):
            raise NotInitValidated(
                "Init validation has not been completed yet. Please proceed with the init validation process first.",
                hint="Enter the password of INIT_PASSWORD.",
            )

    def _mark(self) -> str:
        return hashlib.sha256(f"init {self._password.reveal()}".encode()).hexdigest()[:16]
