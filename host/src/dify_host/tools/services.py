"""What can be done with tools in one workspace, in one place."""

from __future__ import annotations

from functools import cached_property, partial

from dify_kernel.contracts.http import HttpClient
from dify_kernel.contracts.ports import FilesPort, KnowledgePort
from dify_kernel.errors import NotFound

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.runs.programs import Programs
from dify_host.tools.api_providers import ApiTools
from dify_host.tools.installed import InstalledTools
from dify_host.tools.knowledge_tools import KnowledgeTools
from dify_host.tools.mcp_providers import McpTools
from dify_host.tools.pool import ToolPool
from dify_host.tools.runtime import ToolRuntime
from dify_host.tools.sources import ToolSource
from dify_host.tools.workflow_runs import WorkflowRunner
from dify_host.tools.workflow_tools import WorkflowTools

__all__ = ["Tools"]


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
