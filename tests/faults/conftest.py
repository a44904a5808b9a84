"""Stages, each for all scenarios on it; how long, how often and with which seeds the environment may say."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.faults.report import show

SECONDS = float(os.environ.get("DIFY_FAULTS_SECONDS", "60"))
SEEDS = [int(seed) for seed in os.environ.get("DIFY_FAULTS_SEEDS", "1,2,3").split(",")]
LONG_SEEDS = [int(seed) for seed in os.environ.get("DIFY_FAULTS_LONG_SEEDS", "100").split(",")]
RATE = float(os.environ.get("DIFY_FAULTS_RATE", "7"))


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Iterator[list[dict[str, str]]]:
    """What the scenarios found out; printed at the end."""
    found: list[dict[str, str]] = []
    yield found
    manager = request.config.pluginmanager.getplugin("capturemanager")
    with manager.global_and_fixture_disabled():
        show(found)
