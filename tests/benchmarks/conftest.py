"""The default bundle, installed from wheels of this checkout into an empty environment, once for all who measure it."""

from __future__ import annotations

import subprocess
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
