"""A workspace with real providers: the OpenAI plugin before a scripted server, and a plugin of the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import importlib_metadata
import pytest
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.accounts import insert_account
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.identity.workspaces import insert_workspace
from dify_host.models.providers import ProviderService
from dify_host.models.runtime import ModelRuntime, ProviderPool
from dify_host.net.crypto import KeyRing
from dify_kernel.contracts.model import ProviderPorts
from dify_kernel.registry import Registry
from dify_kernel.testing.openai_server import OpenAIServer
from dify_kernel.testing.plain_http import PlainHttpClient

KEYRING = KeyRing("a secret key of the tests")
METADATA = "Metadata-Version: 2.1\nName: dify-local-models\nVersion: 1.0\nKeywords: dify-contract-providers-1\n"
OFFERS = "[dify.providers]\nlocal-models = local_models_plugin\nabsent-module = there_is_no_such_module\n"


@pytest.fixture(scope="session")
def openai_server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry that has the OpenAI plugin, the plugin of the tests and one that does not import."""
    info = tmp_path / "dify_local_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(OFFERS)
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "plugin"))
    (made,) = importlib_metadata.distributions(path=[str(tmp_path)])
    installed = [entry for entry in importlib_metadata.entry_points(group="dify.providers") if entry.name == "openai"]
    return Registry(entry_points=[*made.entry_points, *installed])


@pytest.fixture
async def pool(registry: Registry, tmp_path: Path) -> AsyncIterator[ProviderPool]:
    http: Any = PlainHttpClient()
    pool = ProviderPool(registry, ProviderPorts(http=http, data_dir=str(tmp_path)))
    yield pool
    await pool.close()
    await http.close()


class World:
    """The services of any workspace of one database, as a process has them."""

    def __init__(self, db: Database, registry: Registry, pool: ProviderPool) -> None:
        self.db = db
        self.registry = registry
        self.pool = pool
        self.keys = TenantKeys(db, KEYRING)
        self.notes: list[dict[str, Any]] = []

    async def tenant(self) -> Tenant:
        """A new workspace."""
        async with self.db.write() as conn:
            owner = await insert_account(conn, email=f"{new_id()}@example.com", name="Owner", password=None)
            return Tenant(await insert_workspace(conn, KEYRING, name="Workspace", owner_id=owner))

    def providers(self, tenant: Tenant) -> ProviderService:
        return ProviderService(self.db, tenant, self.registry, self.keys, self.pool)

    def runtime(self, tenant: Tenant) -> ModelRuntime:
        return ModelRuntime(self.db, tenant, self.registry, self.keys, self.pool, notify=self._note)

    def _note(self, hook: str, **arguments: Any) -> None:
        self.notes.append({"hook": hook, **arguments})


@pytest.fixture
def world(sqlite_database: Database, registry: Registry, pool: ProviderPool) -> World:
    return World(sqlite_database, registry, pool)
