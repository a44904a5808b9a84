"""The tables of plugins and of stores are those that their project files, classes and proofs give."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plugin_table() -> ModuleType:
    return _module("plugin_table")


def _module(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "packaging" / f"{name}.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_plugins_is_up_to_date(plugin_table: ModuleType) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert text == plugin_table.filled(text), "run `python packaging/plugin_table.py --write`"


def test_the_table_of_stores_is_up_to_date() -> None:
    table = _module("store_table")
    text = table.PAGE.read_text("utf-8")
    assert text == table.filled(text), "run `python packaging/store_table.py --write`"


def test_the_table_has_every_plugin_once(plugin_table: ModuleType) -> None:
    rows = plugin_table.table().splitlines()[2:]
    folders = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))
    assert sorted(row.partition("(plugins/")[2].partition(")")[0] for row in rows) == folders


def test_a_text_without_markers_is_refused(plugin_table: ModuleType) -> None:
    for text in ("", plugin_table.BEGIN, f"{plugin_table.END}{plugin_table.BEGIN}"):
        with pytest.raises(ValueError, match="plugins:begin"):
            plugin_table.filled(text)


def test_what_is_around_the_table_stays(plugin_table: ModuleType) -> None:
    text = plugin_table.filled(f"before\n{plugin_table.BEGIN}STALE{plugin_table.END}\nafter\n")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "STALE" not in text
    assert plugin_table.filled(text) == text
