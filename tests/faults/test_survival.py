"""Runs survive: processes, databases and queues are killed under load, and everything comes to its one right end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from dify_host.runs.context import read_context

from tests.faults.checks import problems
from tests.faults.conftest import LONG_SEEDS, RATE, SECONDS, SEEDS
from tests.faults.report import summary
from tests.faults.scenario import Outcome, play
from tests.faults.stage import Stage, cluster, laptop

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

SHORT = SECONDS * 25 / 60
#: How many runs must begin in a minute, at the least.
MANY = 300
Figures = list[dict[str, str]]


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with cluster("postgresql", tmp_path_factory.mktemp("postgresql")) as stage:
        yield stage


def survive(
    stage: Stage, seed: int, seconds: float, rate: float, figures: Figures, before: set[str]
) -> dict[str, list[str]]:
    """Play a scenario, hold it to every check, and return the runs that began in it, by the names of their apps."""
    outcome = asyncio.run(play(stage, seed, seconds, rate=rate))
    figures.append(summary(stage.engine, seed, outcome, before))
    names = {app_id: name for name, app_id in stage.house.ids.items()}
    begun: dict[str, list[str]] = {name: [] for name in stage.house.ids}
    for run_id, log in outcome.evidence.logs.items():
        if run_id not in before:
            begun[names[read_context(log).run.app_id]].append(run_id)
    before |= set(outcome.evidence.logs)
    assert_survived(outcome)
    return begun


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


@pytest.mark.parametrize("seed", SEEDS)
def test_runs_survive_on_postgresql(on_postgres: Stage, seed: int, figures: Figures, before: set[str]) -> None:
    survive(on_postgres, seed, SHORT, RATE, figures, before)


@pytest.mark.parametrize("seed", LONG_SEEDS)
def test_many_runs_of_every_app_survive(on_postgres: Stage, seed: int, figures: Figures, before: set[str]) -> None:
    begun = survive(on_postgres, seed, SECONDS, RATE, figures, before)
    assert sum(len(runs) for runs in begun.values()) >= MANY * SECONDS / 60
    assert [name for name, runs in begun.items() if not runs] == []


def test_runs_survive_on_mysql_or_mariadb(
    tmp_path_factory: pytest.TempPathFactory, figures: Figures, before: set[str]
) -> None:
    with cluster("mysql", tmp_path_factory.mktemp("mysql")) as stage:
        survive(stage, SEEDS[0], SHORT, RATE / 2, figures, before)


def test_runs_survive_on_a_laptop(tmp_path_factory: pytest.TempPathFactory, figures: Figures, before: set[str]) -> None:
    with laptop(tmp_path_factory.mktemp("laptop")) as stage:
        survive(stage, SEEDS[0], SHORT, RATE / 2, figures, before)
