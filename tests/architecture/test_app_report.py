"""The report over a folder of apps: what it says of each kind, and where it writes the counts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from dify_host.apps.old_forms.modern import ALL_RULES

from tests.corpus.playing import End, Played

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "host/src/dify_host/examples"
OLD = "app: {mode: workflow, name: x}\nworkflow: {graph: {nodes: null}}"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("app_report", ROOT / "packaging/app_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_file_has_an_outcome(script: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.yml").write_text("a: [1")
    (tmp_path / "old.yml").write_text(OLD)
    (tmp_path / "waits.yaml").write_text(
        OLD.replace("nodes: null", "nodes: [{id: a, data: {type: start, title: A}}, {id: b, data: {type: teleport}}]")
    )
    for example in EXAMPLES.glob("plain-chat.yml"):
        (tmp_path / example.name).write_bytes(example.read_bytes())
    found = {name: script.outcome(check) for name, check in script.report(tmp_path).items()}
    assert found == {"broken.yml": "refused", "old.yml": "ready", "waits.yaml": "waits", "plain-chat.yml": "ready"}


def test_the_counts_stand_between_the_markers(script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.yml").write_text(OLD)
    script.main([str(tmp_path)])
    printed = capsys.readouterr().out
    assert "| 1 files | files |" in printed
    assert "| The version was missing or a number. | 1 |" in printed
    begin, end = script.BEGIN.format("apps"), script.END.format("apps")
    page = script.filled(f"a\n{begin}\nold\n{end}\nb", "new")
    assert page == f"a\n{begin}\nnew\n{end}\nb"
    with pytest.raises(ValueError, match="has no"):
        script.filled("a", "new")
    for part in ("apps", "runs"):
        script.filled(script.PAGE.read_text("utf-8"), "", part)


def test_an_empty_folder_is_a_mistake(script: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        script.main([str(tmp_path)])


def test_every_old_form_has_a_name_of_its_own() -> None:
    names = [(rule.code, rule.message) for rule in ALL_RULES]
    assert len(set(names)) == len(names)


def test_runs_are_counted_by_how_far_they_came(script: Any) -> None:
    good, bad = End(status="succeeded", reached=frozenset("ab")), End(status="failed", error="No.")
    played = {
        "a.yml": Played(outcome="ran", nodes=frozenset("abc"), ends=[good, good]),
        "b.yml": Played(outcome="ran", nodes=frozenset("ab"), ends=[good, bad], stand_ins=["tool x"]),
        "c.yml": Played(outcome="refused", problem="nothing in it"),
    }
    text = script.run_counts(played)
    assert "2 apps were run, 1 of them" in text
    assert "\n4 runs. 4 of the 5 nodes" in text
    assert "| every run succeeds | 1 |" in text
    assert "| some runs succeed, with stand-ins | 1 |" in text
    assert "| unexplained | 1 |" in text
