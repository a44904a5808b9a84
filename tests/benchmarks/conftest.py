"""What measurements share: the default bundle, installed once from wheels of this checkout; a server's collector."""

from __future__ import annotations

import gc
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .figures import ROOT


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment of `pip install dify`; its interpreter is `bin/python`."""
    folder = tmp_path_factory.mktemp("bundle")
    wheels, venv = folder / "wheels", folder / "venv"
    python = venv / "bin" / "python"
    subprocess.run(["uv", "build", "--all-packages", "--wheel", "-q", "-o", wheels], cwd=ROOT, check=True)
    subprocess.run(["uv", "venv", "-q", venv], check=True)
    subprocess.run(["uv", "pip", "install", "-q", "--find-links", wheels, "--python", python, "dify"], check=True)
    return venv


@pytest.fixture
def server_collector() -> Iterator[None]:
    """The garbage collector as `dify serve` sets it."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()
