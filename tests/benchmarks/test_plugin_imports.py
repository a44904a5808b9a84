"""What plugins cost before they are used: importing one, and listing sixty of strangers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .figures import ROOT, environment, show

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

PLUGINS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))
MAX_IMPORT_MS, STRANGERS, TIMES = 20.0, 60, 3
GROUPS = {"vdb": "dify.vdb", "providers": "dify.providers", "nodes": "dify.nodes", "tools": "dify.tools"}

PROBE = """
import importlib, json, pkgutil, sys, time
import dify_kernel.contracts, dify_kernel.graph, dify_kernel.registry
for package in (dify_kernel.contracts, dify_kernel.graph):
    for found in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{found.name}")
import dify_kernel.hookspecs, dify_kernel.settings, dify_kernel.forms
standard = set(sys.modules)
# The standard library is shared by every plugin, so its modules are imported first and counted apart.
def own(name):
    return not name.partition(".")[0] in sys.stdlib_module_names
began = time.process_time()
importlib.import_module(sys.argv[1] + ".plugin")
spent = time.process_time() - began
new = set(sys.modules) - standard
print(json.dumps({"ms": spent * 1000, "new": sorted({n.partition(".")[0] for n in new if own(n)}), "count": len(new)}))
"""

LISTING = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from dify_kernel.registry import Registry
import importlib_metadata
def listing():
    began = time.process_time()
    reports = Registry().reports()
    return (time.process_time() - began) * 1000, len(reports)
ms, count = listing()
ours = [name for name in sys.modules if name.startswith(("stranger_", "dify_"))]
strangers = [name for name in ours if not name.startswith("dify_kernel")]
print(json.dumps({"ms": ms, "count": count, "imported": strangers}))
"""


def probe(code: str, *args: str) -> dict[str, object]:
    """The JSON that a program prints in a fresh process; the one of several runs that took the least CPU."""
    found = []
    for _ in range(TIMES):
        done = subprocess.run(
            [sys.executable, "-c", code, *args], env=environment(), capture_output=True, text=True, check=True
        )
        found.append(json.loads(done.stdout))
    return min(found, key=lambda each: each["ms"])


def strangers(folder: Path) -> None:
    """Metadata of sixty installed distributions whose modules do not exist: importing one would fail."""
    for number in range(STRANGERS):
        kind, group = list(GROUPS.items())[number % len(GROUPS)]
        info = folder / f"stranger_{kind}_{number}-1.0.dist-info"
        info.mkdir()
        name = f"stranger-{kind}-{number}"
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: dify-kernel>=0.1,<1\n"
        )
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = stranger_{kind}_{number}.plugin\n")


def test_importing_a_plugin() -> None:
    probe(PROBE, "dify_nodes_core")  # writes the bytecode that an installation has
    found = {plugin: probe(PROBE, f"dify_{plugin}") for plugin in PLUGINS}
    show(
        "importing a plugin, the kernel's contracts being there",
        ("plugin", "CPU ms", "modules"),
        [(name, f"{each['ms']:.1f}", str(each["count"])) for name, each in found.items()]
        + [("budget", f"{MAX_IMPORT_MS:g}", "")],
    )
    for name, each in found.items():
        foreign = [
            new
            for new in each["new"]
            if new != f"dify_{name}" and not new.startswith(("__editable__", "_sysconfigdata"))
        ]
        assert foreign == [], f"{name} imports {foreign}"
        assert each["ms"] < MAX_IMPORT_MS, f"importing {name} costs {each['ms']:.1f} ms"


def test_listing_sixty_more_plugins(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    few = probe(LISTING, str(empty))
    full = tmp_path / "full"
    full.mkdir()
    strangers(full)
    many = probe(LISTING, str(full))
    each = (many["ms"] - few["ms"]) / STRANGERS
    show(
        "listing the installed plugins from their metadata",
        ("", "plugins", "CPU ms"),
        [
            ("installed here (floor)", str(few["count"]), f"{few['ms']:.1f}"),
            (f"and {STRANGERS} distributions more", str(many["count"]), f"{many['ms']:.1f}"),
            ("each of them", "", f"{each:.2f}"),
        ],
    )
    assert many["count"] == few["count"] + STRANGERS
    assert many["imported"] == [], "listing imported plugins"
