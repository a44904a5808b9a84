"""A store's own wheel beside the smallest bundle is all that it takes: its name in VECTOR_STORE, and its settings.

Run by `nox -s wheels`, which names the wheels just built in DIFY_BUILT. The engines come from this environment, the
platform and the store from an empty one.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.engines import STORES, engine_of

pytestmark = pytest.mark.timeout(600)

BUNDLED = "sqlite"


@pytest.mark.parametrize("store", [store for store in STORES if store != BUNDLED])
def test_a_store_works_by_its_name_alone(store: str, tmp_path: Path) -> None:
    folder = tmp_path / "environment"
    subprocess.run(["uv", "venv", "-q", str(folder)], check=True)
    wanted = ["--constraints", os.environ["DIFY_BUILT"], "dify", f"dify-vdb-{store}"]
    subprocess.run(["uv", "pip", "install", "-q", "--python", str(folder / "bin" / "python"), *wanted], check=True)
    with engine_of(store, tmp_path) as engine:
        env = {
            "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "DIFY_DATA": str(tmp_path / "data"),
            "VECTOR_STORE": store,
            **engine.env,
        }

        def dify(*arguments: str) -> list[dict[str, Any]]:
            command = [str(folder / "bin" / "dify"), *arguments, "--json"]
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
            assert done.stdout, done.stderr
            return [json.loads(line) for line in done.stdout.splitlines()]

        dify("db", "upgrade")
        checks = {check["name"]: check for check in dify("doctor")[0]["checks"]}
        assert checks["vector store"]["ok"], checks["vector store"]
        assert checks["vector store"]["found"].startswith(f"{store}: ")
        assert checks["plugins"]["ok"], checks["plugins"]
        installed = {item["distribution"] for item in dify("plugins")[-1]["plugins"] if item["kind"] == "vdb"}
        assert installed == {f"dify-vdb-{BUNDLED}", f"dify-vdb-{store}"}
