"""The house keeps its shape: names agree, files stay small, nobody imports across walls."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from dify_kernel.proof import read_proofs

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
KINDS = {
    "vdb": "dify.vdb",
    "storage": "dify.storage",
    "providers": "dify.providers",
    "nodes": "dify.nodes",
    "auth": "dify.auth",
    "tools": "dify.tools",
    "datasources": "dify.datasources",
    "hooks": "dify.hooks",
}
SOURCES = sorted(
    path for folder in ("kernel", "host", "plugins", "packaging", "tests") for path in (ROOT / folder).rglob("*.py")
)
HEADINGS = ["What", "Install", "Configure", "Capabilities", "Live tests", "Limits"]


def project(plugin: Path) -> dict[str, object]:
    return tomllib.loads((plugin / "pyproject.toml").read_text())["project"]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_folder_distribution_module_and_entry_point_agree(plugin: Path) -> None:
    kind, _, rest = plugin.name.partition("_")
    data = project(plugin)
    module = f"dify_{plugin.name}"
    assert data["name"] == f"dify-{plugin.name.replace('_', '-')}"
    assert (plugin / "src" / module / "py.typed").is_file()
    groups = data["entry-points"]
    assert list(groups) == [KINDS[kind]]
    entries = groups[KINDS[kind]]
    assert set(entries.values()) == {f"{module}.plugin"}
    if kind in ("vdb", "providers", "auth"):
        assert rest.replace("_", "-") in entries
    assert f"dify-contract-{kind}-1" in data["keywords"]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugins_project_file_is_short_and_configures_no_tool(plugin: Path) -> None:
    text = (plugin / "pyproject.toml").read_text()
    assert len(text.splitlines()) <= 45
    assert "tool" not in tomllib.loads(text)
    kernel = re.compile(r"dify-kernel(\[[a-z,]+\])?>=0\.1,<1")
    assert any(kernel.fullmatch(dependency) for dependency in project(plugin)["dependencies"])


@pytest.mark.parametrize(
    "plugin", [path for path in PLUGINS if path.name.startswith(("vdb_", "storage_"))], ids=lambda path: path.name
)
def test_a_store_says_against_what_it_was_proven(plugin: Path) -> None:
    proofs = read_proofs(plugin / "src" / f"dify_{plugin.name}")
    assert proofs, "run its suite with `-m proof --write-proof`"
    assert [proven for proven in proofs if proven.failed or not proven.passed] == []


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugins_readme_has_the_house_headings(plugin: Path) -> None:
    found = re.findall(r"^## (.+)$", (plugin / "README.md").read_text(), re.MULTILINE)
    assert found == HEADINGS


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_imports_neither_the_host_nor_another_plugin(plugin: Path) -> None:
    own = f"dify_{plugin.name}"
    for path in (plugin / "src").rglob("*.py"):
        for name in imported(path):
            package = name.partition(".")[0]
            assert not package.startswith("dify_") or package in (own, "dify_kernel"), f"{named(path)} imports {name}"


@pytest.mark.parametrize("folder", ["kernel", "host"])
def test_kernel_and_host_import_no_plugin(folder: str) -> None:
    plugins = {f"dify_{plugin.name}" for plugin in PLUGINS}
    for path in (ROOT / folder / "src").rglob("*.py"):
        assert plugins.isdisjoint(name.partition(".")[0] for name in imported(path)), named(path)


def test_no_vendor_stands_in_kernel_or_host() -> None:
    """Names of stores and vendors belong to their plugins; a default setting is the one place for a name."""
    vendors = re.compile(
        r"\b(qdrant|milvus|weaviate|pgvector|elasticsearch|chroma|anthropic|cohere|gemini|ollama)\b", re.I
    )
    for folder in ("kernel", "host"):
        for path in (ROOT / folder / "src").rglob("*.py"):
            found = [line for line in code_of(path).splitlines() if vendors.search(line)]
            assert not found, f"{named(path)}: {found}"


def test_no_file_is_over_500_lines_and_no_function_over_60() -> None:
    long_files = [named(path) for path in SOURCES if len(path.read_text().splitlines()) > 500]
    assert long_files == []
    long_functions = [
        f"{named(path)}:{node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > 60
        and "/db/migrations/" not in str(path)
    ]
    assert long_functions == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [
        named(path) for path in SOURCES if path.stem in ("utils", "util", "helpers", "helper", "common", "misc")
    ] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        named(path) for path in SOURCES if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_every_member_is_a_source_of_the_workspace() -> None:
    sources = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["sources"])
    members = {
        project(path.parent)["name"]
        for pattern in ("kernel", "host", "plugins/*", "packaging/*")
        for path in ROOT.glob(f"{pattern}/pyproject.toml")
    }
    assert sources == members


def imported(path: Path) -> list[str]:
    """Every absolute module name that a file imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return names


def code_of(path: Path) -> str:
    """The identifiers and strings of a file, docstrings and comments left out."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
