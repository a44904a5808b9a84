"""Accounts, workspaces and members: one owner, roles that can be given, and no reach into another workspace."""

from __future__ import annotations

import pytest
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.accounts import Account, Accounts, ProfileChange
from dify_host.identity.errors import (
    AccountNotFound,
    CannotOperateSelf,
    CurrentPasswordIncorrect,
    EmailAlreadyInUse,
    InvalidPassword,
    InvalidRole,
    MemberNotFound,
)
from dify_host.identity.workspaces import Members, Workspaces
from dify_host.net.crypto import KeyRing
from dify_kernel.errors import BadInput, Conflict, NotFound

from .conftest import NewTenant


async def person(db: Database, name: str = "grace") -> Account:
    return await Accounts(db).create(email=f"{name}@example.com", name=name.title())


async def test_accounts(database: Database) -> None:
    accounts = Accounts(database)
    made = await accounts.create(email=" Grace@Example.COM ", name="Grace", password="compiler 1")
    assert (made.email, made.is_password_set) == ("grace@example.com", True)
    assert await accounts.find("GRACE@example.com") == made
    assert await accounts.find("nobody@example.com") is None
    with pytest.raises(EmailAlreadyInUse):
        await accounts.create(email="grace@EXAMPLE.com", name="Other")
    changed = await accounts.change_profile(made.id, ProfileChange(name="Grace H.", timezone="Europe/Berlin"))
    assert (changed.name, changed.timezone, changed.interface_theme) == ("Grace H.", "Europe/Berlin", "light")
    with pytest.raises(AccountNotFound):
        await accounts.get(new_id())


async def test_passwords_change_for_who_knows_the_present_one(sqlite_database: Database) -> None:
    accounts = Accounts(sqlite_database)
    made = await accounts.create(email="grace@example.com", name="Grace", password="compiler 1")
    with pytest.raises(CurrentPasswordIncorrect):
        await accounts.change_password(made.id, current="guess 1234", new="cobol 1959")
    with pytest.raises(InvalidPassword):
        await accounts.change_password(made.id, current="compiler 1", new="weak")
    await accounts.change_password(made.id, current="compiler 1", new="cobol 1959")
    with pytest.raises(CurrentPasswordIncorrect):
        await accounts.change_password(made.id, current="compiler 1", new="fortran 1957")
    for call in (
        accounts.set_password(new_id(), "fortran 1957"),
        accounts.change_password(new_id(), current="", new="fortran 1957"),
    ):
        with pytest.raises(AccountNotFound):
            await call


async def test_members_and_roles(database: Database, new_tenant: NewTenant) -> None:
    members = Members(database, await new_tenant(database))
    owner, grace = await members.owner(), await person(database)
    added = await members.add(grace.id, "editor", invited_by=owner.id)
    assert (added.role, added.email) == ("editor", grace.email)
    assert [member.role for member in await members.list()] == ["owner", "editor"]
    with pytest.raises(Conflict):
        await members.add(grace.id, "normal")
    assert (await members.change_role(grace.id, "dataset_operator", by=owner.id)).role == "dataset_operator"
    for role in ("owner", "king", ""):
        with pytest.raises(InvalidRole):
            await members.change_role(grace.id, role, by=owner.id)
    await members.remove(grace.id, by=owner.id)
    with pytest.raises(MemberNotFound):
        await members.get(grace.id)
    assert (await Accounts(database).get(grace.id)).id == grace.id


async def test_there_is_always_one_owner(sqlite_database: Database, new_tenant: NewTenant) -> None:
    members = Members(sqlite_database, await new_tenant(sqlite_database))
    owner, grace = await members.owner(), await person(sqlite_database)
    await members.add(grace.id, "admin")
    for call in (members.remove(owner.id, by=grace.id), members.change_role(owner.id, "normal", by=grace.id)):
        with pytest.raises(InvalidRole):
            await call
    for call in (members.remove(grace.id, by=grace.id), members.change_role(grace.id, "normal", by=grace.id)):
        with pytest.raises(CannotOperateSelf):
            await call
    assert (await members.transfer(grace.id)).role == "owner"
    assert (await members.get(owner.id)).role == "admin"
    assert (await members.owner()).id == grace.id


async def test_members_of_another_workspace_are_not_found(sqlite_database: Database, new_tenant: NewTenant) -> None:
    mine = Members(sqlite_database, await new_tenant(sqlite_database))
    theirs = await Members(sqlite_database, await new_tenant(sqlite_database)).owner()
    me = await mine.owner()
    for call in (
        mine.get(theirs.id),
        mine.change_role(theirs.id, "normal", by=me.id),
        mine.remove(theirs.id, by=me.id),
        mine.transfer(theirs.id),
        mine.add(new_id(), "normal"),
    ):
        with pytest.raises(MemberNotFound):
            await call
    assert [member.id for member in await mine.list()] == [me.id]
    with pytest.raises(BadInput):
        await mine.get("not an id")


async def test_a_person_moves_between_workspaces(database: Database, new_tenant: NewTenant, keyring: KeyRing) -> None:
    workspaces, grace = Workspaces(database), await person(database)
    assert await workspaces.current(grace.id) is None
    first, foreign = await new_tenant(database), await new_tenant(database)
    await Members(database, first).add(grace.id, "normal")
    own = await workspaces.create(keyring, name="Own", owner_id=grace.id)
    assert (own.role, own.current) == ("owner", True)
    current = await workspaces.current(grace.id)
    assert current is not None
    assert current.id == own.id
    assert (await workspaces.switch(grace.id, first.id)).role == "normal"
    assert [(item.id, item.current) for item in await workspaces.list(grace.id)] == [(first.id, True), (own.id, False)]
    with pytest.raises(NotFound):
        await workspaces.switch(grace.id, foreign.id)
    await Members(database, Tenant(own.id)).rename("Renamed")
    assert {item.name for item in await workspaces.list(grace.id)} == {"Workspace", "Renamed"}
