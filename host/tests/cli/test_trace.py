"""`dify trace` shows the time of a run, for people and for programs."""

from __future__ import annotations

from .conftest import Dify


def test_a_run_is_traced_by_its_id(dify: Dify, workflow: str) -> None:
    app_id = dify("app", "import", workflow, "--publish", "--json").result["app_id"]
    started = dify("app", "run", app_id, "-i", "who=Ada", "--json").lines[0]
    run_id = started["workflow_run_id"]
    found = dify("trace", run_id, "--json").result
    assert [node["node_id"] for node in found["nodes"]] == ["start", "text", "end"]
    assert found["busy_ms"] <= found["total_ms"]
    shown = dify("trace", run_id)
    assert shown.status == 0
    assert all(title in shown.out for title in ("Start", "Text", "End", "█"))


def test_an_unknown_run_is_an_error(dify: Dify) -> None:
    for run_id in ("3f0f2f9e-0d5c-4f0e-9d1b-0f5b7f0c0a11", "no-id"):
        done = dify("trace", run_id, "--json")
        assert done.status == 1
        assert done.result["code"] in ("not_found", "invalid_param")
