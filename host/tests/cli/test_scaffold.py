"""A new plugin of every kind keeps the rules of the house, passes its own tests, and installs as a wheel."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from dify_host.cli.scaffold import KINDS, folder_name, next_command, scaffold
from dify_kernel.errors import BadInput, Conflict

NAME = "acme-two"
RULES = Path(__file__).parents[3] / "tests" / "architecture"


def rules(name: str) -> ModuleType:
    """A module of architecture tests, to call what it says on another folder."""
    spec = spec_from_file_location(f"rules_{name}", RULES / f"{name}.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One package of every kind, in folders that are no part of this workspace."""
    folder = tmp_path_factory.mktemp("plugins")
    for kind in KINDS:
        scaffold(kind, NAME, folder)
    return {kind: folder / folder_name(kind, NAME) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_keeps_the_rules_of_the_house(packages: dict[str, Path], kind: str) -> None:
    layout, package = rules("test_layout"), packages[kind]
    layout.test_folder_distribution_module_and_entry_point_agree(package)
    layout.test_a_plugins_project_file_is_short_and_configures_no_tool(package)
    layout.test_a_plugins_readme_has_the_house_headings(package)
    layout.test_a_plugin_imports_neither_the_host_nor_another_plugin(package)
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    module = f"src/dify_{package.name}"
    own = {f"{module}/{name}" for name in ("__init__.py", "plugin.py", "settings.py", "py.typed")}
    assert {"pyproject.toml", "README.md", "tests/conftest.py", "tests/test_contract.py"} | own < files


@pytest.mark.parametrize("kind", KINDS)
def test_importing_a_new_plugin_brings_nothing_else(
    packages: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports = rules("test_imports")
    monkeypatch.setenv("PYTHONPATH", str(packages[kind] / "src"))
    monkeypatch.setattr(imports, "ROOT", packages[kind])
    imports.test_importing_a_plugin_brings_no_vendor_client(packages[kind].name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_its_own_tests(packages: dict[str, Path], kind: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(packages[kind] / "src")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=packages[kind], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "xfailed" not in done.stdout


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv builds the wheel")
def test_a_new_plugin_is_found_by_name_once_its_wheel_is_installed(packages: dict[str, Path], tmp_path: Path) -> None:
    command = ["uv", "build", "--offline", "--wheel", "-q", "-o", str(tmp_path / "dist"), str(packages["vdb"])]
    subprocess.run(command, check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    installed = str(tmp_path / "installed")
    command = ["uv", "pip", "install", "--offline", "--no-deps", "-q", "--python", sys.executable]
    subprocess.run([*command, "--target", installed, str(wheel)], check=True)
    program = (
        "from dify_kernel.registry import Registry; registry = Registry();"
        f"(offer,) = [offer for offer in registry.offers('vdb') if offer.name == '{NAME}'];"
        f"store = registry.get('vdb', '{NAME}').build({{'ACME_TWO_URL': 'http://db.example'}});"
        "print(offer.distribution, type(store).__module__)"
    )
    env = {**os.environ, "PYTHONPATH": installed}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"dify-vdb-{NAME}", "dify_vdb_acme_two.store"]


def test_the_next_command_installs_the_kernel_of_this_checkout_too(tmp_path: Path) -> None:
    """Nothing else offers it: without its folder pip would look on the index in vain."""
    words = shlex.split(next_command(tmp_path / "my plugins" / "vdb_acme"))
    assert words[:3] == ["cd", str(tmp_path / "my plugins" / "vdb_acme"), "&&"]
    kernel = Path(words[words.index("-e") + 1])
    assert (kernel / "pyproject.toml").read_text("utf-8").splitlines()[1] == 'name = "dify-kernel"'
    assert words[-4:] == ["-e", ".[testing]", "&&", "pytest"]


_STAGES = '''
"""The eight methods over another engine, and the rest as the template has it."""
import pytest_asyncio
from dify_kernel.contracts.vector import VectorStore
from dify_kernel.testing.memory_vector import MemoryVectorStore
from dify_kernel.testing.vector import VectorStoreSuite
from dify_vdb_acme_two.store import AcmeTwoStore

KEEP = ("open", "close", "create", "drop", "upsert", "delete", "get", "scan")
FIND = ("count", "search", "full_text", "hybrid")


def kept(name):
    async def call(self, *args, **kwargs):
        return await getattr(self.engine, name)(*args, **kwargs)
    return call


class Base(VectorStore):
    capabilities = AcmeTwoStore.capabilities

    def __init__(self):
        self.engine = MemoryVectorStore()


methods = {name: kept(name) for name in KEEP} | {name: AcmeTwoStore.__dict__[name] for name in FIND}
Store = type(Base)("Store", (Base,), methods)


class TestStages(VectorStoreSuite):
    @pytest_asyncio.fixture
    async def store(self):
        store = Store()
        await store.open()
        yield store
        await store.close()
'''


def test_a_new_vector_store_finds_what_another_engine_keeps(packages: dict[str, Path]) -> None:
    """Once the methods that keep records are an engine's, those that find them are right as they are written."""
    tests = packages["vdb"] / "tests" / "test_stages.py"
    tests.write_text(_STAGES, "utf-8")
    env = {**os.environ, "PYTHONPATH": str(packages["vdb"] / "src")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not large", str(tests)]
    done = subprocess.run(command, cwd=packages["vdb"], env=env, capture_output=True, text=True, check=False)
    tests.unlink()
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("nothing", "acme"),
        ("../vdb", "acme"),
        ("vdb", ""),
        ("vdb", "Acme"),
        ("vdb", "acme_two"),
        ("vdb", "-acme"),
        ("vdb", "acme-"),
        ("vdb", "a--b"),
        ("vdb", "2acme"),
        ("vdb", "../acme"),
        ("vdb", "acme\n"),
        ("vdb", "a" * 41),
    ],
)
def test_a_bad_kind_or_name_writes_nothing(tmp_path: Path, kind: str, name: str) -> None:
    with pytest.raises(BadInput):
        scaffold(kind, name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "vdb_acme").mkdir()
    with pytest.raises(Conflict, match="exists already"):
        scaffold("vdb", "acme", tmp_path)
    assert list((tmp_path / "vdb_acme").iterdir()) == []


def test_the_files_are_returned_in_order(tmp_path: Path) -> None:
    files = scaffold("nodes", "acme", tmp_path)
    assert files == sorted(path for path in (tmp_path / "nodes_acme").rglob("*") if path.is_file())
