"""`dify`: calls a command in this process on a data folder of the test, and returns what it printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dify_host.cli.main import main

Dify = Callable[..., "Done"]

WORKFLOW = """
app: {name: Adder, mode: workflow}
kind: app
version: 0.5.0
workflow:
  features: {}
  graph:
    nodes:
    - {id: start, data: {type: start, title: Start, variables: [
        {variable: who, label: Who, type: text-input, required: true},
        {variable: times, label: Times, type: number, required: false}]}}
    - {id: text, data: {type: template-transform, title: Text, template: "Hello {{ who }}! {{ times }}", variables: [
        {variable: who, value_selector: [start, who]}, {variable: times, value_selector: [start, times]}]}}
    - {id: end, data: {type: end, title: End, outputs: [{variable: greeting, value_selector: [text, output]}]}}
    edges:
    - {id: a, source: start, target: text, sourceHandle: source, targetHandle: target}
    - {id: b, source: text, target: end, sourceHandle: source, targetHandle: target}
"""


class Done:
    """What a command left: its status and its output."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        return self.lines[-1]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def dify(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Done]:
    for name in ("DIFY_DATA", "DATABASE_URL", "DB_TYPE", "REDIS_HOST", "STORAGE_TYPE", "VECTOR_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)  # no .env of a developer

    def dify(*words: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main([*words, "--data", str(data)] if words and words[0] not in ("--help", "--version") else [*words])
        captured = capsys.readouterr()
        return Done(int(exit.value.code or 0), captured.out, captured.err)

    return dify


@pytest.fixture
def workflow(tmp_path: Path) -> str:
    path = tmp_path / "adder.yml"
    path.write_text(WORKFLOW)
    return str(path)
