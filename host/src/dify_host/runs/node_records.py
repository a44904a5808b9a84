"""What nodes did, as those who build the app look at it: the executions of a run, and the last one of each node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from dify_kernel.contracts.node import RunInfo
from dify_kernel.errors import NotFound
from dify_kernel.graph.events import NodeFinished

from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository
from dify_host.db.statements import insert_many
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.tables import accounts, end_users
from dify_host.runs.conversations import unix
from dify_host.runs.payloads import Payloads
from dify_host.runs.recorder import Creator, node_values
from dify_host.runs.tables import workflow_node_executions, workflow_payloads, workflow_runs

__all__ = ["NodeRecords", "maker_view", "makers"]

SINGLE_STEP: Final = "single-step"
_SHOWN: Final = (
    "id", "index", "predecessor_node_id", "node_id", "node_type", "title", "status", "error", "elapsed_time",
    "execution_metadata", "created_by_role",
)  # fmt: skip
#: Columns whose values may be in the storage.
_DATA: Final = ("inputs", "process_data", "outputs")
_nodes = workflow_node_executions


class NodeRecords(TenantRepository):
    """The node executions of one workspace."""

    def __init__(self, db: Database, tenant: Tenant, payloads: Payloads) -> None:
        super().__init__(db, tenant)
        self._payloads = payloads

    async def add(self, run: RunInfo, creator: Creator, events: Sequence[NodeFinished]) -> None:
        """Record nodes that were tried alone, in no run."""
        rows = [{**_row(run, creator, event), "tenant_id": self.tenant.id} for event in events]
        kept = []
        for row in rows:
            place = {"node_execution_id": row["node_execution_id"], "node_id": row["node_id"]}
            for key in await self._payloads.take(self.tenant.id, row, _DATA, **place):
                kept.append({"owner_id": row["id"], "object_key": key})
        async with self.db.write() as conn:
            await insert_many(conn, _nodes, rows)
            await insert_many(conn, workflow_payloads, kept)

    async def of_run(self, app_id: str, run_id: str) -> list[dict[str, Any]]:
        """The executions of a run in the order of their starts; NotFound for a run of somebody else."""
        owned = self.scoped_select(workflow_runs, workflow_runs.c.id)
        this = owned.where(workflow_runs.c.id == run_id, workflow_runs.c.app_id == app_id)
        order = (_nodes.c.index, _nodes.c.created_at, _nodes.c.id)
        query = self._of(app_id).where(_nodes.c.workflow_run_id == run_id).order_by(*order)
        async with self.db.read() as conn:
            if (await conn.execute(this)).first() is None:
                raise NotFound("Workflow run not found", run_id=run_id)
            rows = (await conn.execute(query)).all()
        return await self._views(rows)

    async def last(self, app_id: str, workflow_id: str, node_id: str) -> dict[str, Any]:
        """The newest execution of a node of that workflow; NotFound when there is none."""
        query = self._of(app_id).where(_nodes.c.workflow_id == workflow_id, _nodes.c.node_id == node_id)
        async with self.db.read() as conn:
            row = (await conn.execute(query.order_by(_nodes.c.created_at.desc(), _nodes.c.id.desc()).limit(1))).first()
        if row is None:
            raise NotFound("last run not found", node_id=node_id)
        return (await self._views([row]))[0]

    async def one(self, app_id: str, execution_id: str) -> dict[str, Any]:
        """The record of an execution; NotFound."""
        async with self.db.read() as conn:
            row = (await conn.execute(self._of(app_id).where(_nodes.c.node_execution_id == execution_id))).first()
        if row is None:
            raise NotFound("Node execution not found", execution_id=execution_id)
        return (await self._views([row]))[0]

    async def output(self, app_id: str, execution_id: str, name: str) -> tuple[bool, Any]:
        """What an execution gave under a name: whether there is such an output, and its value."""
        query = self.scoped_select(_nodes, _nodes.c.outputs).where(
            _nodes.c.app_id == app_id, _nodes.c.node_execution_id == execution_id
        )
        async with self.db.read() as conn:
            row = (await conn.execute(query.order_by(_nodes.c.created_at.desc()).limit(1))).first()
        if row is None:
            return False, None
        outputs = (await self._payloads.fill({"outputs": row.outputs}, node_execution_id=execution_id))["outputs"] or {}
        return name in outputs, outputs.get(name)

    async def _views(self, rows: Sequence[sa.Row[Any]]) -> list[dict[str, Any]]:
        columns = [({name: getattr(row, name) for name in _DATA}, _place(row)) for row in rows]
        data = await self._payloads.fill_all(columns)
        return [_view(row, shown) for row, shown in zip(rows, data, strict=True)]

    def _of(self, app_id: str) -> sa.Select[Any]:
        joined, columns = makers(_nodes)
        return sa.select(_nodes, *columns).select_from(joined).where(self.owned(_nodes), _nodes.c.app_id == app_id)


def makers(table: sa.Table) -> tuple[sa.FromClause, list[sa.ColumnElement[Any]]]:
    """The table joined with who made its rows, and the columns that name them."""
    account = sa.and_(accounts.c.id == table.c.created_by, table.c.created_by_role == "account")
    user = sa.and_(end_users.c.id == table.c.created_by, table.c.created_by_role == "end_user")
    joined = table.outerjoin(accounts, account).outerjoin(end_users, user)
    named: list[sa.ColumnElement[Any]] = [accounts.c[name].label(f"account_{name}") for name in ("id", "name", "email")]
    named += [end_users.c[name].label(f"user_{name}") for name in ("id", "type", "is_anonymous", "session_id")]
    return joined, named


def maker_view(row: sa.Row[Any]) -> dict[str, Any]:
    """Who made a row, under the two names of the API."""
    account = {name: getattr(row, f"account_{name}") for name in ("id", "name", "email")}
    user = {name: getattr(row, f"user_{name}") for name in ("id", "type", "is_anonymous", "session_id")}
    return {
        "created_by_account": account if account["id"] else None,
        "created_by_end_user": user if user["id"] else None,
    }


def _place(row: sa.Row[Any]) -> dict[str, Any]:
    place = {"run_id": row.workflow_run_id, "node_id": row.node_id, "node_execution_id": row.node_execution_id}
    return {name: value for name, value in place.items() if value}


def _view(row: sa.Row[Any], data: dict[str, Any]) -> dict[str, Any]:
    cut = {f"{name}_truncated": False for name in _DATA}
    return {
        **{name: getattr(row, name) for name in _SHOWN},
        **data,
        **maker_view(row),
        **cut,
        "extras": {},
        "created_at": unix(row.created_at),
        "finished_at": unix(row.finished_at) if row.finished_at else None,
    }


def _row(run: RunInfo, creator: Creator, event: NodeFinished) -> dict[str, Any]:
    own = {"id": new_id(), "triggered_from": SINGLE_STEP, "workflow_run_id": None}
    return {**own, **node_values(run, creator, event)}
