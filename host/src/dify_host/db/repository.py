"""The base of every repository: statements that cannot leave the tenant, rows as structs, pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseError
from dify_host.db.tenant import Tenant

__all__ = ["Page", "TenantRepository", "fetch_page", "to_struct"]

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list; `page` counts from 1, `total` counts every row of the query."""

    data: list[T]
    page: int
    limit: int
    total: int
    has_more: bool


def to_struct(row: sa.Row[Any], kind: type[T]) -> T:
    """Make a struct of a row by column name; columns the struct does not have are left out."""
    # SQLAlchemy's keys are of a subclass of str, which msgspec does not take.
    return msgspec.convert({str(key): value for key, value in row._mapping.items()}, kind)


async def fetch_page(conn: AsyncConnection, query: sa.Select[Any], kind: type[T], *, page: int, limit: int) -> Page[T]:
    """Run an ordered query for one page, and count what it matches in all."""
    page, limit = max(page, 1), max(limit, 1)
    counted = sa.select(sa.func.count()).select_from(query.order_by(None).subquery())
    total = (await conn.execute(counted)).scalar_one()
    rows = (await conn.execute(query.limit(limit).offset((page - 1) * limit))).all() if total else []
    data = [to_struct(row, kind) for row in rows]
    return Page(data=data, page=page, limit=limit, total=total, has_more=page * limit < total)


class TenantRepository:
    """Builds statements for one tenant; there is no way to make one without a tenant.

    A table with a `tenant_id` column goes through the `scoped_…` methods. A table that belongs to a tenant
    only through a parent (a message through its app) is guarded with `reached_through`.
    """

    def __init__(self, db: Database, tenant: Tenant) -> None:
        self.db = db
        self.tenant = tenant

    def scoped_select(self, table: sa.Table, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """Select these columns (all when none are named) of this tenant's rows."""
        return sa.select(*(columns or (table,))).where(self.owned(table))

    def scoped_update(self, table: sa.Table, values: Mapping[str, Any]) -> sa.Update:
        """Update this tenant's rows; add a `where`. `id` and `tenant_id` cannot be changed."""
        owned = self.owned(table)
        if fixed := sorted({"id", "tenant_id"} & values.keys()):
            raise DatabaseError(f"{', '.join(fixed)} of {table.name} cannot be changed.", table=table.name)
        return table.update().where(owned).values(dict(values))

    def scoped_delete(self, table: sa.Table) -> sa.Delete:
        """Delete this tenant's rows; add a `where`."""
        return table.delete().where(self.owned(table))

    def scoped_insert(self, table: sa.Table, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> sa.Insert:
        """Insert one row or several for this tenant; a row that names another tenant is refused."""
        self.owned(table)
        if isinstance(values, Mapping):
            return table.insert().values(self._stamped(table, values))
        return table.insert().values([self._stamped(table, row) for row in values])

    def owned(self, table: sa.Table) -> sa.ColumnElement[bool]:
        """Return the condition that a row is the tenant's; refuse a table that cannot say so."""
        if "tenant_id" not in table.c:
            raise DatabaseError(
                f"{table.name} has no tenant_id.", hint="Guard it with `reached_through`.", table=table.name
            )
        return table.c.tenant_id == self.tenant.id

    def reached_through(self, *links: sa.Column[Any], root: sa.Table) -> sa.ColumnElement[bool]:
        """Return the condition that a row hangs, link by link, on a row of `root` that is the tenant's.

        Each link is the column that holds the id of the next table:
        `reached_through(message_files.c.message_id, messages.c.app_id, root=apps)`.
        """
        condition = self.owned(root)
        parent = root
        for link in reversed(links):
            condition = sa.exists().where(parent.c.id == link, condition).correlate(link.table)
            parent = link.table
        return condition

    def _stamped(self, table: sa.Table, values: Mapping[str, Any]) -> dict[str, Any]:
        named = values.get("tenant_id", self.tenant.id)
        if named != self.tenant.id:
            raise DatabaseError(f"A row of {table.name} names another tenant.", table=table.name)
        return {**values, "tenant_id": self.tenant.id}
