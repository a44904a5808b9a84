"""Secrets at rest and in links: envelope encryption per tenant, passwords, API keys, signed links, access tokens.

Every key is derived from SECRET_KEY with a purpose of its own (HKDF-SHA256, RFC 5869), so that no signature can be
taken for a key and no key for a signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import string
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import jwt
import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from dify_kernel.errors import DifyError, SettingsError, Unauthorized
from jwt.types import Options

__all__ = [
    "DecryptionFailed",
    "KeyRing",
    "SignedLink",
    "TenantCipher",
    "generate_secret_key",
    "hash_api_key",
    "issue_token",
    "mask_secret",
    "new_api_key",
    "read_token",
    "sign_link",
    "verify_link",
]

MIN_SECRET_KEY = 16  # characters
_VERSION = 1
_NONCE = 12  # bytes, AES-GCM
_KEY_ID = 4  # bytes that tell which SECRET_KEY wrapped a tenant's key
_ALGORITHM = "HS256"  # the one way access tokens are signed; what a token's head says is not asked
_CLOCK_SKEW = 60  # seconds that the clocks of two hosts may differ
_ALPHANUMERIC = string.ascii_letters + string.digits


class DecryptionFailed(DifyError):
    """What is stored was encrypted with another key, for another tenant or place, or was changed."""

    code = "decryption_failed"


# -- keys --------------------------------------------------------------------------------------------------


def generate_secret_key() -> str:
    """A fresh SECRET_KEY: 42 random bytes in URL-safe base64."""
    return secrets.token_urlsafe(42)


def derive_key(secret_key: str, purpose: str) -> bytes:
    """The 32-byte key of one purpose; raises SettingsError when SECRET_KEY is missing or too short."""
    if len(secret_key) < MIN_SECRET_KEY:
        raise SettingsError(
            f"SECRET_KEY has {len(secret_key)} characters and needs {MIN_SECRET_KEY}.",
            hint="Leave it unset on first start and one is generated.",
            setting="SECRET_KEY",
        )
    return HKDF(SHA256(), 32, b"dify", purpose.encode()).derive(secret_key.encode())


class _Sealed:
    """Holds a key: prints without it and does not serialise."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds a key and does not serialise")


class KeyRing(_Sealed):
    """Wraps each tenant's data key with a key from SECRET_KEY.

    To rotate, put the former values in `previous`: what they wrapped stays readable, `rewrap` moves it to the new one.
    A wrapped key is: version (1 byte), key id (4), nonce (12), AES-256-GCM of the data key; the tenant's id is bound to
    it, so a row copied to another tenant does not open.
    """

    def __init__(self, secret_key: str, previous: Sequence[str] = ()) -> None:
        keys = [derive_key(each, "tenant-key-wrapping") for each in (secret_key, *previous)]
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])

    def new_tenant_key(self, tenant_id: str) -> bytes:
        """A fresh data key for this tenant, wrapped: what is stored in the tenant's row."""
        return self._wrap(os.urandom(32), tenant_id)

    def unwrap(self, wrapped: bytes, tenant_id: str) -> TenantCipher:
        """The cipher of a tenant; raises DecryptionFailed."""
        return TenantCipher(self._open(wrapped, tenant_id), tenant_id)

    def is_current(self, wrapped: bytes) -> bool:
        """Whether this was wrapped with the current SECRET_KEY."""
        return wrapped[1 : 1 + _KEY_ID] == self._current

    def rewrap(self, wrapped: bytes, tenant_id: str) -> bytes:
        """The same data key under the current SECRET_KEY; what it encrypted stays as it is."""
        return self._wrap(self._open(wrapped, tenant_id), tenant_id)

    def _wrap(self, key: bytes, tenant_id: str) -> bytes:
        head = bytes([_VERSION]) + self._current
        nonce = os.urandom(_NONCE)
        return head + nonce + self._keys[self._current].encrypt(nonce, key, head + tenant_id.encode())

    def _open(self, wrapped: bytes, tenant_id: str) -> bytes:
        head, nonce, sealed = wrapped[: 1 + _KEY_ID], wrapped[1 + _KEY_ID :][:_NONCE], wrapped[1 + _KEY_ID + _NONCE :]
        engine = self._keys.get(head[1:])
        if head[:1] != bytes([_VERSION]) or engine is None:
            raise DecryptionFailed(
                "The tenant's key was wrapped with another SECRET_KEY.",
                hint="Start with the SECRET_KEY this database was made with, or name it as a previous one.",
                tenant=tenant_id,
                setting="SECRET_KEY",
            )
        return _decrypted(engine, nonce, sealed, head + tenant_id.encode(), tenant_id)


