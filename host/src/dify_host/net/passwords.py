"""Passwords: hashed with scrypt off the event loop; a hash carries its parameters, so they can grow.

Hashes that came from Dify (PBKDF2-HMAC-SHA256) verify too, and `needs_rehash` says to replace them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os

__all__ = ["from_reference", "hash_password", "needs_rehash", "verify_password"]

# OWASP's choice for interactive logins: 32 MiB and some 100 ms a hash.
_LOG_N, _R, _P = 15, 8, 3
_MAX_LOG_N, _MAX_R, _MAX_P = 17, 8, 8  # what a stored hash may ask for at most
_CURRENT = f"$scrypt$ln={_LOG_N},r={_R},p={_P}$"
_MAX_ROUNDS = 10_000_000


async def hash_password(password: str) -> str:
    """The hash to store: `$scrypt$ln=…,r=…,p=…$salt$hash`, base64 without padding."""
    salt = os.urandom(16)
    digest = await asyncio.to_thread(_scrypt, password, salt, _LOG_N, _R, _P)
    return f"{_CURRENT}{_text(salt)}${_text(digest)}"


async def verify_password(password: str, stored: str | None) -> bool:
    """Whether the password made this hash, in constant time.

    Pass None for an account that does not exist or has no password: it costs the same and is False.
    """
    return await asyncio.to_thread(_verify, password, stored or _NOBODY) and bool(stored)


def needs_rehash(stored: str) -> bool:
    """Whether the hash was made in another way than a new one would be."""
    return not stored.startswith(_CURRENT)


def from_reference(password: str, salt: str, *, rounds: int = 10_000) -> str:
    """The hash string of the two columns `password` and `password_salt` of an account that came from Dify."""
    digest = binascii.unhexlify(base64.b64decode(password))
    return f"$pbkdf2-sha256$i={rounds}${_text(base64.b64decode(salt))}${_text(digest)}"


_NOBODY = f"{_CURRENT}{'A' * 22}${'A' * 43}"


def _verify(password: str, stored: str) -> bool:
    try:
        _, scheme, parameters, salt, digest = stored.split("$")
        numbers = [int(part.partition("=")[2]) for part in parameters.split(",")]
        wanted = _bytes(digest)
        match scheme, numbers:
            case "scrypt", [log_n, r, p] if log_n <= _MAX_LOG_N and r <= _MAX_R and p <= _MAX_P:
                made = _scrypt(password, _bytes(salt), log_n, r, p)
            case "pbkdf2-sha256", [rounds] if rounds <= _MAX_ROUNDS:
                made = hashlib.pbkdf2_hmac("sha256", _raw(password), _bytes(salt), rounds)
            case _:
                return False
    except ValueError:
        return False
    return len(wanted) == len(made) and hmac.compare_digest(made, wanted)


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    n = 1 << log_n
    return hashlib.scrypt(_raw(password), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=32)


def _raw(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
