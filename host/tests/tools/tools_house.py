"""A workspace with its tools."""

from __future__ import annotations

from typing import Any

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.accounts import insert_account
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.identity.workspaces import insert_workspace
from dify_host.net.client import GuardedClient
from dify_host.net.crypto import KeyRing
from dify_host.runs.programs import Programs
from dify_host.tools.pool import ToolPool
from dify_host.tools.runtime import ToolRuntime
from dify_host.tools.services import Tools
from dify_kernel.contracts.tool import ToolMessage
from dify_kernel.registry import Registry
from dify_kernel.testing.fakes import FakeFiles, FakeKnowledge

__all__ = ["KEYRING", "USER", "ToolsHouse", "said"]

KEYRING = KeyRing("a secret key of the tests")
USER = new_id()


class ToolsHouse:
    """The tools of any workspace of one database, as a process has them."""

    def __init__(self, db: Database, registry: Registry, http: GuardedClient) -> None:
        self.db, self.registry, self.http = db, registry, http
        self.keys = TenantKeys(db, KEYRING)
        self.pool = ToolPool(registry, http)
        self.files = FakeFiles()
        self.knowledge = FakeKnowledge()
        self.programs = Programs(registry)

    async def tenant(self) -> Tenant:
        """A new workspace."""
        async with self.db.write() as conn:
            owner = await insert_account(conn, email=f"{new_id()}@example.com", name="Owner", password=None)
            return Tenant(await insert_workspace(conn, KEYRING, name="Workspace", owner_id=owner))

    def tools(self, tenant: Tenant, runner: Any = None) -> Tools:
        """The tools of a workspace."""
        return Tools(
            db=self.db,
            tenant=tenant,
            keys=self.keys,
            pool=self.pool,
            http=self.http,
            files=self.files,
            programs=self.programs,
            runner=runner,
        )

    def runtime(self, tenant: Tenant, runner: Any = None) -> ToolRuntime:
        """The tools port of a run."""
        return self.tools(tenant, runner).runtime(self.knowledge)


async def said(runtime: ToolRuntime, kind: str, provider: str, tool: str, **rest: Any) -> list[ToolMessage]:
    """The messages of one call."""
    credential_id = rest.pop("credential_id", None)
    return [item async for item in runtime.invoke(kind, provider, tool, rest, credential_id=credential_id)]
