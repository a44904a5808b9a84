"""The first run happens once, whole, on every engine, and takes a local workspace over."""

from __future__ import annotations

import asyncio
import base64

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.accounts import Accounts
from dify_host.identity.errors import AlreadySetUp, InvalidEmail, InvalidPassword
from dify_host.identity.setup import ensure_local_workspace, is_set_up, set_up
from dify_host.identity.tables import accounts, tenant_keys, tenants
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.net.crypto import DecryptionFailed, KeyRing
from dify_kernel.errors import Conflict, NotFound

ADA = {"email": "Ada@Example.com", "name": "Ada", "password": "analytical 1"}


async def count(db: Database, table: sa.Table) -> int:
    async with db.read() as conn:
        return (await conn.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()


async def test_the_first_run(database: Database, keyring: KeyRing) -> None:
    assert not await is_set_up(database)
    owner = await set_up(database, keyring, **ADA)
    assert await is_set_up(database)
    assert (owner.email, owner.role, owner.status) == ("ada@example.com", "owner", "active")
    cipher = await TenantKeys(database, keyring).cipher(owner.tenant)
    assert cipher.decrypt(cipher.encrypt("x")) == "x"
    with pytest.raises(Conflict) as caught:
        await set_up(database, keyring, **{**ADA, "email": "eve@example.com"})
    assert caught.value.code == "already_setup"
    assert (await count(database, accounts), await count(database, tenants)) == (1, 1)


async def test_of_many_first_runs_one_wins(database: Database, keyring: KeyRing) -> None:
    runs = [set_up(database, keyring, **{**ADA, "email": f"{n}@example.com"}) for n in range(4)]
    results = await asyncio.gather(*runs, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["AlreadySetUp"] * 3 + ["Member"]
    assert (await count(database, accounts), await count(database, tenants)) == (1, 1)


@pytest.mark.parametrize("password", ["short1", "lettersonly", "1234567890", "", "a1" * 600])
async def test_a_weak_password_sets_nothing_up(sqlite_database: Database, keyring: KeyRing, password: str) -> None:
    with pytest.raises(InvalidPassword):
        await set_up(sqlite_database, keyring, **{**ADA, "password": password})
    assert await count(sqlite_database, accounts) == 0


@pytest.mark.parametrize("email", ["", "nobody", "a@b@c", "a b@c", "@c", "a@"])
async def test_an_address_has_to_be_one(sqlite_database: Database, keyring: KeyRing, email: str) -> None:
    with pytest.raises(InvalidEmail):
        await set_up(sqlite_database, keyring, **{**ADA, "email": email})


async def test_a_local_workspace_is_made_once(database: Database, keyring: KeyRing) -> None:
    made = await asyncio.gather(*[ensure_local_workspace(database, keyring) for _ in range(4)])
    assert len({(member.id, member.tenant_id) for member in made}) == 1
    assert not (await Accounts(database).get(made[0].id)).is_password_set
    assert not await is_set_up(database)


async def test_set_up_takes_the_local_workspace_over(sqlite_database: Database, keyring: KeyRing) -> None:
    local = await ensure_local_workspace(sqlite_database, keyring)
    owner = await set_up(sqlite_database, keyring, **ADA, workspace="Engines")
    assert (owner.id, owner.tenant_id, owner.email) == (local.id, local.tenant_id, "ada@example.com")
    assert (await Accounts(sqlite_database).get(owner.id)).is_password_set
    with pytest.raises(AlreadySetUp):
        await set_up(sqlite_database, keyring, **ADA)
    assert (await ensure_local_workspace(sqlite_database, keyring)).id == owner.id


async def test_a_tenant_key_opens_with_its_secret_key_alone(sqlite_database: Database, keyring: KeyRing) -> None:
    tenant = (await ensure_local_workspace(sqlite_database, keyring)).tenant
    keys = TenantKeys(sqlite_database, keyring)
    assert await keys.cipher(tenant) is await keys.cipher(tenant)
    stored = (await keys.cipher(tenant)).encrypt("kept")
    with pytest.raises(DecryptionFailed):
        await TenantKeys(sqlite_database, KeyRing("another secret key")).cipher(tenant)
    with pytest.raises(NotFound):
        await keys.cipher(Tenant(new_id()))
    rotated = KeyRing("another secret key", ["a secret key of the tests"])
    assert await TenantKeys(sqlite_database, rotated).rewrap() == 1
    assert await TenantKeys(sqlite_database, rotated).rewrap() == 0
    only_new = TenantKeys(sqlite_database, KeyRing("another secret key"))
    assert (await only_new.cipher(tenant)).decrypt(stored) == "kept"
    async with sqlite_database.read() as conn:
        wrapped = (await conn.execute(sa.select(tenant_keys.c.wrapped_key))).scalar_one()
    assert len(base64.b64decode(wrapped)) == 1 + 4 + 12 + 32 + 16
