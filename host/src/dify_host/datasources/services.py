"""What a process does with data sources, for any workspace."""

from __future__ import annotations

from dify_kernel.contracts.http import HttpClient
from dify_kernel.contracts.storage import Storage
from dify_kernel.registry import Registry

from dify_host.datasources.crawls import Crawls
from dify_host.datasources.documents import SourceDocuments
from dify_host.datasources.installed import InstalledDatasources
from dify_host.datasources.pool import DatasourcePool
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.identity.tenant_keys import TenantKeys

__all__ = ["DatasourceServices"]


class DatasourceServices:
    """Cheap to make; what it gives is bound to a workspace. A file may have `most_bytes`."""

    def __init__(
        self, db: Database, storage: Storage, registry: Registry, http: HttpClient, keys: TenantKeys, *, most_bytes: int
    ) -> None:
        self._db, self._storage, self._keys = db, storage, keys
        self.most_bytes = most_bytes
        self._pool = DatasourcePool(registry, http)

    def installed(self, tenant: Tenant) -> InstalledDatasources:
        """The data sources of installed plugins, with the workspace's credentials."""
        return InstalledDatasources(self._db, tenant, self._pool, self._keys)

    def crawls(self, tenant: Tenant) -> Crawls:
        """Crawls of websites."""
        return Crawls(self._db, tenant, self._storage, self.installed(tenant))

    def documents(self, tenant: Tenant) -> SourceDocuments:
        """Reads documents of outside sources, for indexing."""
        return SourceDocuments(self.installed(tenant), self.crawls(tenant), most_bytes=self.most_bytes)
