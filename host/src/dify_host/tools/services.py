"""What can be done with tools in one workspace, in one place."""

from __future__ import annotations

import builtins
from functools import cached_property, partial
from typing import Literal

import msgspec
from dify_kernel.contracts.http import HttpClient
from dify_kernel.contracts.ports import FilesPort, KnowledgePort
from dify_kernel.contracts.tool import ToolInfo
from dify_kernel.errors import BadInput, NotFound

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.models.pool import provider_name
from dify_host.runs.programs import Programs
from dify_host.tools.api_providers import ApiTools
from dify_host.tools.errors import ToolProviderNotFound
from dify_host.tools.installed import InstalledTools
from dify_host.tools.knowledge_tools import KnowledgeTools
from dify_host.tools.mcp_providers import McpTools
from dify_host.tools.pool import ToolPool
from dify_host.tools.runtime import ToolRuntime
from dify_host.tools.sources import ToolSource
from dify_host.tools.workflow_runs import WorkflowRunner
from dify_host.tools.workflow_tools import WorkflowTools

__all__ = ["ToolProviderSummary", "Tools"]


class ToolProviderSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One provider of any kind: what a graph calls it (`type` and `id`), what people do, and its tools."""

    type: Literal["builtin", "api", "mcp", "workflow"]
    id: str
    name: str
    status: str = "ready"
    tools: list[ToolInfo] = []


class Tools:
    """The tools of one workspace: those of plugins, described APIs, MCP servers and published workflows."""

    def __init__(
        self,
        *,
        db: Database,
        tenant: Tenant,
        keys: TenantKeys,
        pool: ToolPool,
        http: HttpClient,
        files: FilesPort,
        programs: Programs,
        runner: WorkflowRunner | None = None,
    ) -> None:
        self._db, self._tenant, self._keys = db, tenant, keys
        self._pool, self._http, self._files = pool, http, files
        self._programs, self._runner = programs, runner

    @cached_property
    def installed(self) -> InstalledTools:
        """Tool families of installed plugins and the workspace's credentials for them."""
        return InstalledTools(self._db, self._tenant, self._pool, self._keys, self._files)

    @cached_property
    def apis(self) -> ApiTools:
        """APIs that the workspace described."""
        return ApiTools(self._db, self._tenant, self._keys, self._http, self._files)

    @cached_property
    def mcp(self) -> McpTools:
        """MCP servers."""
        return McpTools(self._db, self._tenant, self._keys, self._http)

    @cached_property
    def workflows(self) -> WorkflowTools:
        """Workflow apps published as tools."""
        return WorkflowTools(self._db, self._tenant, self._keys, self._programs, self._runner)

    async def list(self) -> builtins.list[ToolProviderSummary]:
        """Every provider: those of plugins, then described APIs, MCP servers and workflows."""
        found = [
            ToolProviderSummary(type="builtin", id=item.provider, name=item.label, status=item.status, tools=item.tools)
            for item in await self.installed.list()
        ]
        for api in await self.apis.list():
            found.append(ToolProviderSummary(type="api", id=api.id, name=api.name, tools=api.tools))
        for server in await self.mcp.list():
            identifier = server.server_identifier
            found.append(ToolProviderSummary(type="mcp", id=identifier, name=server.name, tools=server.tools))
        for workflow in await self.workflows.list():
            found.append(
                ToolProviderSummary(type="workflow", id=workflow.id, name=workflow.name, tools=[workflow.tool])
            )
        return found

    async def find(self, text: str) -> ToolProviderSummary:
        """The provider of that id or name, a kind and a colon before it where two share a name.

        ToolProviderNotFound, BadInput when several are meant.
        """
        kind, _, name = text.rpartition(":")
        short = provider_name(name)
        meant = [
            item
            for item in await self.list()
            if kind in ("", item.type) and (name in (item.id, item.name) or (item.type, item.id) == ("builtin", short))
        ]
        if not meant:
            raise ToolProviderNotFound(f"There is no tool provider {text!r}.", hint="List them: `dify tools list`.")
        if len(meant) > 1:
            ways = ", ".join(f"{item.type}:{item.id}" for item in meant)
            raise BadInput(f"Several tool providers are called {name!r}.", hint=f"Say which: {ways}.")
        return meant[0]

    def runtime(self, knowledge: KnowledgePort) -> ToolRuntime:
        """The tools port of one run."""
        return ToolRuntime(partial(self.source, knowledge))

    def source(self, knowledge: KnowledgePort, provider_type: str) -> ToolSource:
        """What offers the tools of a `provider_type` of the DSL; NotFound for an unknown one."""
        match provider_type:
            case "builtin" | "plugin":
                return self.installed
            case "api":
                return self.apis
            case "mcp":
                return self.mcp
            case "workflow":
                return self.workflows
            case "dataset-retrieval":
                return KnowledgeTools(self._db, self._tenant, knowledge)
        raise NotFound(
            f"There are no tools of the type {provider_type!r}.",
            hint="Types: builtin, plugin, api, mcp, workflow, dataset-retrieval.",
        )
