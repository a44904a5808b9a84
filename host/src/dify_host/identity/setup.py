"""The first run: the first account and its workspace."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from dify_kernel.errors import Conflict
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import utc_now
from dify_host.identity.accounts import check_password, clean_email, insert_account
from dify_host.identity.errors import AlreadySetUp, EmailAlreadyInUse
from dify_host.identity.tables import accounts, dify_setups, tenant_account_joins, tenants
from dify_host.identity.workspaces import Member, Members, insert_workspace
from dify_host.net.crypto import KeyRing
from dify_host.net.passwords import hash_password

__all__ = ["ensure_local_workspace", "is_set_up", "set_up", "setup_time"]

LOCAL_EMAIL = "owner@localhost"  # the account of a laptop that nobody set up yet; it has no password
_ONLY = "1"  # the fixed key of the one row of dify_setups


async def is_set_up(db: Database) -> bool:
    """Whether the first account was made by a person."""
    async with db.read() as conn:
        return (await conn.execute(sa.select(dify_setups.c.version).limit(1))).first() is not None


async def setup_time(db: Database) -> datetime | None:
    """When that was; None while nobody has."""
    async with db.read() as conn:
        found: datetime | None = (await conn.execute(sa.select(dify_setups.c.setup_at).limit(1))).scalar()
    return found


async def set_up(
    db: Database, keyring: KeyRing, *, email: str, name: str, password: str, workspace: str = ""
) -> Member:
    """Make the first account and its workspace, or take over the local workspace; AlreadySetUp the second time.

    Nothing is written unless all of it is; of two at the same time one wins.
    """
    address, hashed = clean_email(email), await hash_password(check_password(password))
    title = workspace or f"{name}'s Workspace"
    async with db.write() as conn:
        if (await conn.execute(sa.select(dify_setups.c.version).limit(1))).first() is not None:
            raise _done()
        try:
            await conn.execute(dify_setups.insert().values(version=_ONLY, setup_at=utc_now()))
        except Conflict as exc:
            raise _done() from exc
        local = await _local_owner(conn)
        if local is None:
            account_id = await insert_account(conn, email=address, name=name, password=hashed)
            tenant_id = await insert_workspace(conn, keyring, name=title, owner_id=account_id)
        else:
            account_id, tenant_id = local
            values = {"email": address, "name": name, "password": hashed}
            await conn.execute(accounts.update().where(accounts.c.id == account_id).values(values))
            await conn.execute(tenants.update().where(tenants.c.id == tenant_id).values(name=title))
    return await Members(db, Tenant(tenant_id)).get(account_id)


async def ensure_local_workspace(db: Database, keyring: KeyRing) -> Member:
    """The owner of the oldest workspace; made first, without a password, when there is none.

    For commands on the machine itself. Who sets the platform up later takes this workspace over.
    """
    owner = await _oldest_owner(db)
    if owner is not None:
        return owner
    try:
        async with db.write() as conn:
            account_id = await insert_account(conn, email=LOCAL_EMAIL, name="Local owner", password=None)
            tenant_id = await insert_workspace(conn, keyring, name="Local workspace", owner_id=account_id)
    except EmailAlreadyInUse:
        owner = await _oldest_owner(db)  # another process was faster
        if owner is None:
            raise
        return owner
    return await Members(db, Tenant(tenant_id)).get(account_id)


async def _oldest_owner(db: Database) -> Member | None:
    joins = tenant_account_joins
    oldest = sa.select(joins.c.tenant_id, joins.c.account_id).where(joins.c.role == "owner")
    async with db.read() as conn:
        row = (await conn.execute(oldest.order_by(joins.c.created_at, joins.c.id).limit(1))).first()
    return None if row is None else await Members(db, Tenant(row.tenant_id)).get(row.account_id)


async def _local_owner(conn: AsyncConnection) -> tuple[str, str] | None:
    joins = tenant_account_joins
    query = (
        sa.select(joins.c.account_id, joins.c.tenant_id)
        .join(accounts, accounts.c.id == joins.c.account_id)
        .where(accounts.c.email == LOCAL_EMAIL, accounts.c.password.is_(None), joins.c.role == "owner")
    )
    row = (await conn.execute(query)).first()
    return None if row is None else (row.account_id, row.tenant_id)


def _done() -> AlreadySetUp:
    return AlreadySetUp("The platform is set up already.", hint="Log in.")
