"""Password hashes: verified off the loop, replaced when weak, the same cost for an account that is not there."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time

import pytest
from dify_host.net.passwords import from_reference, hash_password, needs_rehash, verify_password


async def test_hash_and_verify() -> None:
    stored, again = await asyncio.gather(hash_password("pässword1"), hash_password("pässword1"))
    assert stored != again
    assert stored.startswith("$scrypt$")
    assert not needs_rehash(stored)
    assert await verify_password("pässword1", stored)
    assert not await verify_password("pässword2", stored)
    assert not await verify_password("", stored)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "plain",
        "$scrypt$ln=15,r=8,p=1$!!$!!",
        "$scrypt$ln=30,r=8,p=1$AAAA$AAAA",
        "$scrypt$ln=-1,r=8,p=1$AAAA$AAAA",
        "$scrypt$ln=x,r=8,p=1$AAAA$AAAA",
        "$pbkdf2-sha256$i=0$AAAA$AAAA",
        "$pbkdf2-sha256$i=999999999999$AAAA$AAAA",
        "$md5$x=1$AAAA$AAAA",
        "$scrypt$ln=4,r=8,p=1$AAAA$",
    ],
)
async def test_a_malformed_hash_matches_nothing(stored: str) -> None:
    assert not await verify_password("", stored)
    assert needs_rehash(stored)


async def test_hashes_that_came_from_dify() -> None:
    salt = b"0123456789abcdef"
    digest = hashlib.pbkdf2_hmac("sha256", b"Passw0rd", salt, 10_000).hex().encode()
    stored = from_reference(base64.b64encode(digest).decode(), base64.b64encode(salt).decode())
    assert await verify_password("Passw0rd", stored)
    assert not await verify_password("Passw0rd ", stored)
    assert needs_rehash(stored)


async def test_an_account_without_password_costs_the_same() -> None:
    stored = await hash_password("password1")

    async def cost(hashed: str | None) -> float:
        started = time.process_time()
        assert not await verify_password("wrong", hashed)
        return time.process_time() - started

    real, none = await cost(stored), await cost(None)
    assert real / 3 < none < real * 3


async def test_the_loop_goes_on_meanwhile() -> None:
    """The loop keeps turning while a hash is made in a thread."""
    task, turns = asyncio.create_task(hash_password("password1")), 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
