"""`dify app validate` and `dify app import` on files and addresses: what they say, and how they exit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dify_kernel.testing.loopback import Answer, Asked, loopback

from .conftest import WORKFLOW, Dify

#: The same app with a node that nothing installed offers, an edge to nowhere, or as an early version wrote it.
WAITING = WORKFLOW.replace("type: template-transform", "type: teleport")
BROKEN = WORKFLOW.replace("target: end", "target: ghost")
OLD = WORKFLOW.replace("version: 0.5.0", "version: 0.1").replace("kind: app", "")
EXAMPLES = Path(__file__).parents[3] / "examples"
PIPELINE = WORKFLOW.replace("app: {", "rag_pipeline: {").replace("kind: app", "kind: rag_pipeline")


def write(folder: Path, text: str) -> str:
    path = folder / "app.yml"
    path.write_text(text)
    return str(path)


def test_a_file_is_checked_without_keeping_it(dify: Dify, workflow: str) -> None:
    done = dify("app", "validate", workflow, "--json")
    assert (done.status, done.result["valid"], done.result["importable"], done.result["problems"]) == (
        0,
        True,
        True,
        [],
    )
    assert (done.result["kind"], done.result["mode"], done.result["name"]) == ("app", "workflow", "Adder")
    assert "is valid" in dify("app", "validate", workflow).out
    assert dify("app", "list", "--json").result["total"] == 0


def test_what_is_broken_is_named_in_the_table_and_the_object(dify: Dify, tmp_path: Path) -> None:
    file = write(tmp_path, BROKEN)
    done = dify("app", "validate", file, "--json")
    assert (done.status, done.result["valid"]) == (1, False)
    errors = [item for item in done.result["problems"] if item["severity"] == "error"]
    assert [(item["code"], item["node_id"]) for item in errors] == [("missing_node", "text")]
    assert "ghost" in errors[0]["message"]
    shown = dify("app", "validate", file)
    assert shown.status == 1
    assert "missing_node" in shown.out
    refused = dify("app", "import", file, "--json")
    assert (refused.status, refused.result["code"]) == (1, "invalid_graph")
    assert ("missing_node", "text") in [(item["code"], item["node_id"]) for item in refused.result["problems"]]
    assert dify("app", "list", "--json").result["total"] == 0


@pytest.mark.parametrize("text", ["a: [1", "just words", "app: {mode: channel}"])
def test_a_text_that_is_no_app_is_a_problem_too(dify: Dify, tmp_path: Path, text: str) -> None:
    done = dify("app", "validate", write(tmp_path, text), "--json")
    assert (done.status, done.result["valid"]) == (1, False)
    assert [item["code"] for item in done.result["problems"]] == ["invalid_dsl"]
    assert dify("app", "validate", str(tmp_path / "none.yml"), "--json").result["code"] == "invalid_param"


def test_what_is_not_installed_is_named_and_the_app_waits(dify: Dify, tmp_path: Path) -> None:
    file = write(tmp_path, WAITING)
    checked = dify("app", "validate", file, "--json")
    assert (checked.status, [item["name"] for item in checked.result["missing"]]) == (0, ["teleport"])
    made = dify("app", "import", file, "--json")
    assert made.status == 0
    assert made.result["missing"] == [
        {"kind": "node", "name": "teleport", "distribution": "dify-nodes-teleport", "node_ids": ["text"]}
    ]
    assert "dify-nodes-teleport" in dify("app", "import", file).out
    assert dify("app", "import", file, "--publish", "--json").status == 1
    assert dify("app", "run", made.result["app_id"], "-i", "who=Ada", "--json").status == 1


def test_old_forms_are_told_and_the_app_runs(dify: Dify, tmp_path: Path) -> None:
    file = write(tmp_path, OLD)
    assert "Old form" in dify("app", "validate", file).out
    made = dify("app", "import", file, "--publish", "--json").result
    assert [change["code"] for change in made["changes"]][:2] == ["version", "kind"]
    ran = dify("app", "run", made["app_id"], "-i", "who=Ada", "--json")
    assert ran.result["outputs"]["greeting"].startswith("Hello Ada!")


def test_a_draft_is_overwritten(dify: Dify, workflow: str) -> None:
    first = dify("app", "import", workflow, "--json").result["app_id"]
    again = dify("app", "import", workflow, "--into", first, "--name", "Second", "--json").result
    assert again["app_id"] == first
    assert [item["name"] for item in dify("app", "list", "--json").result["data"]] == ["Second"]


def test_a_broken_knowledge_pipeline_is_refused_with_its_problems(dify: Dify, tmp_path: Path) -> None:
    file = write(tmp_path, PIPELINE)
    checked = dify("app", "validate", file, "--json").result
    assert (checked["kind"], checked["importable"]) == ("rag_pipeline", False)
    assert {"missing_source", "missing_index"} <= {item["code"] for item in checked["problems"]}
    assert dify("app", "import", file, "--json").result["code"] == "invalid_graph"


def test_a_knowledge_pipeline_goes_in_and_out_as_a_file(dify: Dify) -> None:
    made = dify("app", "import", str(EXAMPLES / "handbook-pipeline.yml"), "--publish", "--json").result
    assert (made["published"], made["missing"]) == (True, [])
    assert [item["id"] for item in dify("kb", "list", "--json").result["data"]] == [made["dataset_id"]]
    text = dify("app", "export", made["pipeline_id"], "--json").result["data"]
    assert "kind: rag_pipeline" in text
    assert "name: Handbook pipeline" in text


@pytest.fixture
def address() -> Iterator[str]:
    """An address that answers with the app, after a redirect."""

    def answer(asked: Asked) -> Answer:
        return (200, {}, WORKFLOW.encode()) if asked.path == "/app.yml" else (302, {"location": "/app.yml"}, b"")

    with loopback(answer) as server:
        yield f"{server.url}/moved"


def test_an_address_is_asked_through_the_guarded_client(
    dify: Dify, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = dify("app", "import", address, "--json")
    assert (refused.status, refused.result["code"]) == (1, "outbound_refused")
    monkeypatch.setenv("SSRF_ALLOWED_HOSTS", "127.0.0.1")
    assert dify("app", "validate", address, "--json").result["valid"]
    assert dify("app", "import", address, "--json").result["mode"] == "workflow"
