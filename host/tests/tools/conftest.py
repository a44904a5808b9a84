"""A house of tools on SQLite, with the installed families, one of the tests, and one that does not import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import importlib_metadata
import pytest
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.net.client import GuardedClient, OutboundSettings
from dify_kernel.registry import Registry

from .tools_house import ToolsHouse

METADATA = "Metadata-Version: 2.1\nName: dify-tools-greeting\nVersion: 1.0\nKeywords: dify-contract-tools-1\n"
OFFERS = "[dify.tools]\ngreeting = greeting_tools_plugin\nabsent = there_is_no_such_module\n"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The installed plugins and those of the tests."""
    info = tmp_path / "dify_tools_greeting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(OFFERS)
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "plugin"))
    (made,) = importlib_metadata.distributions(path=[str(tmp_path)])
    return Registry(entry_points=[*made.entry_points, *importlib_metadata.entry_points()])


@pytest.fixture
async def http() -> AsyncIterator[GuardedClient]:
    """The guarded client, allowed to reach this machine."""
    async with GuardedClient(OutboundSettings(ssrf_allowed_hosts=["127.0.0.1"])) as client:
        yield client


@pytest.fixture
def house(sqlite_database: Database, registry: Registry, http: GuardedClient) -> ToolsHouse:
    """Tools of any workspace."""
    return ToolsHouse(sqlite_database, registry, http)


@pytest.fixture
async def tenant(house: ToolsHouse) -> Tenant:
    """A workspace."""
    return await house.tenant()
