"""`dify kb eval --server`: a knowledge base of a running platform is scored over its Service API."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from .conftest import Home
from .running import Running

pytestmark = [pytest.mark.xdist_group("home"), pytest.mark.timeout(300)]

TEXTS = {
    "mars": "Mars is a red planet with two small moons.",
    "jupiter": "Jupiter is the largest planet and made of gas.",
    "sun": "The sun is a star that shines by fusion.",
}
SETTINGS = ("--setting", "own", "--setting", "semantic", "--setting", "full-text", "--setting", "weights")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three questions, of which one is longer than the API takes."""
    folder = tmp_path_factory.mktemp("labelled")
    passages = [json.dumps({"id": name, "text": text}) for name, text in TEXTS.items()]
    asked = {"1": "a red planet with moons", "2": "a star that shines", "3": "which planet is of gas? " * 20}
    (folder / "passages.jsonl").write_text("\n".join(passages))
    (folder / "queries.jsonl").write_text("\n".join(json.dumps({"id": id, "text": t}) for id, t in asked.items()))
    (folder / "qrels.tsv").write_text("1\tmars\t2\n1\tjupiter\t1\n2\tsun\t1\n3\tjupiter\t1\n")
    return folder


@pytest.fixture(scope="module")
def sky(home: Home, labelled: Path) -> str:
    """The id of a knowledge base with a document a passage."""
    made = home.place.dify("kb", "eval", "Sky", str(labelled), "--make", "--setting", "own")
    return str(made["dataset_id"])


@pytest.fixture(scope="module")
def key(home: Home) -> str:
    """A key for knowledge, made as a person makes one."""
    return dataset_key(home.up)


def dataset_key(up: Running) -> str:
    with up.client() as web:
        secret = base64.b64encode(b"at-least-8-with-1-digit").decode()
        login = web.post("/console/api/login", json={"email": "ada@example.org", "password": secret})
        assert login.status_code == 200, login.text
        headers = {"X-CSRF-Token": web.cookies["csrf_token"]}
        token: str = web.post("/console/api/datasets/api-keys", headers=headers).json()["token"]
    return token


def test_it_scores_what_the_same_questions_score_here(
    home: Home, sky: str, key: str, labelled: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "plot.svg"
    words = ("kb", "eval", "Sky", str(labelled), *SETTINGS, "--server", home.up.url)
    # A process without the data of the server, as on another machine; the key comes from the environment alone.
    there = home.place.call(*words, "--plot", str(plot), "--json", DIFY_API_KEY=key, DIFY_DATA=str(tmp_path / "none"))
    assert there.status == 0, there.out + there.err
    assert (there.result["dataset_id"], there.result["questions"], there.result["left_out"]) == (sky, 2, 1)
    short = home.place.dify("kb", "eval", "Sky", str(labelled), *SETTINGS, "--limit", "2")
    assert there.result["data"] == short["data"]
    assert {item["setting"]: item["measures"]["recall"]["mean"] for item in short["data"]}["full-text"] > 0
    assert plot.read_text().startswith("<svg")
    assert not (tmp_path / "none").exists()
    by_id = home.place.call("kb", "eval", sky, *words[3:], "--api-key", key)
    assert by_id.status == 0, by_id.out + by_id.err
    assert "Sky: 2 questions" in by_id.out
    assert "1 questions are too long" in by_id.out


def test_what_the_server_refuses_is_told(home: Home, sky: str, key: str, labelled: Path) -> None:
    words = ("kb", "eval", "Sky", str(labelled), "--server", f"{home.up.url}/v1/")
    wrong = home.place.refused(*words, "--api-key", "dataset-nobody")
    assert (wrong["code"], "401" in wrong["message"]) == ("server_error", True)
    assert "dataset-nobody" not in wrong["message"]
    absent = ("kb", "eval", "Nothing", *words[3:], "--api-key", key)
    assert home.place.refused(*absent)["code"] == "not_found"
    unknown = home.place.refused(*words, "--api-key", key, "--setting", "rerank:nobody/nothing")
    assert unknown["code"] == "server_error"
    away = home.place.refused(*words[:-1], "http://127.0.0.1:1", "--api-key", key)
    assert (away["code"], "127.0.0.1:1" in away["message"]) == ("server_error", True)
    assert home.place.refused(*words[:-1], "ftp://x", "--api-key", key)["code"] == "invalid_param"
    page = home.place.refused(*words[:-1], f"{home.up.url}/explore", "--api-key", key)
    assert page["code"] in ("server_error", "not_found")


def test_a_server_needs_a_key_and_is_not_filled(home: Home, labelled: Path) -> None:
    words = ("kb", "eval", "Sky", str(labelled), "--server", home.up.url, "--json")
    keyless = home.place.call(*words)
    assert (keyless.status, "DIFY_API_KEY" in keyless.result["message"]) == (2, True)
    assert home.place.call(*words, "--make", "--api-key", "dataset-x").status == 2
