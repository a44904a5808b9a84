"""Envelope encryption, API keys, signed links and access tokens."""

from __future__ import annotations

import base64
import pickle
import string
from typing import Any

import jwt
import pytest
from dify_host.net.crypto import (
    DecryptionFailed,
    KeyRing,
    SignedLink,
    TenantCipher,
    generate_secret_key,
    hash_api_key,
    issue_token,
    mask_secret,
    new_api_key,
    read_token,
    sign_link,
    verify_link,
)
from dify_kernel.errors import SettingsError, Unauthorized
from hypothesis import given
from hypothesis import strategies as st

SECRET = "a secret key of this test"
RING = KeyRing(SECRET)
CIPHER = RING.unwrap(RING.new_tenant_key("t1"), "t1")


@given(st.one_of(st.text(), st.binary()), st.text())
def test_there_and_back(value: str | bytes, place: str) -> None:
    stored = CIPHER.encrypt(value, place)
    assert CIPHER.decrypt_bytes(stored, place) == (value.encode() if isinstance(value, str) else value)
    assert stored != CIPHER.encrypt(value, place)


def test_the_key_survives_a_restart() -> None:
    wrapped = RING.new_tenant_key("t1")
    stored = RING.unwrap(wrapped, "t1").encrypt('{"api_key": "sk-1"}', "provider:openai")
    assert KeyRing(SECRET).unwrap(wrapped, "t1").decrypt(stored, "provider:openai") == '{"api_key": "sk-1"}'


def test_nothing_opens_in_another_place() -> None:
    wrapped = RING.new_tenant_key("t1")
    stored = RING.unwrap(wrapped, "t1").encrypt("secret", "a")
    with pytest.raises(DecryptionFailed):
        RING.unwrap(wrapped, "t2")
    with pytest.raises(DecryptionFailed):
        RING.unwrap(wrapped, "t1").decrypt(stored, "b")
    with pytest.raises(DecryptionFailed):
        RING.unwrap(RING.new_tenant_key("t1"), "t1").decrypt(stored, "a")
    with pytest.raises(DecryptionFailed, match="SECRET_KEY"):
        KeyRing("another secret key entirely").unwrap(wrapped, "t1")


@given(st.data())
def test_any_changed_bit_is_noticed(data: Any) -> None:
    stored = bytearray(base64.urlsafe_b64decode(CIPHER.encrypt("secret")))
    place = data.draw(st.integers(0, len(stored) * 8 - 1))
    stored[place // 8] ^= 1 << place % 8
    with pytest.raises(DecryptionFailed):
        CIPHER.decrypt(base64.urlsafe_b64encode(stored).decode())


@pytest.mark.parametrize("stored", ["", "AQ", "AQ==", "not base64!", "ä", "sk-plain-text-from-before"])
def test_what_was_never_encrypted(stored: str) -> None:
    with pytest.raises(DecryptionFailed):
        CIPHER.decrypt(stored)


@pytest.mark.parametrize("wrapped", [b"", b"\x01", b"\x02" + bytes(60), bytes(65)])
def test_what_was_never_wrapped(wrapped: bytes) -> None:
    with pytest.raises(DecryptionFailed):
        RING.unwrap(wrapped, "t1")


def test_rotation() -> None:
    old = KeyRing("the former secret key")
    wrapped = old.new_tenant_key("t1")
    stored = old.unwrap(wrapped, "t1").encrypt("secret")
    both = KeyRing("the present secret key", previous=["the former secret key"])
    assert not both.is_current(wrapped)
    assert both.unwrap(wrapped, "t1").decrypt(stored) == "secret"
    moved = both.rewrap(wrapped, "t1")
    assert both.is_current(moved)
    assert KeyRing("the present secret key").unwrap(moved, "t1").decrypt(stored) == "secret"
    with pytest.raises(DecryptionFailed):
        old.unwrap(moved, "t1")


@pytest.mark.parametrize("sealed", [RING, CIPHER])
def test_keys_do_not_print_or_serialise(sealed: KeyRing | TenantCipher) -> None:
    assert repr(sealed) == f"<{type(sealed).__name__}>"
    with pytest.raises(TypeError):
        pickle.dumps(sealed)


@pytest.mark.parametrize("secret", ["", "short"])
def test_a_weak_secret_key_is_refused(secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        KeyRing(secret)
    assert caught.value.where == {"setting": "SECRET_KEY"}
    assert "short" not in str(caught.value).split(";")[0]
    KeyRing(generate_secret_key())
    assert generate_secret_key() != generate_secret_key()


def test_api_keys() -> None:
    keys = {new_api_key("app-") for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        assert key.startswith("app-")
        assert len(key) == 28
        assert set(key[4:]) <= set(string.ascii_letters + string.digits)
    assert hash_api_key("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("sk-abcdefghijkl1234", "********1234"), ("short", "********"), ("", "********"), ("x" * 11, "********")],
)
def test_mask(text: str, shown: str) -> None:
    assert mask_secret(text) == shown


def test_signed_links() -> None:
    link = sign_link(SECRET, "file-preview", "id-1", now=1000)
    assert (link.timestamp, len(link.nonce)) == ("1000", 32)

    def holds(*parts: str, link: SignedLink = link, secret: str = SECRET, now: float = 1100) -> bool:
        return verify_link(secret, *parts, link=link, max_age=300, now=now)

    assert holds("file-preview", "id-1")
    assert holds("file-preview", "id-1", now=1300)
    assert not holds("file-preview", "id-1", now=1301)
    assert not holds("file-preview", "id-1", now=900)
    assert not holds("file-preview", "id-2")
    assert not holds("image-preview", "id-1")
    assert not holds("file-preview|id-1")
    assert not holds("file-preview", "id-1", "")
    assert not holds("file-preview", "id-1", secret="another secret key entirely")
    for change in ({"timestamp": "2000"}, {"nonce": "0" * 32}, {"sign": ""}, {"sign": "ä\ud800"}, {"timestamp": "x"}):
        changed = SignedLink(**{"timestamp": link.timestamp, "nonce": link.nonce, "sign": link.sign} | change)
        assert not holds("file-preview", "id-1", link=changed)


def test_access_tokens() -> None:
    token = issue_token(SECRET, "console", {"user_id": "u1"}, 60)
    assert read_token(SECRET, "console", token)["user_id"] == "u1"
    with pytest.raises(Unauthorized):
        read_token(SECRET, "web", token)
    with pytest.raises(Unauthorized):
        read_token("another secret key entirely", "console", token)
    with pytest.raises(Unauthorized, match="expired"):
        read_token(SECRET, "console", issue_token(SECRET, "console", {}, 60, now=1000))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        jwt.encode({"user_id": "u1", "aud": "console", "exp": 2**33, "iat": 0}, "", algorithm="none"),
        jwt.encode({"user_id": "u1", "aud": "console", "exp": 2**33, "iat": 0}, SECRET * 4, algorithm="HS512"),
        jwt.encode({"user_id": "u1", "aud": "console", "exp": 2**33, "iat": 0}, SECRET * 2, algorithm="HS256"),
    ],
)
def test_tokens_of_somebody_else(token: str) -> None:
    with pytest.raises(Unauthorized):
        read_token(SECRET, "console", token)


def test_a_claim_cannot_replace_the_audience_or_the_end() -> None:
    token = issue_token(SECRET, "console", {"aud": "web", "exp": 2**33}, 60)
    claims = read_token(SECRET, "console", token)
    assert claims["exp"] == claims["iat"] + 60
