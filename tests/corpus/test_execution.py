"""Every published app that can be imported is run to the right end: success, or a failure that its graph deserves.

Models are scripted, HTTP requests go to an echo endpoint whatever their address, knowledge bases are a small one of our
own, and tools and agent strategies that nobody has installed have stand-ins. How runs compare with those of Dify is the
matter of tests/recorded; here every graph is tried with inputs made from its form.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from .ends import ENDS, explained
from .playing import play
from .published import FILES
from .stage import Stage, open_stage

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("corpus-execution")]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Where the apps are played."""
    async with open_stage(tmp_path_factory.mktemp("execution"), FILES) as opened:
        yield opened


async def test_it_runs_to_the_right_end(stage: Stage, file: Path) -> None:
    played = await play(stage, file)
    if played.outcome != "ran":
        assert not played.ends
        assert played.outcome == "refused", played.problem
        return
    assert played.ends
    number = file.name[:3]
    wrong = [end for end in played.failures if not explained(number, end)]
    assert not wrong, "\n".join(
        f"{end.status} in {end.node or 'no node'}: {end.error}\n  given {end.given}" for end in wrong
    )
    assert bool(played.failures) == (number in ENDS), "the table names an app whose runs all succeed"


@pytest.mark.skipif(not FILES, reason="no folder of published apps beside the checkout")
async def test_every_reason_is_of_an_app() -> None:
    assert set(ENDS) - {path.name[:3] for path in FILES} == set()
