"""Keys and logins through the real plugins, a real database and a real Redis."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import utc_now
from dify_host.identity.accounts import Account, Accounts
from dify_host.identity.api_keys import ApiKeys
from dify_host.identity.authentication import MAX_FAILED_LOGINS, AuthService
from dify_host.identity.errors import AccountNotLinkTenant, AuthenticationFailed, LoginLocked
from dify_host.identity.tables import accounts, api_tokens
from dify_host.identity.workspaces import Members
from dify_host.settings import HostSettings
from dify_kernel.contracts.auth import AuthRequest, Principal
from dify_kernel.errors import BadInput, NotFound, Unauthorized
from dify_kernel.registry import Registry
from redis.asyncio import Redis

from .conftest import NewApp, NewTenant

SETTINGS = HostSettings(login_lockout_duration=60)
PASSWORD = "analytical 1"


def service(db: Database, redis: Redis, prefix: str) -> AuthService:
    return AuthService(
        db,
        registry=Registry(),
        redis=redis,
        settings=SETTINGS,
        secret_key="a secret key of the tests",
        prefix=prefix,
    )


@pytest.fixture
def auth(sqlite_database: Database, redis: Redis, prefix: str) -> AuthService:
    return service(sqlite_database, redis, prefix)


async def ada(db: Database, tenant: Tenant) -> Account:
    account = await Accounts(db).create(email="ada@example.com", name="Ada", password=PASSWORD)
    await Members(db, tenant).add(account.id, "editor")
    return account


def bearer(token: str) -> AuthRequest:
    return AuthRequest(headers={"authorization": f"Bearer {token}"})


def form(password: str = PASSWORD, email: str = "ada@example.com") -> dict[str, str]:
    return {"email": email, "password": password}


async def test_a_key_names_its_app_and_workspace(
    database: Database, redis: Redis, prefix: str, new_tenant: NewTenant, new_app: NewApp
) -> None:
    auth = service(database, redis, prefix)
    tenant = await new_tenant(database)
    app_id = await new_app(database, tenant)
    app_key, knowledge_key = (
        await ApiKeys(database, tenant).create("app", app_id),
        await ApiKeys(database, tenant).create("dataset"),
    )
    assert await auth.authenticate(bearer(app_key.token)) == Principal(
        kind="app", id=app_key.id, tenant_id=tenant.id, app_id=app_id
    )
    assert await auth.authenticate(bearer(knowledge_key.token)) == Principal(
        kind="dataset", id=knowledge_key.id, tenant_id=tenant.id
    )


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (AuthRequest(headers={}), "Authorization header must be provided and start with 'Bearer'"),
        (bearer("app-unknown"), "Access token is invalid"),
        (AuthRequest(headers={"authorization": "Basic x"}), "Authorization scheme must be 'Bearer'"),
    ],
)
async def test_strangers_are_refused(auth: AuthService, request_: AuthRequest, message: str) -> None:
    with pytest.raises(Unauthorized, match=message):
        await auth.authenticate(request_)


async def test_a_deleted_key_is_refused_at_once(
    auth: AuthService, sqlite_database: Database, new_tenant: NewTenant
) -> None:
    keys = ApiKeys(sqlite_database, await new_tenant(sqlite_database), forget=auth.forget_key)
    created = await keys.create("dataset")
    await auth.authenticate(bearer(created.token))
    await keys.delete(created.id)
    with pytest.raises(Unauthorized):
        await auth.authenticate(bearer(created.token))


async def test_the_last_use_is_written_once_a_minute(
    sqlite_database: Database, redis: Redis, prefix: str, new_tenant: NewTenant
) -> None:
    created = await ApiKeys(sqlite_database, await new_tenant(sqlite_database)).create("dataset")

    async def use_in_a_new_process() -> object:
        await service(sqlite_database, redis, prefix).authenticate(bearer(created.token))
        async with sqlite_database.read() as conn:
            return (await conn.execute(sa.select(api_tokens.c.last_used_at))).scalar_one()

    first = await use_in_a_new_process()
    assert first is not None
    assert await use_in_a_new_process() == first
    async with sqlite_database.write() as conn:
        await conn.execute(api_tokens.update().values(last_used_at=utc_now() - timedelta(minutes=2)))
    assert await use_in_a_new_process() > first  # type: ignore[operator]


async def test_a_login_opens_a_session(auth: AuthService, sqlite_database: Database, new_tenant: NewTenant) -> None:
    tenant = await new_tenant(sqlite_database)
    account = await ada(sqlite_database, tenant)
    session = await auth.login("password", form(email="ADA@example.com"), client="192.0.2.1")
    principal = await auth.principal_of(session.access_token)
    assert principal == Principal(kind="account", id=account.id, tenant_id=tenant.id, role="editor")
    auth.sessions.check_csrf(account.id, session.csrf_token)
    for wrong in ("", session.access_token, "x.y.z"):
        with pytest.raises(Unauthorized):
            auth.sessions.check_csrf(account.id, wrong)
    with pytest.raises(Unauthorized):
        await auth.principal_of(session.csrf_token)
    assert session.refresh_token not in repr(session)
    seen = await Accounts(sqlite_database).get(account.id)
    assert seen.last_login_ip == "192.0.2.1"
    assert seen.last_login_at is not None


async def test_a_role_that_changed_counts_at_once(
    auth: AuthService, sqlite_database: Database, new_tenant: NewTenant
) -> None:
    tenant = await new_tenant(sqlite_database)
    account = await ada(sqlite_database, tenant)
    session = await auth.login("password", form())
    members = Members(sqlite_database, tenant)
    owner = await members.owner()
    await members.change_role(account.id, "normal", by=owner.id)
    assert (await auth.principal_of(session.access_token)).role == "normal"
    await members.remove(account.id, by=owner.id)
    with pytest.raises(AccountNotLinkTenant):
        await auth.principal_of(session.access_token)


async def test_a_refresh_token_is_used_once(
    auth: AuthService, sqlite_database: Database, redis: Redis, prefix: str, new_tenant: NewTenant
) -> None:
    account = await ada(sqlite_database, await new_tenant(sqlite_database))
    first = await auth.login("password", form())
    stored = [key async for key in redis.scan_iter(f"{prefix}*")]
    assert not any(first.refresh_token.encode() in key for key in stored)
    tries = [auth.refresh(first.refresh_token) for _ in range(4)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    (second,) = [result for result in results if not isinstance(result, BaseException)]
    assert sum(isinstance(result, Unauthorized) for result in results) == 3
    await auth.logout(account.id)
    for token in (first.refresh_token, second.refresh_token, "unknown"):
        with pytest.raises(Unauthorized):
            await auth.refresh(token)


async def test_a_second_login_ends_the_first_refresh_token(
    auth: AuthService, sqlite_database: Database, new_tenant: NewTenant
) -> None:
    await ada(sqlite_database, await new_tenant(sqlite_database))
    first, second = await auth.login("password", form()), await auth.login("password", form())
    with pytest.raises(Unauthorized):
        await auth.refresh(first.refresh_token)
    assert (await auth.refresh(second.refresh_token)).account_id == second.account_id


async def test_every_refused_login_reads_the_same(
    auth: AuthService, sqlite_database: Database, new_tenant: NewTenant
) -> None:
    tenant = await new_tenant(sqlite_database)
    await ada(sqlite_database, tenant)
    banned = await Accounts(sqlite_database).create(email="eve@example.com", name="Eve", password=PASSWORD)
    await Members(sqlite_database, tenant).add(banned.id, "normal")
    async with sqlite_database.write() as conn:
        await conn.execute(accounts.update().where(accounts.c.id == banned.id).values(status="banned"))
    refusals = []
    for entered in (form("wrong 1234"), form(email="nobody@example.com"), form(email="eve@example.com")):
        with pytest.raises(AuthenticationFailed) as caught:
            await auth.login("password", entered)
        refusals.append((str(caught.value), caught.value.code, caught.value.status))
    assert refusals == [("Invalid email or password.", "authentication_failed", 401)] * 3


async def test_five_failures_lock_the_address(
    auth: AuthService, sqlite_database: Database, new_tenant: NewTenant
) -> None:
    await ada(sqlite_database, await new_tenant(sqlite_database))
    guesses = [auth.login("password", form(f"guess {n}")) for n in range(MAX_FAILED_LOGINS + 3)]
    results = await asyncio.gather(*guesses, return_exceptions=True)
    kinds = sorted(type(result).__name__ for result in results)
    assert kinds == ["AuthenticationFailed"] * MAX_FAILED_LOGINS + ["LoginLocked"] * 3
    with pytest.raises(LoginLocked) as caught:
        await auth.login("password", form())
    assert caught.value.status == 429


async def test_a_success_clears_the_count(auth: AuthService, sqlite_database: Database, new_tenant: NewTenant) -> None:
    await ada(sqlite_database, await new_tenant(sqlite_database))
    for guesses in (MAX_FAILED_LOGINS - 1, 1):
        for guess in range(guesses):
            with pytest.raises(AuthenticationFailed):
                await auth.login("password", form(f"guess {guess}"))
        await auth.login("password", form())


async def test_the_form_is_checked(auth: AuthService) -> None:
    with pytest.raises(NotFound):
        await auth.login("telepathy", {})
    with pytest.raises(BadInput, match="password is required"):
        await auth.login("password", {"email": "ada@example.com"})
    with pytest.raises(BadInput, match="Known fields: email, password"):
        await auth.login("password", {**form(), "role": "owner"})
