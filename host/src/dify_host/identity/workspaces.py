"""Workspaces and their members: who belongs where, in which role."""

from __future__ import annotations

import base64
import builtins
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import Conflict, NotFound
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.accounts import account_columns
from dify_host.identity.errors import CannotOperateSelf, InvalidRole, MemberNotFound
from dify_host.identity.tables import accounts, tenant_account_joins, tenant_keys, tenants
from dify_host.net.crypto import KeyRing

__all__ = [
    "DATASET_EDITORS",
    "EDITORS",
    "PRIVILEGED",
    "ROLES",
    "Member",
    "Members",
    "Role",
    "Standing",
    "Workspace",
    "Workspaces",
    "insert_workspace",
]

Role = Literal["owner", "admin", "editor", "normal", "dataset_operator"]
ROLES: Final[tuple[Role, ...]] = ("owner", "admin", "editor", "normal", "dataset_operator")
#: Who may change what: the workspace and its models; apps; knowledge bases.
PRIVILEGED: Final = frozenset(("owner", "admin"))
EDITORS: Final = PRIVILEGED | {"editor"}
DATASET_EDITORS: Final = EDITORS | {"dataset_operator"}

_joins = tenant_account_joins


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """An account in one workspace; `id` is the account's."""

    id: str
    tenant_id: str
    role: Role
    name: str
    email: str
    avatar: str | None = None
    status: str = "active"
    last_login_at: datetime | None = None
    last_active_at: datetime | None = None
    created_at: datetime

    @property
    def tenant(self) -> Tenant:
        """The workspace that this member may work in."""
        return Tenant(self.tenant_id)


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """One workspace as one of its members sees it."""

    id: str
    name: str
    plan: str
    status: str
    created_at: datetime
    role: Role
    current: bool


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a workspace works, and for whom its knowledge keys act."""

    status: str
    owner_id: str | None = None


async def insert_workspace(conn: AsyncConnection, keyring: KeyRing, *, name: str, owner_id: str) -> str:
    """Write a workspace with a data key and its owner in the caller's transaction, and return its id."""
    tenant_id = new_id()
    wrapped = base64.b64encode(keyring.new_tenant_key(tenant_id)).decode()
    await conn.execute(tenants.insert().values(id=tenant_id, name=name))
    await conn.execute(tenant_keys.insert().values(tenant_id=tenant_id, wrapped_key=wrapped))
    join = {"tenant_id": tenant_id, "account_id": owner_id, "role": "owner", "current": True}
    await conn.execute(_joins.insert().values(join))
    return tenant_id


class Workspaces:
    """The workspaces of an account."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list(self, account_id: str) -> builtins.list[Workspace]:
        """Those that the account belongs to and that are not archived, oldest first."""
        async with self._db.read() as conn:
            rows = (await conn.execute(self._of(account_id).order_by(tenants.c.created_at, tenants.c.id))).all()
        return [to_struct(row, Workspace) for row in rows]

    async def current(self, account_id: str) -> Workspace | None:
        """The one that the account chose last, else its oldest; None when it belongs to none."""
        order = (_joins.c.current.desc(), tenants.c.created_at, tenants.c.id)
        async with self._db.read() as conn:
            row = (await conn.execute(self._of(account_id).order_by(*order).limit(1))).first()
        return None if row is None else to_struct(row, Workspace)

    async def switch(self, account_id: str, tenant_id: str) -> Workspace:
        """Make another workspace the current one; NotFound when the account does not belong to it."""
        async with self._db.write() as conn:
            row = (await conn.execute(self._of(account_id).where(tenants.c.id == tenant_id))).first()
            if row is None:
                raise NotFound("Workspace not found.", workspace=tenant_id)
            mine = _joins.update().where(_joins.c.account_id == account_id)
            await conn.execute(mine.values(current=_joins.c.tenant_id == tenant_id))
        return msgspec.structs.replace(to_struct(row, Workspace), current=True)

    async def create(self, keyring: KeyRing, *, name: str, owner_id: str) -> Workspace:
        """Add a workspace and make it the owner's current one."""
        async with self._db.write() as conn:
            tenant_id = await insert_workspace(conn, keyring, name=name, owner_id=owner_id)
        return await self.switch(owner_id, tenant_id)

    def _of(self, account_id: str) -> sa.Select[Any]:
        columns = [tenants.c[name] for name in ("id", "name", "plan", "status", "created_at")]
        joined = tenants.join(_joins, _joins.c.tenant_id == tenants.c.id)
        belongs = sa.and_(_joins.c.account_id == account_id, tenants.c.status == "normal")
        return sa.select(*columns, _joins.c.role, _joins.c.current).select_from(joined).where(belongs)


