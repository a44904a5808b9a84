"""Who may see a knowledge base, and who may say so: its permission, its members, the role of whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import BadInput, Forbidden
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.types import new_id
from dify_host.knowledge.links import Links
from dify_host.knowledge.records import Dataset
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import dataset_permissions, datasets

if TYPE_CHECKING:
    from dify_host.knowledge.datasets import DatasetChanges

__all__ = ["DatasetAccess", "Person"]


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the workspace in a role. A knowledge key is its owner."""

    account_id: str
    role: str = "owner"


class DatasetAccess:
    """The permissions of one tenant's knowledge bases.

    `only_me` is its creator's, `all_team_members` everybody's, `partial_members` its creator's and of those on its
    list. The owner of the workspace sees every one.
    """

    def __init__(self, rows: KnowledgeRepository, links: Links) -> None:
        self._rows = rows
        self._links = links

    async def require(self, dataset_id: str, person: Person) -> None:
        """DatasetNotFound, or Forbidden when the person may not see it."""
        async with self._rows.db.read() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            if person.role == "owner":
                return
            seen = self._rows.scoped_select(datasets, datasets.c.id).where(
                datasets.c.id == dataset.id, self.visible_to(person)
            )
            if (await conn.execute(seen)).first() is None:
                raise Forbidden("You do not have permission to access this dataset.", dataset_id=dataset_id)

    def visible_to(self, person: Person, *, include_all: bool = False) -> sa.ColumnElement[bool]:
        """The condition that a dataset is in the person's list; `include_all` counts for the owner alone."""
        if include_all and person.role == "owner":
            return sa.true()
        listed = self._rows.scoped_select(dataset_permissions, dataset_permissions.c.dataset_id).where(
            dataset_permissions.c.account_id == person.account_id
        )
        return sa.or_(
            datasets.c.permission == "all_team_members",
            datasets.c.created_by == person.account_id,
            sa.and_(datasets.c.permission == "partial_members", datasets.c.id.in_(listed)),
        )

    async def members(self, dataset_id: str) -> list[str]:
        """The account ids on the list of a dataset, in the order in which they came; DatasetNotFound."""
        async with self._rows.db.read() as conn:
            await self._rows.dataset(conn, dataset_id)
            return await self._members(conn, dataset_id)

    async def change(self, conn: AsyncConnection, dataset: Dataset, changes: DatasetChanges, person: Person) -> None:
        """Write the list of members as the changes say; Forbidden for an operator, BadInput for a stranger.

        A list is kept only with `partial_members`.
        """
        permission = dataset.permission if changes.permission is UNSET else changes.permission
        given = None if changes.partial_member_list is UNSET else list(dict.fromkeys(changes.partial_member_list))
        if person.role == "dataset_operator":
            listed = await self._members(conn, dataset.id)
            if permission != dataset.permission or (given is not None and set(given) != set(listed)):
                raise Forbidden("Dataset operators cannot change the dataset permissions.", dataset_id=dataset.id)
        if permission != "partial_members":
            given = []
        if given is None:
            return
        known = await self._links.members(conn, given)
        if strangers := [account_id for account_id in given if account_id not in known]:
            raise BadInput(
                "partial_member_list names an account that is no member of the workspace.",
                hint="Invite it first.",
                field="partial_member_list",
                account_id=strangers[0],
            )
        gone = self._rows.scoped_delete(dataset_permissions).where(dataset_permissions.c.dataset_id == dataset.id)
        await conn.execute(gone)
        rows = [{"id": new_id(), "dataset_id": dataset.id, "account_id": account_id} for account_id in given]
        if rows:
            await conn.execute(self._rows.scoped_insert(dataset_permissions, rows))

    async def _members(self, conn: AsyncConnection, dataset_id: str) -> list[str]:
        query = self._rows.scoped_select(dataset_permissions, dataset_permissions.c.account_id).where(
            dataset_permissions.c.dataset_id == dataset_id
        )
        ordered = query.order_by(dataset_permissions.c.created_at, dataset_permissions.c.id)
        return list((await conn.execute(ordered)).scalars())
