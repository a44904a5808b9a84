"""A bucket of a real S3 server as a source of documents, from its key to the answers, with real processes."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import httpx
import opendal
import pytest
import yaml
from dify_kernel.testing.server import Server, program

from .conftest import EXAMPLES, Home
from .running import events, wait_for

pytestmark = [pytest.mark.xdist_group("home"), pytest.mark.timeout(300)]

BUCKET, KEY, SECRET = "manuals", "tests-key-0001", "tests-secret-8d1f"
SOURCES = "/auth/plugin/datasource/langgenius/aws_s3_storage/aws_s3_storage"
OBJECTS = {
    "pumps/blue pump.md": b"# Blue pump\n\nThe blue pump moves nine litres a minute.",
    "pumps/green pump.txt": b"The green pump is silent.",
    "readme.txt": b"Manuals of all pumps.",
}
RULE = {
    "mode": "custom",
    "rules": {"pre_processing_rules": [], "segmentation": {"separator": "###", "max_tokens": 500}},
}


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """SeaweedFS with its S3 door, which checks signatures, and the bucket."""
    folder = tmp_path_factory.mktemp("weed")
    identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    def command(it: Server) -> list[str]:
        doors = zip(("s3.port", "master.port", "volume.port", "filer.port"), it.ports, strict=True)
        return [
            *(program("weed"), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-volume.max=10"),
            *("-s3", f"-s3.config={folder}/s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *(f"-{name}={port}" for name, port in doors),
        ]

    with Server(command, folder=folder, ports=4, twin=10_000, ready=fill, seconds=40) as server:
        yield server


def fill(server: Server) -> None:
    address = f"http://127.0.0.1:{server.ports[3]}/buckets/{BUCKET}/made"
    urllib.request.urlopen(urllib.request.Request(address, b"x", method="PUT"), timeout=5).close()
    bucket = bucket_of(server)
    bucket.delete("made")
    for path, data in OBJECTS.items():
        bucket.write(path, data)


def bucket_of(server: Server) -> opendal.Operator:
    options = {"endpoint": f"http://127.0.0.1:{server.port}", "region": "us-east-1", "bucket": BUCKET}
    return opendal.Operator("s3", access_key_id=KEY, secret_access_key=SECRET, **options)


class Console:
    """The console of the running platform, as its owner."""

    def __init__(self, web: httpx.Client) -> None:
        self.web = web
        secret = base64.b64encode(b"at-least-8-with-1-digit").decode()
        login = web.post("/console/api/login", json={"email": "ada@example.org", "password": secret})
        assert login.status_code == 200, login.text
        web.headers["X-CSRF-Token"] = web.cookies["csrf_token"]

    def __call__(self, method: str, path: str, json: Any = None) -> httpx.Response:
        return self.web.request(method, f"/console/api{path}", json=json)

    def ok(self, method: str, path: str, json: Any = None) -> Any:
        answer = self(method, path, json)
        assert answer.is_success, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def ended(self, dataset_id: str) -> dict[str, dict[str, Any]]:
        """The documents of a knowledge base by name, once none is being indexed."""
        found: dict[str, dict[str, Any]] = {}

        def done() -> bool:
            data = self.ok("GET", f"/datasets/{dataset_id}/documents")["data"]
            found.clear()
            found.update({item["name"]: item for item in data})
            return all(item["indexing_status"] in ("completed", "error") for item in data)

        wait_for(done)
        return found

    def segments(self, dataset_id: str, document_id: str) -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = self.ok("GET", f"/datasets/{dataset_id}/documents/{document_id}/segments")["data"]
        return data


@pytest.fixture(scope="module")
def console(home: Home) -> Iterator[Console]:
    with home.up.client() as web:
        yield Console(web)


@pytest.fixture(scope="module")
def credential_id(console: Console, weed: Server) -> str:
    """The key of the bucket, which the platform has checked with the server."""
    form = {"access_key_id": KEY, "secret_access_key": SECRET, "endpoint_url": f"http://127.0.0.1:{weed.port}"}
    console.ok("POST", SOURCES, {"credentials": form})
    [kept] = console.ok("GET", SOURCES)["result"]
    assert SECRET not in json.dumps(kept)
    return str(kept["id"])


def test_a_private_address_and_a_wrong_key_are_refused(console: Console, weed: Server) -> None:
    form = {"access_key_id": KEY, "secret_access_key": SECRET}
    for address in (f"http://127.0.0.2:{weed.port}", f"http://localhost:{weed.port}", "http://169.254.169.254"):
        refused = console("POST", SOURCES, {"credentials": form | {"endpoint_url": address}})
        assert refused.status_code == 400, (address, refused.text)
        assert "SSRF_ALLOWED_HOSTS" in refused.json()["message"]
    wrong = form | {"secret_access_key": "wrong-secret", "endpoint_url": f"http://127.0.0.1:{weed.port}"}
    refused = console("POST", SOURCES, {"credentials": wrong})
    assert (refused.status_code, "403" in refused.json()["message"]) == (400, True)
    open_webdav = {"base_url": f"http://127.0.0.2:{weed.port}"}
    refused = console("POST", "/auth/plugin/datasource/webdav", {"credentials": open_webdav})
    assert "SSRF_ALLOWED_HOSTS" in refused.json()["message"]


def test_chosen_files_become_documents_and_are_read_anew(console: Console, weed: Server, credential_id: str) -> None:
    path, place = "/online-drive/pre-import/files", {"credential_id": credential_id}
    [bucket] = console.ok("POST", path, place)["files"]
    assert (bucket["id"], bucket["type"]) == (BUCKET, "bucket")
    top = console.ok("POST", path, place | {"bucket": BUCKET})["files"]
    assert [(item["id"], item["type"]) for item in top] == [("pumps/", "folder"), ("readme.txt", "file")]
    inside = console.ok("POST", path, place | {"bucket": BUCKET, "prefix": "pumps/"})["files"]
    drive = {**place, "bucket": BUCKET, "files": [{"id": item["id"], "name": item["name"]} for item in inside]}
    source = {"info_list": {"data_source_type": "online_drive", "online_drive_info_list": [drive]}}
    body = {"data_source": source, "indexing_technique": "economy", "process_rule": RULE, "doc_form": "text_model"}
    base = console.ok("POST", "/datasets/init", body)["dataset"]["id"]
    documents = console.ended(base)
    assert {name: item["indexing_status"] for name, item in documents.items()} == {
        "blue pump.md": "completed",
        "green pump.txt": "completed",
    }
    asked = {
        "query": "litres a minute",
        "retrieval_model": {"search_method": "keyword_search", "reranking_enable": False},
    }
    asked["retrieval_model"] |= {"top_k": 1, "score_threshold_enabled": False}
    [hit] = console.ok("POST", f"/datasets/{base}/hit-testing", asked)["records"]
    assert "nine litres" in hit["segment"]["content"]

    blue, green = documents["blue pump.md"]["id"], documents["green pump.txt"]["id"]
    before = console.segments(base, green)
    bucket_of(weed).write("pumps/blue pump.md", b"The blue pump moves ten litres a minute.")
    console.ok("GET", f"/datasets/{base}/online-drive/sync")
    assert console.ended(base)["blue pump.md"]["indexing_status"] == "completed"
    assert [item["content"] for item in console.segments(base, blue)] == ["The blue pump moves ten litres a minute."]
    assert console.segments(base, green) == before
    bucket_of(weed).delete("pumps/blue pump.md")
    console.ok("GET", f"/datasets/{base}/documents/{blue}/online-drive/sync")
    ended = console.ended(base)["blue pump.md"]
    assert (ended["indexing_status"], "404" in ended["error"]) == ("error", True)


def test_a_pipeline_browses_the_buckets_and_reads_a_file(console: Console, credential_id: str) -> None:
    pipeline = yaml.safe_load((EXAMPLES / "handbook-pipeline.yml").read_text())
    for node in pipeline["workflow"]["graph"]["nodes"]:
        if node["id"] == "file":
            node["data"] |= {"provider_type": "online_drive", "plugin_id": "langgenius/aws_s3_storage"}
            node["data"] |= {"provider_name": "aws_s3_storage", "datasource_name": "aws_s3_storage"}
    made = console.ok(
        "POST", "/rag/pipelines/imports", {"mode": "yaml-content", "yaml_content": yaml.safe_dump(pipeline)}
    )
    path = f"/rag/pipelines/{made['pipeline_id']}/workflows"
    console.ok("POST", f"{path}/publish", {})

    def browse(**inputs: str) -> list[dict[str, Any]]:
        body = {"inputs": inputs, "datasource_type": "online_drive", "credential_id": credential_id}
        answer = console("POST", f"{path}/published/datasource/nodes/file/run", body)
        [end] = events(iter(answer.text.splitlines()))
        data: list[dict[str, Any]] = end["data"]
        return data

    [bucket] = browse()
    assert (bucket["bucket"], bucket["files"]) == (BUCKET, [])
    [folder] = browse(bucket=BUCKET, prefix="pumps/")
    green = next(item for item in folder["files"] if item["name"] == "green pump.txt")
    item = {**green, "bucket": BUCKET, "credential_id": credential_id}
    start = {"datasource_type": "online_drive", "datasource_info_list": [item], "start_node_id": "file"}
    body = {"inputs": {"delimiter": "\\n\\n", "max_chunk_length": 200}, **start, "response_mode": "blocking"}
    [document] = console.ok("POST", f"{path}/published/run", body)["documents"]
    assert console.ended(made["dataset_id"])[green["name"]]["indexing_status"] == "completed"
    [segment] = console.segments(made["dataset_id"], document["id"])
    assert segment["content"] == "The green pump is silent."
