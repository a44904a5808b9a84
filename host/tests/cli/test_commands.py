"""The commands do on a data folder what they say, one after the other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Dify


def test_the_database_is_upgraded_once_and_checked(dify: Dify) -> None:
    before = dify("db", "check", "--json")
    assert (before.status, before.result["code"]) == (1, "schema_differs")
    first, second = dify("db", "upgrade", "--json").result, dify("db", "upgrade", "--json").result
    assert first["before"] is None
    assert second["before"] == second["revision"] == first["revision"]
    assert dify("db", "check", "--json").result == {"differences": []}


def test_the_first_account_is_made_once(dify: Dify) -> None:
    made = dify("setup", "--email", "me@example.org", "--password", "hello-2-you", "--json")
    assert made.result["email"] == "me@example.org"
    again = dify("setup", "--email", "you@example.org", "--password", "hello-2-you", "--json")
    assert (again.status, again.result["code"]) == (1, "already_setup")
    assert dify("setup", "--email", "me@example.org", "--password", "short", "--json").status == 1


def test_a_file_runs_without_a_server_and_leaves_nothing(dify: Dify, workflow: str) -> None:
    done = dify("run", workflow, "-i", "who=Ada", "-i", "times=3", "--json")
    assert done.status == 0
    assert (done.lines[0]["event"], done.lines[-2]["event"]) == ("workflow_started", "workflow_finished")
    assert done.result["status"] == "succeeded"
    assert done.result["outputs"] == {"greeting": "Hello Ada! 3"}
    said = dify("run", workflow, "-i", "who=Ada", "-i", "times=3").out
    assert said.startswith("Hello Ada! 3\n")
    assert said.count("Hello Ada! 3") == 1  # what was said in one text needs no table
    assert dify("app", "list", "--json").result["total"] == 0
    missing = dify("run", workflow, "--json")
    assert (missing.status, missing.result["code"]) == (1, "invalid_param")
    assert dify("run", workflow, "-i", "who", "--json").status == 1
    assert dify("run", workflow, "-i", "times=many", "-i", "who=a", "--json").status == 1


def test_an_app_goes_in_runs_and_comes_out(dify: Dify, workflow: str, tmp_path: Path) -> None:
    made = dify("app", "import", workflow, "--publish", "--key", "--name", "Greeter", "--json").result
    assert made["mode"] == "workflow"
    assert made["api_key"].startswith("app-")
    (listed,) = dify("app", "list", "--json").result["data"]
    assert (listed["id"], listed["name"]) == (made["app_id"], "Greeter")
    assert "Greeter" in dify("app", "list").out
    ran = dify("app", "run", made["app_id"], "-i", "who=Ada", "--json")
    assert ran.result["outputs"]["greeting"].startswith("Hello Ada!")
    out = tmp_path / "out.yml"
    dify("app", "export", made["app_id"], "-o", str(out))
    copy = dify("app", "import", str(out), "--json").result
    assert copy["app_id"] != made["app_id"]
    assert dify("app", "run", copy["app_id"], "-i", "who=Ada", "--json").status == 1  # not published


def test_a_knowledge_base_is_made_filled_searched_and_deleted(dify: Dify, tmp_path: Path) -> None:
    text = tmp_path / "planets.md"
    text.write_text("# Planets\n\nJupiter is the largest planet.\n\nMercury is the smallest planet.\n")
    made = dify("kb", "create", "Sky", "--economy", "--json").result
    added = dify("kb", "add", "Sky", str(text), "--json")
    assert added.status == 0, added.out
    assert "\n\n" not in dify("kb", "add", "Sky", str(text)).out  # bars are for terminals
    assert [item["indexing_status"] for item in added.result["documents"]] == ["completed"]
    assert dify("kb", "list", "--json").result["data"][0]["document_count"] == 2
    hits = dify("kb", "search", made["id"], "Jupiter", "--json").result["data"]
    assert "Jupiter" in hits[0]["content"]
    assert hits[0]["document_name"] == "planets.md"
    assert "Jupiter" in dify("kb", "search", "Sky", "Jupiter").out
    nameless = dify("kb", "create", "", "--json")
    assert (nameless.status, nameless.result["code"]) == (1, "invalid_param")
    assert dify("kb", "delete", "Sky", "--yes", "--json").result["deleted"]
    gone = dify("kb", "search", "Sky", "Jupiter", "--json")
    assert (gone.status, gone.result["code"]) == (1, "not_found")


def test_a_knowledge_base_is_scored_with_a_labelled_set(dify: Dify, tmp_path: Path) -> None:
    texts = {"mars": "Mars is a red planet.", "jupiter": "Jupiter is the largest planet.", "sun": "The sun is a star."}
    dify("kb", "create", "Sky", "--economy")
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    assert dify("kb", "add", "Sky", *(str(tmp_path / f"{name}.txt") for name in texts)).status == 0
    with (tmp_path / "passages.jsonl").open("w") as passages:
        passages.writelines(json.dumps({"id": name, "text": text}) + "\n" for name, text in texts.items())
    (tmp_path / "queries.jsonl").write_text('{"id": "1", "text": "red planet"}\n{"id": "2", "text": "star"}\n')
    (tmp_path / "qrels.tsv").write_text("1\tmars\t2\n1\tjupiter\t1\n2\tsun\t1\n")
    plot = tmp_path / "plot.svg"
    settings = ["--setting", "own", "--setting", "hybrid"]
    found = dify("kb", "eval", "Sky", str(tmp_path), *settings, "--plot", str(plot), "--json")
    assert found.status == 0, found.out
    assert found.result["questions"] == 2
    for item in found.result["data"]:
        assert item["measures"]["ndcg"]["mean"] == 1.0
    assert plot.read_text().startswith("<svg")
    shown = dify("kb", "eval", "Sky", str(tmp_path), *settings).out
    assert "nDCG@10" in shown
    assert "recall@10" in shown
    assert dify("kb", "eval", "Sky", str(tmp_path), "--setting", "magic", "--json").result["code"] == "invalid_param"
    (tmp_path / "other.txt").write_text("A comet has a tail of dust.")
    dify("kb", "create", "Dust", "--economy")
    dify("kb", "add", "Dust", str(tmp_path / "other.txt"))
    assert dify("kb", "search", "Dust", "comet", "--setting", "magic", "--json").result["code"] == "invalid_param"
    assert dify("kb", "search", "Dust", "comet", "--setting", '{"search_method": "keyword_search"}').status == 0
    # Whatever settings a knowledge base has, a search with them works.
    assert dify("kb", "search", "Dust", "comet", "--json").result["data"][0]["document_name"] == "other.txt"
    stranger = dify("kb", "eval", "Dust", str(tmp_path), "--setting", "own", "--json").result
    assert stranger["code"] == "invalid_param"
    assert "passage of the set" in stranger["message"]


def test_models_are_listed_and_defaults_refused_for_what_is_not_there(dify: Dify) -> None:
    providers = {item["provider"] for item in dify("models", "list", "--json").result["providers"]}
    assert "openai" in providers
    assert dify("models", "default", "llm", "openai", "--json").status == 1
    assert dify("models", "default", "llm", "openai/none", "--json").result["code"] == "provider_not_initialize"
    assert dify("models", "add", "openai", "-c", "colour=red", "--json").result["code"] == "invalid_param"


def test_plugins_are_listed_and_described(dify: Dify) -> None:
    listed = dify("plugins", "--json").result["plugins"]
    assert {("vdb", "sqlite"), ("nodes", "llm")} <= {(item["kind"], item["name"]) for item in listed}
    (vdb,) = dify("plugins", "show", "vdb:sqlite", "--json").result["plugins"]
    assert all({"variable", "type", "default", "description"} <= set(item) for item in vdb["settings"])
    (node,) = dify("plugins", "show", "http-request", "--json").result["plugins"]
    assert any("properties" in str(value) for value in node.values())
    (provider,) = dify("plugins", "show", "openai", "--json").result["plugins"]
    assert "openai_api_key" in {item["variable"] for item in provider["credentials"]}
    assert dify("plugins", "show", "nobody", "--json").result["code"] == "plugin_not_found"


@pytest.mark.parametrize("kind", ["nodes", "tools"])
def test_a_new_plugin_passes_its_own_tests(dify: Dify, tmp_path: Path, kind: str) -> None:
    folder = dify("plugins", "new", kind, "my-own", "--into", str(tmp_path), "--json").result["folder"]
    assert dify("plugins", "new", kind, "my-own", "--into", str(tmp_path), "--json").result["code"] == "conflict"
    assert dify("plugins", "new", kind, "../x", "--into", str(tmp_path), "--json").result["code"] == "invalid_param"
    command = [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "-o", "pythonpath=src"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_doctor_finds_what_is_wrong_and_then_nothing(dify: Dify) -> None:
    sick = dify("doctor", "--json")
    assert sick.status == 1
    checks = {item["name"]: item for item in sick.lines[0]["checks"]}
    for name in ("database", "indexing"):
        assert "no tables yet" in checks[name]["found"]
        assert checks[name]["advice"].startswith("Run `dify db upgrade`")
    assert sick.result["code"] == "checks_failed"
    dify("db", "upgrade")
    well = dify("doctor", "--json").lines[0]["checks"]
    # A machine may refuse the jail; everything else has to work.
    assert [item["name"] for item in well if not item["ok"]] in ([], ["code sandbox"])


NODES = ["{id: start, data: {type: start, title: Start, variables: []}}", "{id: end, data: {type: end, outputs: []}}"]
EDGE = "{source: start, target: end}"


def app_text(*more: str, edges: tuple[str, ...] = (EDGE,)) -> str:
    lines = ["kind: app", "version: 0.5.0", "app: {name: Bad, mode: workflow}", "workflow:", "  graph:", "    nodes:"]
    listed = [f"    - {item}" for item in (*NODES, *more)]
    return "\n".join([*lines, *listed, "    edges:", *(f"    - {item}" for item in edges)])


def test_an_app_that_cannot_be_is_refused_by_place_and_leaves_nothing(dify: Dify, tmp_path: Path) -> None:
    step = "{id: step, data: {type: template-transform, title: Step, template: x, variables: []}}"
    circle = (EDGE, "{source: start, target: step}", "{source: step, target: step}")
    cases: list[tuple[bytes, str, str]] = [
        (app_text(step, edges=circle).encode(), "invalid_graph", "step"),
        (app_text("{id: odd, data: {type: 9}}").encode(), "invalid_graph", "odd"),
        (b"app: {name: x\n  - : [", "invalid_param", "line 2"),
        (b"- 1\n", "invalid_param", "mapping"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "invalid_param", "UTF-8"),
        (b"a" * 20_000_000, "request_entity_too_large", "20000000"),
    ]
    file = tmp_path / "bad.yml"
    for text, code, place in cases:
        file.write_bytes(text)
        for command in (("app", "import", str(file)), ("run", str(file))):
            done = dify(*command, "--json")
            assert (done.status, done.result["code"]) == (1, code), done.out
            assert place in done.result["message"]
    assert dify("app", "list", "--json").result["total"] == 0


def test_an_app_that_needs_a_plugin_is_kept_and_does_not_run(dify: Dify, tmp_path: Path) -> None:
    file = tmp_path / "far.yml"
    far = "{id: far, data: {type: teleport, title: Far}}"
    file.write_text(app_text(far, edges=(EDGE, "{source: start, target: far}")))
    kept = dify("app", "import", str(file), "--json")
    assert kept.status == 0, kept.out
    assert "teleport" in str(kept.result["missing"])
    refused = dify("run", str(file), "--json")
    assert (refused.status, refused.result["code"]) == (1, "invalid_graph"), refused.out
    assert "teleport" in refused.result["message"]


def test_a_program_named_as_a_text_is_no_document(dify: Dify, tmp_path: Path) -> None:
    dify("kb", "create", "Texts", "--economy")
    for name, content, code in (
        ("a.txt", b"\x7fELF\x02\x01\x01" + bytes(64), "unsupported_file_type"),
        ("b.pdf", b"MZ\x90\x00" + bytes(200), "unsupported_file_type"),
        ("c.txt", b"a" * 16_000_000, "file_too_large"),
    ):
        (tmp_path / name).write_bytes(content)
        done = dify("kb", "add", "Texts", str(tmp_path / name), "--json")
        assert (done.status, done.result["code"]) == (1, code), done.out
        assert name in done.result["message"]
    assert dify("kb", "list", "--json").result["data"][0]["document_count"] == 0
