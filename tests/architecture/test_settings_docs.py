"""The settings page and `.env.example` say what the structs say, and the example means the defaults."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from dify_host.knowledge.settings import KnowledgeSettings
from dify_host.net.client import OutboundSettings
from dify_host.settings import HostSettings
from dify_kernel.settings import load_settings, read_env_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script that writes both files."""
    spec = importlib.util.spec_from_file_location("settings_table", ROOT / "packaging" / "settings_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_written_files_are_fresh(script: ModuleType) -> None:
    stale = [path.name for path, make in script.FILES.items() if path.read_text("utf-8") != make()]
    assert stale == [], "run: python packaging/settings_table.py --write"


def test_every_variable_is_listed_once(script: ModuleType) -> None:
    variables = [info.variable for section in script.sections() for info in section.settings]
    assert len(variables) == len(set(variables))
    assert {"DB_TYPE", "SSRF_ALLOWED_HOSTS", "VECTOR_INDEX_NAME_PREFIX"} < set(variables)
    assert all(section.title for section in script.sections())


def test_the_example_changes_nothing_when_every_line_of_it_counts(tmp_path: Path) -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    assert all(line.startswith("#") or not line for line in lines)
    path = tmp_path / ".env"
    path.write_text("\n".join(line[1:] for line in lines if line.startswith("#") and not line.startswith("# ")))
    env = read_env_file(path)
    assert len(env) > 80
    for struct in (HostSettings, OutboundSettings, KnowledgeSettings):
        assert load_settings(struct, env) == struct()
