"""`dify db clean` counts, then deletes what it has counted, and says what it could not read."""

from __future__ import annotations

import pytest

from .conftest import Dify


@pytest.fixture
def ran(dify: Dify, workflow: str) -> str:
    """An app that has run three times."""
    app_id: str = dify("app", "import", workflow, "--publish", "--json").result["app_id"]
    for who in ("Ada", "Bo", "Cy"):
        assert dify("app", "run", app_id, "-i", f"who={who}", "--json").status == 0
    return app_id


def test_it_counts_first_and_then_deletes_that(dify: Dify, ran: str) -> None:
    counted = dify("db", "clean", "--keep", "1", "--dry-run", "--json").result
    assert counted["rows"]["workflow_runs"] == 2
    assert counted["rows"]["workflow_node_executions"] == 6
    assert dify("db", "clean", "--keep", "1", "--json").result == {**counted, "dry_run": False}
    assert dify("db", "clean", "--keep", "1", "--json").result["rows"] == {}


def test_the_settings_say_what_is_kept_when_the_command_does_not(dify: Dify, ran: str) -> None:
    assert dify("db", "clean", "--dry-run", "--json").result["rows"] == {}
    assert "workflow_runs" in dify("db", "clean", "--keep", "2", "--dry-run").out


def test_a_span_that_is_none_is_refused(dify: Dify) -> None:
    done = dify("db", "clean", "--older-than", "a month", "--json")
    assert done.status != 0
    assert done.result["code"] == "invalid_param"
