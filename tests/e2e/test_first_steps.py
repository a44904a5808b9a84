"""What a newcomer types, in order, on a machine with nothing but this: every command is a process beside `dify up`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import EMBEDDING, EXAMPLES, MODEL, Home
from .running import events

pytestmark = [pytest.mark.xdist_group("home"), pytest.mark.timeout(300)]


def test_it_is_alive_and_says_how_to_go_on(home: Home, order: dict[str, Any]) -> None:
    with home.up.client() as web:
        assert web.get("/health").json()["status"] == "ok"
        page = web.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "dify app import" in page.text
        assert web.get("/v1/openapi.json").json()["openapi"].startswith("3.1")
    second = home.place.refused("setup", "--email", "eve@example.org", "--password", "at-least-8-with-1-digit")
    assert second["code"] == "already_setup"


def test_a_provider_is_asked_before_it_is_kept(home: Home) -> None:
    assert home.added["status"] == "active"
    key, host = ("--credential", "openai_api_key=k"), f"{home.models.root}"
    again = home.place.dify("models", "add", "openai", *key, "--credential", f"openai_api_base={host}/v1")
    assert again["status"] == "active"  # with its /v1 as without it
    words = ("models", "add", "openai", *key, "-c", f"openai_api_base={host}", "--json")
    outside = home.place.call(*words, SSRF_ALLOWED_HOSTS="")
    assert outside.status == 1
    assert "SSRF_ALLOWED_HOSTS" in outside.result["message"]
    assert {item.path.split("/")[1] for item in home.models.requests} == {"v1"}


def test_models_are_listed_and_answer(home: Home) -> None:
    listed = home.place.dify("models", "list")
    defaults = listed["defaults"]
    assert (defaults["llm"], defaults["text-embedding"]) == (f"openai/{MODEL}", f"openai/{EMBEDDING}")
    (openai,) = [item for item in listed["providers"] if item["provider"] == "openai"]
    assert (openai["status"], MODEL in openai["models"]) == ("active", True)
    assert home.place.dify("models", "test", "--text", "REPLY:good morning")["answer"] == "good morning"
    assert home.place.dify("models", "test", "--type", "text-embedding")["dimension"] > 0


def test_documents_of_every_format_are_found(home: Home, handbook: dict[str, Any]) -> None:
    states = {item["name"]: item for item in handbook["documents"]}
    assert {Path(name).suffix for name in states} == {".csv", ".docx", ".html", ".md", ".pdf", ".txt", ".xlsx"}
    assert {item["indexing_status"] for item in states.values()} == {"completed"}
    assert all(item["segments"] > 0 for item in states.values())
    (listed,) = [item for item in home.place.dify("kb", "list")["data"] if item["id"] == handbook["id"]]
    assert listed["document_count"] == len(states)
    hits = home.place.dify("kb", "search", "Handbook", "warranty of a robot in months", "--top-k", "3")["data"]
    assert len(hits) == 3
    assert "warranty.pdf" in {hit["document_name"] for hit in hits}


def test_a_knowledge_base_goes_with_its_documents(home: Home) -> None:
    made = home.place.dify("kb", "create", "Notes", "--economy")
    home.place.dify("kb", "add", made["id"], str(EXAMPLES / "documents" / "robots.txt"))
    assert home.place.dify("kb", "delete", "Notes", "--yes")["deleted"]
    assert home.place.refused("kb", "search", "Notes", "robots")["code"] == "not_found"


def test_a_chat_streams_its_answer_with_citations(home: Home, chat_key: str) -> None:
    body = {"inputs": {}, "query": "How long is the warranty?", "user": "ada", "response_mode": "streaming"}
    with home.up.client(chat_key) as web, web.stream("POST", "/v1/chat-messages", json=body) as answer:
        assert answer.status_code == 200
        found = list(events(answer.iter_lines()))
    names = [item["event"] for item in found]
    assert (names[0], names[-1]) == ("workflow_started", "message_end")
    assert "workflow_finished" in names
    text = "".join(item["answer"] for item in found if item["event"] == "message")
    sources = found[-1]["metadata"]["retriever_resources"]
    assert [item["position"] for item in sources] == [1, 2]
    assert text.startswith("ECHO(Text:")
    assert sources[0]["content"][:40] in text  # what is cited is what the model read
    with home.up.client(chat_key) as web:
        stored = web.get("/v1/messages", params={"conversation_id": found[-1]["conversation_id"], "user": "ada"}).json()
    assert stored["data"][0]["answer"] == text
    assert [item["segment_id"] for item in stored["data"][0]["retriever_resources"]] == [
        item["segment_id"] for item in sources
    ]


def test_an_app_is_listed_exported_and_run(home: Home, order: dict[str, Any]) -> None:
    listed = home.place.dify("app", "list")["data"]
    assert order["app_id"] in {item["id"] for item in listed}
    exported = yaml.safe_load(home.place.dify("app", "export", order["app_id"])["data"])
    original = yaml.safe_load((EXAMPLES / "order-workflow.yml").read_text())
    assert exported["app"]["name"] == original["app"]["name"]
    assert len(exported["workflow"]["graph"]["nodes"]) == len(original["workflow"]["graph"]["nodes"])
    ran = home.place.dify("app", "run", order["app_id"], "-i", "part=wheel motor", "-i", "amount=3")
    assert (ran["status"], ran["outputs"]["total"], ran["outputs"]["needs_approval"]) == ("succeeded", 720, True)
    body = {"inputs": {"part": "gripper pad", "amount": 2}, "user": "ada"}
    with home.up.client(order["api_key"]) as web:
        answer = web.post("/v1/workflows/run", json=body).json()["data"]
    assert (answer["status"], answer["outputs"]["text"]) == ("succeeded", "Ordered 2 x gripper pad for 36 euros.")


def test_a_file_runs_without_a_server(home: Home) -> None:
    words = ("run", str(EXAMPLES / "order-workflow.yml"), "-i", "part=gripper pad", "-i", "amount=2")
    done = home.place.call(*words, "--json")
    assert done.status == 0, done.out + done.err
    *flow, last = done.lines
    assert [flow[0]["event"], flow[-1]["event"]] == ["workflow_started", "workflow_finished"]
    assert (last["status"], last["outputs"]["total"]) == ("succeeded", 36)
    failed = home.place.call(*words[:2], "-i", "part=moon", "-i", "amount=2", "--json")
    assert (failed.status, failed.result["code"]) == (1, "invalid_param")
    assert "part" in failed.result["message"].lower()


def test_what_is_installed_is_shown_and_works(home: Home) -> None:
    offers = home.place.dify("plugins")["plugins"]
    assert {("vdb", "sqlite"), ("nodes", "llm"), ("providers", "openai")} <= {(i["kind"], i["name"]) for i in offers}
    (shown,) = home.place.dify("plugins", "show", "openai")["plugins"]
    assert "openai_api_key" in json.dumps(shown)
    checks = home.place.call("doctor", "--json")
    (found,) = [line["checks"] for line in checks.lines if "checks" in line]
    bad = [item for item in found if not item["ok"]]
    assert [item["name"] for item in bad] in ([], ["code sandbox"]), bad  # some machines have no walls for the sandbox
    assert (checks.status, "code" in checks.result) == ((1, True) if bad else (0, False))
    (queue,) = [item["found"] for item in found if item["name"] == "queue and bus"]
    assert "a worker answers" in queue
    assert home.place.dify("db", "check") == {"differences": []}
