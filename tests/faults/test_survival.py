"""Runs survive: processes, databases and queues are killed under load, and everything comes to its one right end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.faults.checks import problems
from tests.faults.conftest import RATE, SECONDS, SEEDS
from tests.faults.report import summary
from tests.faults.scenario import Outcome, play
from tests.faults.stage import Stage, cluster, laptop

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

SHORT = SECONDS * 25 / 60
Figures = list[dict[str, str]]


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with cluster("postgresql", tmp_path_factory.mktemp("postgresql")) as stage:
        yield stage


def survive(stage: Stage, seed: int, seconds: float, rate: float, figures: Figures, before: set[str]) -> None:
    """Play a scenario and hold it to every check."""
    outcome = asyncio.run(play(stage, seed, seconds, rate=rate))
    figures.append(summary(stage.engine, seed, outcome, before))
    before |= set(outcome.evidence.logs)
    assert_survived(outcome)


def assert_survived(outcome: Outcome) -> None:
    found = problems(outcome.evidence)
    assert not outcome.left, (outcome.left, outcome.callers.open, found)
    assert not found, "\n".join(found)
    assert not outcome.changed
    assert outcome.kills
    assert outcome.evidence.logs


@pytest.fixture(scope="module")
def before() -> set[str]:
    """The runs of earlier scenarios of the module."""
    return set()


@pytest.mark.parametrize(("seed", "seconds"), [*((seed, SHORT) for seed in SEEDS), (100, SECONDS)])
def test_runs_survive_on_postgresql(
    on_postgres: Stage, seed: int, seconds: float, figures: Figures, before: set[str]
) -> None:
    survive(on_postgres, seed, seconds, RATE, figures, before)


def test_runs_survive_on_mariadb(tmp_path_factory: pytest.TempPathFactory, figures: Figures, before: set[str]) -> None:
    with cluster("mysql", tmp_path_factory.mktemp("mysql")) as stage:
        survive(stage, SEEDS[0], SHORT, RATE / 2, figures, before)


def test_runs_survive_on_a_laptop(tmp_path_factory: pytest.TempPathFactory, figures: Figures, before: set[str]) -> None:
    with laptop(tmp_path_factory.mktemp("laptop")) as stage:
        survive(stage, SEEDS[0], SHORT, RATE / 2, figures, before)