class Members(TenantRepository):
    """The members of one workspace; there is exactly one owner."""

    async def list(self) -> builtins.list[Member]:
        """Every member, in the order of joining."""
        async with self.db.read() as conn:
            rows = (await conn.execute(self._all().order_by(_joins.c.created_at, _joins.c.id))).all()
        return [to_struct(row, Member) for row in rows]

    async def get(self, account_id: str) -> Member:
        """One member; MemberNotFound."""
        async with self.db.read() as conn:
            return await self._one(conn, account_id)

    async def owner(self) -> Member:
        """The owner; knowledge keys act with this identity."""
        async with self.db.read() as conn:
            row = (await conn.execute(self._all().where(_joins.c.role == "owner"))).first()
        if row is None:
            raise MemberNotFound("The workspace has no owner.", workspace=self.tenant.id)
        return to_struct(row, Member)

    async def standing(self) -> Standing:
        """The status of the workspace (`archived` when it is gone) and its owner."""
        owner = sa.and_(_joins.c.tenant_id == tenants.c.id, _joins.c.role == "owner")
        query = sa.select(tenants.c.status, _joins.c.account_id.label("owner_id"))
        query = query.select_from(tenants.outerjoin(_joins, owner)).where(tenants.c.id == self.tenant.id)
        async with self.db.read() as conn:
            row = (await conn.execute(query)).first()
        return Standing(status="archived") if row is None else Standing(status=row.status, owner_id=row.owner_id)

    async def rename(self, name: str) -> None:
        """Give the workspace another name."""
        async with self.db.write() as conn:
            await conn.execute(tenants.update().where(tenants.c.id == self.tenant.id).values(name=name))

    async def add(self, account_id: str, role: str, *, invited_by: str | None = None) -> Member:
        """Take an account in; Conflict when it is a member already."""
        join = {"account_id": account_id, "role": _given_role(role), "invited_by": invited_by, "current": False}
        async with self.db.write() as conn:
            if (await conn.execute(sa.select(accounts.c.id).where(accounts.c.id == account_id))).first() is None:
                raise MemberNotFound("Account not found.", account=account_id)
            try:
                await conn.execute(self.scoped_insert(_joins, join))
            except Conflict as exc:
                raise Conflict("The account is a member of this workspace already.", account=account_id) from exc
        return await self.get(account_id)

    async def change_role(self, account_id: str, role: str, *, by: str) -> Member:
        """Give a member another role; the owner's is changed by `transfer` alone."""
        given = _given_role(role)
        async with self.db.write() as conn:
            member = await self._one(conn, account_id)
            _not_oneself(account_id, by)
            if member.role == "owner":
                raise InvalidRole("The owner's role cannot be changed.", hint="Transfer the ownership first.")
            await conn.execute(self.scoped_update(_joins, {"role": given}).where(_joins.c.account_id == account_id))
        return await self.get(account_id)

    async def remove(self, account_id: str, *, by: str) -> None:
        """Take a member out of the workspace; the account stays."""
        async with self.db.write() as conn:
            member = await self._one(conn, account_id)
            _not_oneself(account_id, by)
            if member.role == "owner":
                raise InvalidRole("The owner cannot be removed.", hint="Transfer the ownership first.")
            await conn.execute(self.scoped_delete(_joins).where(_joins.c.account_id == account_id))

    async def transfer(self, account_id: str) -> Member:
        """Make another member the owner; the former owner becomes an admin."""
        async with self.db.write() as conn:
            await self._one(conn, account_id)
            await conn.execute(self.scoped_update(_joins, {"role": "admin"}).where(_joins.c.role == "owner"))
            await conn.execute(self.scoped_update(_joins, {"role": "owner"}).where(_joins.c.account_id == account_id))
        return await self.get(account_id)

    async def _one(self, conn: AsyncConnection, account_id: str) -> Member:
        row = (await conn.execute(self._all().where(accounts.c.id == account_id))).first()
        if row is None:
            raise MemberNotFound("Member not found.", account=account_id)
        return to_struct(row, Member)

    def _all(self) -> sa.Select[Any]:
        joined = accounts.join(_joins, _joins.c.account_id == accounts.c.id)
        return account_columns(_joins.c.role, _joins.c.tenant_id).select_from(joined).where(self.owned(_joins))


def _given_role(role: str) -> Role:
    for known in ROLES:
        if role == known and role != "owner":
            return known
    raise InvalidRole(f"{role!r} is not a role that can be given.", hint=f"Use one of: {', '.join(ROLES[1:])}.")


def _not_oneself(account_id: str, by: str) -> None:
    if account_id == by:
        raise CannotOperateSelf("Nobody can do this to themselves.")
