"""Published apps, and one platform on SQLite that they are imported into."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from dify_host.identity.setup import ensure_local_workspace
from dify_host.platform import Platform
from dify_host.workspace import Workspace

from tests.corpus.published import FILES

Place = tuple[Workspace, str]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A workspace and its owner's id."""
    env = {"DIFY_DATA": str(tmp_path_factory.mktemp("corpus"))}
    async with Platform.opened(env, role="cli") as platform:
        owner = await ensure_local_workspace(platform.db, platform.keyring)
        yield await platform.workspace(owner.tenant), owner.id


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a file; one that is skipped when there are none."""
    if "file" in metafunc.fixturenames:
        reason = "no folder of published apps beside the checkout (DIFY_SHARED names another place)"
        absent = pytest.param(None, marks=pytest.mark.skip(reason=reason), id="none")
        metafunc.parametrize("file", [pytest.param(path, id=path.stem[:3]) for path in FILES] or [absent])
