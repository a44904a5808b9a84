"""Apps of two tenants on a real database, with real keys and the installed node plugins."""

from __future__ import annotations

import pytest
from dify_host.apps.repository import AppRepository
from dify_host.apps.service import AppService
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.net.crypto import KeyRing, TenantCipher
from dify_host.settings import HostSettings
from dify_kernel.registry import Registry


def cipher_of(tenant: Tenant) -> TenantCipher:
    """A fresh key of a tenant."""
    ring = KeyRing("a secret key for tests only")
    return ring.unwrap(ring.new_tenant_key(tenant.id), tenant.id)


@pytest.fixture
def tenant() -> Tenant:
    """A workspace."""
    return Tenant(new_id())


@pytest.fixture
def cipher(tenant: Tenant) -> TenantCipher:
    """The workspace's key."""
    return cipher_of(tenant)


@pytest.fixture
def repository(database: Database, tenant: Tenant, cipher: TenantCipher) -> AppRepository:
    """The workspace's apps, on each engine."""
    return AppRepository(database, tenant, cipher)


@pytest.fixture
def stranger(database: Database) -> AppRepository:
    """Another workspace's apps in the same database."""
    other = Tenant(new_id())
    return AppRepository(database, other, cipher_of(other))


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The installed plugins."""
    return Registry()


@pytest.fixture
def service(database: Database, tenant: Tenant, cipher: TenantCipher, registry: Registry) -> AppService:
    """What changes the workspace's apps, on each engine."""
    return AppService(database, tenant, cipher, registry, settings=HostSettings())


@pytest.fixture
def quick(sqlite_database: Database, tenant: Tenant, cipher: TenantCipher, registry: Registry) -> AppService:
    """The same on SQLite alone."""
    return AppService(sqlite_database, tenant, cipher, registry, settings=HostSettings())
