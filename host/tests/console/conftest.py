"""The console over a platform as `dify api` runs it: SQLite, Valkey, scripted models; and people who log in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from litestar import Litestar

from ..service.conftest import app as app
from ..service.conftest import built as built
from ..service.conftest import env as env
from ..service.conftest import house as house
from ..service.conftest import openai as openai
from ..service.conftest import platform as platform
from ..service.conftest import web as web
from ..service.conftest import workshop as workshop
from ..service.service_house import House, Workshop
from .console_house import Browser, Browsers


@pytest.fixture
async def browsers(app: Litestar) -> AsyncIterator[Browsers]:
    """Opens browsers, and closes them at the end."""
    opened = Browsers(app)
    yield opened
    await opened.close()


@pytest.fixture
async def owner(browsers: Browsers, house: House) -> Browser:
    """The owner of `house`, logged in."""
    return await browsers.member(house, "owner")


@pytest.fixture
async def editor(browsers: Browsers, house: House) -> Browser:
    """An editor of `house`, logged in."""
    return await browsers.member(house, "editor")


@pytest.fixture
async def stranger(browsers: Browsers, workshop: Workshop) -> Browser:
    """The owner of another workspace, logged in."""
    return await browsers.member(await workshop.open("Stranger"), "owner")