class TenantCipher(_Sealed):
    """Encrypts a tenant's secrets with AES-256-GCM.

    `aad` names the place a value belongs to (table, row, field): it has to be the same on the way back, so a value
    moved to another place does not open. The text is URL-safe base64 of version (1 byte), nonce (12), ciphertext.
    """

    def __init__(self, key: bytes, tenant_id: str) -> None:
        self._engine = AESGCM(key)
        self._tenant_id = tenant_id

    def encrypt(self, value: str | bytes, aad: str = "") -> str:
        """The value as text to store; never the same twice."""
        data = value.encode() if isinstance(value, str) else value
        nonce = os.urandom(_NONCE)
        head = bytes([_VERSION])
        return base64.urlsafe_b64encode(
            head + nonce + self._engine.encrypt(nonce, data, self._bound(head, aad))
        ).decode()

    def decrypt_bytes(self, stored: str, aad: str = "") -> bytes:
        """What was encrypted; raises DecryptionFailed when it is not this tenant's, not this place's, or changed."""
        try:
            raw = base64.urlsafe_b64decode(stored.encode())
        except (binascii.Error, UnicodeEncodeError) as exc:
            raise _not_ours(self._tenant_id) from exc
        if raw[:1] != bytes([_VERSION]):
            raise _not_ours(self._tenant_id)
        nonce, sealed = raw[1 : 1 + _NONCE], raw[1 + _NONCE :]
        return _decrypted(self._engine, nonce, sealed, self._bound(raw[:1], aad), self._tenant_id)

    def decrypt(self, stored: str, aad: str = "") -> str:
        """The text that was encrypted; raises DecryptionFailed."""
        return self.decrypt_bytes(stored, aad).decode()

    def _bound(self, head: bytes, aad: str) -> bytes:
        return b"\0".join((head, self._tenant_id.encode(), aad.encode()))


def mask_secret(text: str) -> str:
    """What a response shows of a secret: its last four characters, and none of a short one."""
    return "*" * 8 + (text[-4:] if len(text) >= 12 else "")


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"key id" + key).digest()[:_KEY_ID]


def _decrypted(engine: AESGCM, nonce: bytes, sealed: bytes, bound: bytes, tenant_id: str) -> bytes:
    try:
        return engine.decrypt(nonce, sealed, bound)
    except (InvalidTag, ValueError) as exc:
        raise _not_ours(tenant_id) from exc


def _not_ours(tenant_id: str) -> DecryptionFailed:
    return DecryptionFailed(
        "A stored secret does not open: it was made with another key, for another place, or was changed.",
        hint="Enter the credentials again.",
        tenant=tenant_id,
    )


# -- API keys ----------------------------------------------------------------------------------------------


def new_api_key(prefix: str) -> str:
    """`prefix` and 24 random alphanumeric characters (142 bits), such as `app-…` or `dataset-…`."""
    return prefix + "".join(secrets.choice(_ALPHANUMERIC) for _ in range(24))


def hash_api_key(token: str) -> str:
    """What is stored of an API key: SHA-256 in hex. A random key needs no salt and no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


# -- signed links ------------------------------------------------------------------------------------------


class SignedLink(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters of a signed link; `timestamp` is the Unix second of signing."""

    timestamp: str
    nonce: str
    sign: str


def sign_link(secret_key: str, *parts: str, now: float | None = None) -> SignedLink:
    """Sign what a link leads to, such as ("file-preview", file_id): HMAC-SHA256 in URL-safe base64."""
    timestamp = str(int(time.time() if now is None else now))
    nonce = secrets.token_hex(16)
    return SignedLink(timestamp=timestamp, nonce=nonce, sign=_signature(secret_key, parts, timestamp, nonce))


def verify_link(secret_key: str, *parts: str, link: SignedLink, max_age: float, now: float | None = None) -> bool:
    """Whether the link was signed for exactly these parts, at most `max_age` seconds ago."""
    wanted = _signature(secret_key, parts, link.timestamp, link.nonce)
    if not hmac.compare_digest(wanted.encode(), link.sign.encode("utf-8", "replace")):
        return False
    age = (time.time() if now is None else now) - int(link.timestamp)
    return -_CLOCK_SKEW <= age <= max_age


def _signature(secret_key: str, parts: Sequence[str], timestamp: str, nonce: str) -> str:
    # JSON instead of a separator: no part can be written so that it runs over into the next.
    message = msgspec.json.encode([*parts, timestamp, nonce])
    digest = hmac.digest(derive_key(secret_key, "link"), message, "sha256")
    return base64.urlsafe_b64encode(digest).decode()


# -- access tokens -----------------------------------------------------------------------------------------


def issue_token(
    secret_key: str, audience: str, claims: Mapping[str, Any], ttl_seconds: float, *, now: float | None = None
) -> str:
    """A JWT (HS256) with these claims for one audience, such as "console"; it ends after `ttl_seconds`."""
    moment = time.time() if now is None else now
    body = {**claims, "aud": audience, "iat": int(moment), "exp": int(moment + ttl_seconds)}
    return jwt.encode(body, derive_key(secret_key, "token"), _ALGORITHM)


def read_token(secret_key: str, audience: str, token: str) -> dict[str, Any]:
    """The claims of a token of this audience that has not ended; raises Unauthorized."""
    required: Options = {"require": ["exp", "aud", "iat"]}
    try:
        return jwt.decode(token, derive_key(secret_key, "token"), [_ALGORITHM], audience=audience, options=required)
    except jwt.ExpiredSignatureError as exc:
        raise Unauthorized("Token has expired.", hint="Log in again.") from exc
    except jwt.InvalidTokenError as exc:
        raise Unauthorized("Invalid token.", hint="Log in again.") from exc
