"""A platform with the sources in memory among its plugins, its console, and a workspace that has the key for them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from dify_kernel.testing.memory_datasource import GOOD_KEY
from stevedore.extension import ExtensionManager

from ..console.conftest import app as app
from ..console.conftest import browsers as browsers
from ..console.conftest import built as built
from ..console.conftest import editor as editor
from ..console.conftest import env as env
from ..console.conftest import house as house
from ..console.conftest import openai as openai
from ..console.conftest import owner as owner
from ..console.conftest import platform as platform
from ..console.conftest import stranger as stranger
from ..console.conftest import web as web
from ..console.conftest import workshop as workshop
from ..console.console_house import Browser

METADATA = "Metadata-Version: 2.1\nName: dify-datasources-memory\nVersion: 1.0\nKeywords: dify-contract-datasources-1\n"
OFFERS = "[dify.datasources]\nmemory = memory_sources_plugin\nabsent_source = there_is_no_such_module\n"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the plugin on the path, before the platform looks for plugins."""
    info = tmp_path / "site" / "dify_datasources_memory-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(OFFERS)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "plugin"))
    # What a test before this one looked up, the loader of plugins remembers for the whole process.
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})


@pytest.fixture
def sources(platform: Any) -> Any:
    """The module of the plugin: what its sources hold can be changed."""
    platform.registry.load("datasources", "memory")
    module = sys.modules["memory_sources_plugin"]
    module.reset()
    return module


@pytest.fixture
async def credential_id(owner: Browser, sources: Any) -> str:
    """The workspace's credentials for the sources in memory."""
    await owner.ok("POST", "/auth/plugin/datasource/memory", {"credentials": {"api_key": GOOD_KEY}})
    [kept] = (await owner.ok("GET", "/auth/plugin/datasource/memory"))["result"]
    return str(kept["id"])
